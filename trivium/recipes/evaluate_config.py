"""What `trivium evaluate` may be told, and which of it means something for which task."""

from dataclasses import dataclass
from pathlib import Path

from trivium.errors import ConfigError
from trivium.evaluation.tasks import find_task
from trivium.evaluation.tasks.records import expected
from trivium.lm.purpose import PURPOSES

TEXT_TASKS = ("bits_per_byte", "perplexity")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured, on what, and how much context each token sees."""

    model: Path
    """Folder of a model, or of a run (its best checkpoint); for tasks that are asked also a service: openai:MODEL,
    anthropic:MODEL, openai:MODEL@http://127.0.0.1:8000/v1, or a .yaml file of its settings."""
    data: Path | None = None
    """For a classifier texts with labels (.jsonl, .csv, .tsv, or a folder for each label), for a model that estimates
    or embeds with numbers; for a reward model answers that were compared, scored, or called good or bad; for a tagger a
    CoNLL file; for questions a .json file in the form of SQuAD; for a translator a text, with `references`, or pairs
    (.tsv, .jsonl); for summaries records of source and target; else a text file, a folder of text, or a folder that
    `trivium prepare` wrote (its validation part); for a task, the file of its examples."""
    task: str | None = None
    """What the model is for, if not given: classification, regression, tagging, answering, embedding, translation,
    summarisation or text_to_text, else bits_per_byte. Also perplexity
    of text; or cola, sst2, mrpc, rte, qnli, wnli, boolq, blimp, gsm8k, svamp, asked and scored as
    lm-evaluation-harness does. A model that reads text in both directions has a perplexity for each, and no bits per
    byte."""
    references: Path | None = None
    """For translation: the right translations of `data`, line by line."""
    beams: int | None = None
    """For texts that are written: hypotheses of the search; as generation_config.json says if not given."""
    text_field: str | None = None
    """For labels and numbers: field or column of the text; text, or else sentence, if not given. For embedding that of
    the first sentence (sentence1), for summaries that of the text (source)."""
    second_field: str | None = None
    """For labels and numbers: field or column of the text that it is read with, for pairs; for embedding that of the
    second sentence (sentence2)."""
    label_field: str | None = None
    """Field or column of the label; label if not given. For embedding that of the likeness (score), for summaries that
    of the summary (target)."""
    columns: tuple[str, ...] = ()
    """For labels and numbers: names of the columns of a table whose first row does not name them: source label mark
    sentence for CoLA."""
    limit: int | None = None
    """Only the first so many examples of a task (of each of BLiMP's kinds), sentences, or documents of a text; of texts
    with labels so many from all over the data."""
    shots: int | None = None
    """Solved examples shown before each question; the task's own number if not given (5 for gsm8k, else none)."""
    shots_data: Path | None = None
    """File that the solved examples are drawn from, such as the task's training part; the examples themselves, but for
    the one asked, if not given."""
    answers: Path | None = None
    """File to write every example to, with what the model answered: one JSON a line."""
    context_tokens: int | None = None
    """Window the text is read in; the model's own context if not given."""
    stride_tokens: int | None = None
    """New tokens scored by each window, the rest being context; half the window if not given. Equal to the window it is
    fastest, and a token at a window's beginning sees little of what came before."""
    encoding: str = "utf-8"
    """How text files are encoded."""
    output: Path | None = None
    """File to write the result to, as JSON."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: str = "float32"
    """Number format to compute in: float32, bfloat16, float64, auto."""

    def __post_init__(self) -> None:
        for name, least in (("context_tokens", 1), ("stride_tokens", 1), ("limit", 1), ("shots", 0), ("beams", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is too small", received=value, expected=f"at least {least}")
        if self.task == "filling":
            raise ConfigError("filling is not measured", fix="leave --task out: such models are measured on text")
        if self.task is not None:
            check_settings(self, self.task)
        if self.data is None:
            of_task = None if self.task in (None, *TEXT_TASKS, *PURPOSES) else find_task(str(self.task))
            kinds = "what the model is for: text, or examples" if of_task is None else expected(of_task)
            what = "" if self.task is None else f"for {self.task}: "
            raise ConfigError("there is nothing to measure on", expected=what + kinds, fix="add --data PATH")


# Which settings mean something for which task, beside those that always do; the rest are tasks with questions.
_SETTINGS = {
    **dict.fromkeys(TEXT_TASKS, ("context_tokens", "stride_tokens")),
    **dict.fromkeys(
        ("classification", "regression", "embedding"),
        ("text_field", "second_field", "label_field", "columns", "answers"),
    ),
    **dict.fromkeys(("tagging", "answering"), ("answers",)),
    "translation": ("references", "beams", "answers"),
    **dict.fromkeys(("summarisation", "text_to_text"), ("text_field", "label_field", "beams", "answers")),
}
ALSO = {("text_to_text", task) for task in ("translation", "summarisation", "answering")}
"""(what a model is for, what else it may be measured on)."""
MEASURED = tuple(purpose for purpose in PURPOSES if purpose in _SETTINGS)
_OF_QUESTIONS = ("shots", "shots_data", "answers")


def check_settings(config: EvaluateConfig, task: str) -> None:
    """Raises `ConfigError` for a task that there is not, and for settings that mean nothing for it."""
    if task not in _SETTINGS:
        find_task(task, (*MEASURED, *TEXT_TASKS))
    meant = _SETTINGS.get(task, _OF_QUESTIONS)
    for name in sorted({name for names in (*_SETTINGS.values(), _OF_QUESTIONS) for name in names} - {*meant}):
        if getattr(config, name) not in (None, ()):
            raise ConfigError(f"{name} means nothing for {task}", fix=f"leave {name} out")
