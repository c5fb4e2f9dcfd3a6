"""BLiMP (Warstadt et al. 2020): of two sentences that differ in one point of grammar, which is more probable?"""

from trivium.evaluation.tasks.task import Record, Task


def _the_first(_: Record) -> int:
    return 0


BLIMP = Task(
    name="blimp",
    summary="BLiMP: which of two sentences is grammatical? 67 kinds of pairs (Warstadt et al. 2020)",
    method="choose",
    prompt="",
    choices=("{sentence_good}", "{sentence_bad}"),
    target=_the_first,
    columns={"sentence_good": ("sentence_good",), "sentence_bad": ("sentence_bad",), "UID": ("UID",)},
    metrics=("acc",),
    group="UID",
)
