"""BoolQ (Clark et al. 2019): a question with the answer yes or no, and the passage that answers it."""

from trivium.evaluation.tasks.task import Task, label

BOOLQ = Task(
    name="boolq",
    summary="BoolQ: does the passage answer the question with yes? (Clark et al. 2019)",
    method="choose",
    prompt="{passage}\nQuestion: {question}?\nAnswer:",
    choices=("no", "yes"),
    target=label("label", "false", "true"),
    columns={"passage": ("passage",), "question": ("question",), "label": ("label", "answer")},
    metrics=("acc", "acc_norm", "acc_bytes"),
)
