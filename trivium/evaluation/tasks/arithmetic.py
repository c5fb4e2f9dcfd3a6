"""Word problems, whose answer the model writes as a number: GSM8K (Cobbe et al. 2021), SVAMP (Patel et al. 2021)."""

import re

from trivium.evaluation.tasks.task import Record, Task

_MARKED = re.compile(r"#### (\-?[0-9\.\,]+)")
_NUMBER = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_NOTHING = "[invalid]"


def marked_number(text: str) -> str:
    """The number after the first `####`, which ends the solutions of GSM8K."""
    found = _MARKED.search(text)
    return found[1].strip() if found else _NOTHING


def last_number(text: str) -> str:
    """The last number in the text, whatever stands around it."""
    found = _NUMBER.findall(text)
    return next(filter(None, found[-1])).strip() if found else _NOTHING


def bare_number(text: str) -> str:
    """An answer as it is compared: without what is before `####`, commas, dollar signs and a full stop at its end."""
    after = text.replace(",", "").replace("$", "").rpartition("#### ")[2]
    # A newline may follow the full stop, as `$` of a regular expression has it.
    return re.sub(r"\.$", "", after).lower()


def _solution(record: Record) -> str:
    return str(record["answer"])


def _result(record: Record) -> str:
    value = record["Answer"]
    number = float(value)
    return str(int(number)) if number.is_integer() else str(value)


_ENDS = ("Question:", "</s>", "<|im_end|>")

GSM8K = Task(
    name="gsm8k",
    summary="GSM8K: solve a school problem in several steps (Cobbe et al. 2021)",
    method="write",
    prompt="Question: {question}\nAnswer:",
    target=_solution,
    columns={"question": ("question",), "answer": ("answer",)},
    metrics=("exact_match",),
    shots=5,
    spare_shot=False,
    stop=_ENDS,
    filters={"strict": marked_number, "flexible": last_number},
    cleaned=bare_number,
)
SVAMP = Task(
    name="svamp",
    summary="SVAMP: solve a school problem in one step (Patel et al. 2021)",
    method="write",
    prompt="Question: {Body} {Question}\nAnswer:",
    target=_result,
    columns={"Body": ("Body",), "Question": ("Question",), "Answer": ("Answer",)},
    metrics=("exact_match",),
    stop=_ENDS,
    max_new_tokens=32,
    filters={"flexible": last_number},
    cleaned=bare_number,
)
