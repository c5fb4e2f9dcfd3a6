"""Prediction: texts in, and for each what the model is for: a label, tags, an answer, a vector, a translation.

    for found in predict(PredictConfig(model=Path("runs/classification"), input="texts.txt")):
        print(found["label"], found["probabilities"], found["text"])

Texts are read, answered and given batch by batch, in their order: a file of any length takes as much memory as a short
one.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from trivium.checkpoints.model_folder import read_hf_config
from trivium.errors import ConfigError, DataError, StorageError, Unsupported
from trivium.lm.hosted.address import is_service
from trivium.lm.hosted.model import HostedModel
from trivium.lm.load import base_folder, load, purpose_of, saved_folder
from trivium.lm.local import LocalModel
from trivium.lm.purpose import Purpose
from trivium.models import architecture
from trivium.recipes.texts_to_predict import STDIN, read_texts
from trivium.recipes.writing import write_texts
from trivium.runtime.progress import bar

LONGEST_ANSWER_TOKENS, CANDIDATES = 30, 5

Found = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Labels, tags, answers, embeds, fills, translates or sums up texts, whichever the model was trained for."""

    model: Path
    """Folder of a model, or of a run (its best checkpoint); to embed texts also a service: openai:MODEL, or a .yaml
    file of its settings."""
    input: str
    """A file of texts: one a line, or .jsonl with "text" in each line; for tagging also "words" there, or a CoNLL
    file (.conll); of pairs "sentence1" and "sentence2"; for questions .jsonl with "question" and "context", or a .json
    file in the form of SQuAD. - is standard input."""
    output: Path | None = None
    """File to write the answers to as well, one JSON a line."""
    rows: int = 64
    """Texts that are answered together: more is faster, 1 answers each as it comes."""
    beams: int | None = None
    """For texts that are written: hypotheses of the search; as generation_config.json says if not given, 1 for none."""
    length_penalty: float | None = None
    """For texts that are written: a hypothesis is judged by its log-probability over its length to this power."""
    max_new_tokens: int | None = None
    """For texts that are written: the longest, in tokens; as generation_config.json says if not given, else 256."""
    longest_answer: int | None = None
    """For questions: the longest answer, in tokens; 30 if not given."""
    no_answer: bool | None = None
    """For questions: whether a text may have no answer."""
    top: int | None = None
    """For blanks: candidates that are given of each; 5 if not given."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Literal["float32", "bfloat16", "float16", "float64", "auto"] = "float32"
    """Number format to compute in."""

    def __post_init__(self) -> None:
        for name in ("rows", "beams", "max_new_tokens", "longest_answer", "top"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is too small", received=value, expected="at least 1")


def predict(config: PredictConfig, *, silent: bool = True) -> Iterator[Found]:
    """One dict a text, in the order of the texts:

        classification    {"text", "label", "probability", "probabilities": {label: share}}; of pairs "text_pair" too
        regression        {"text", "score"}; of pairs "text_pair" too
        tagging           {"text", "words", "tags", "spans": [{"label", "start", "end", "text"}]}
        answering         {"question", "context", "answer", "start", "end", "probability"}, and "id" where it has one
        embedding         {"text", "vector": [number, ...], "cut_tokens"}
        filling           {"text", "filled", "blanks": [{"start", "end", "candidates": [{"text", "probability"}]}]}
        translation       {"text", "translation"}; "summary" for summarisation, "output" for text_to_text; and
                          "cut_tokens" where the end of a text was not read

    Raises `UserError` at once for a model that is for none of these, and for a file with a line that cannot be used;
    what comes from standard input is judged as it comes. Unless ``silent`` the progress is told on standard error.
    """
    purpose = check_model(config)
    if config.output is not None:
        _check_output(config.output, config.input)
    count = None if config.input == STDIN else sum(1 for _ in read_texts(config.input, purpose))
    model = load(str(config.model), device=config.device, dtype=config.dtype)
    if isinstance(model, LocalModel) and model.tokenizer is None:
        raise Unsupported(
            "the model has no tokenizer, so text cannot be read",
            received=config.model,
            fix="copy tokenizer.json into the model's folder",
        )
    return _answers(config, model, purpose, count, silent)


def check_model(config: PredictConfig) -> Purpose:
    """What the model is for. Raises `Unsupported` for one that is for no prediction, and `ConfigError` for settings
    that mean nothing for it; no weight is read."""
    purpose, served = purpose_of(config.model), is_service(str(config.model))
    if purpose is None and not served and _kind(config) == "encoder":
        raise Unsupported(
            "this model is for no prediction: it was trained to find which tokens of a text were replaced",
            received=config.model,
            expected="a model with a head for a task",
            fix=f"give it one: `trivium train classification --base {config.model} --data FILE`",
        )
    if purpose is None:
        raise Unsupported(
            "this model is for no prediction: it was trained to continue texts",
            received=config.model,
            expected="a model with a head, a masked model or an encoder-decoder, as `trivium train` makes them",
            fix=f"continue a text with `trivium generate {config.model}`, or measure it with `trivium evaluate`",
        )
    for name in (name for names in _SETTINGS.values() for name in names):
        if name not in _SETTINGS.get(purpose, ()) and getattr(config, name) is not None:
            raise ConfigError(
                f"{name} means nothing for {purpose}", received=getattr(config, name), fix=f"leave {name} out"
            )
    return purpose


def _kind(config: PredictConfig) -> str:
    return architecture(str(read_hf_config(base_folder(saved_folder(config.model)))["model_type"])).kind


# Batch by batch ------------------------------------------------------------------------------------------------------


def _check_output(output: Path, source: str) -> None:
    if not output.absolute().parent.is_dir():
        raise StorageError("there is no folder to write this file to", received=output, fix="make the folder first")
    if source != STDIN and output.exists() and Path(source).exists() and output.samefile(source):
        raise ConfigError("the texts would be written over", received=output, fix="give another output")


def _answers(
    config: PredictConfig, model: LocalModel | HostedModel, purpose: Purpose, count: int | None, silent: bool
) -> Iterator[Found]:
    texts, done = read_texts(config.input, purpose), 0
    with _written_to(config.output) as write, bar("predict", count, unit="texts", silent=silent) as progress:
        while batch := list(itertools.islice(texts, config.rows)):
            for found in _answered_batch(_WAYS[purpose], model, batch, config, done):
                write(found)
                yield found
            done += len(batch)
            progress.advance(len(batch))


def _answered_batch(
    way: "Way", model: LocalModel | HostedModel, batch: list[Any], config: PredictConfig, done: int
) -> list[Found]:
    """What is found of each text. A text that cannot be answered is told by its number in the input, of which ``done``
    were answered before: the model knows only a batch."""
    try:
        return list(way(model, batch, config))
    except DataError:
        for number, text in enumerate(batch, start=done + 1):
            try:
                list(way(model, [text], config))
            except DataError as error:
                received = f"text {number} of {config.input}" + (f": {error.received}" if error.received else "")
                fix = error.fix or "correct it, or leave it out"
                raise DataError(error.what, received=received, expected=error.expected, fix=fix) from error
        raise


@contextlib.contextmanager
def _written_to(path: Path | None) -> Iterator[Callable[[Found], None]]:
    """What writes an answer to the file, if there is one."""
    if path is None:
        yield lambda found: None
        return
    with path.open("w", encoding="utf-8") as file:
        yield lambda found: print(json.dumps(found, ensure_ascii=False), file=file)


def _texts(text: Any) -> Found:
    """A text, or both of two that belong together."""
    return {"text": text[0], "text_pair": text[1]} if isinstance(text, tuple) else {"text": text}


def _classified(model: LocalModel, texts: Sequence[Any], config: PredictConfig) -> Iterator[Found]:
    for text, label in zip(texts, model.classify(texts), strict=True):
        yield {**_texts(text), **dataclasses.asdict(label)}


def _estimated(model: LocalModel, texts: Sequence[Any], config: PredictConfig) -> Iterator[Found]:
    for text, score in zip(texts, model.regress(texts), strict=True):
        yield {**_texts(text), "score": score}


def _tagged(model: LocalModel, texts: Sequence[Any], config: PredictConfig) -> Iterator[Found]:
    for text, tagging in zip(texts, model.tag(texts), strict=True):
        yield {"text": text if isinstance(text, str) else " ".join(text), **dataclasses.asdict(tagging)}


def _answered(model: LocalModel, texts: Sequence[Any], config: PredictConfig) -> Iterator[Found]:
    found = model.answers(
        [(asked.question, asked.context) for asked in texts],
        longest_answer=config.longest_answer or LONGEST_ANSWER_TOKENS,
        no_answer=bool(config.no_answer),
    )
    for asked, answer in zip(texts, found, strict=True):
        told = dataclasses.asdict(answer)
        named = {"id": asked.id} if asked.id else {}
        yield {**named, "question": asked.question, "context": asked.context, "answer": told.pop("text"), **told}


def _embedded(model: LocalModel | HostedModel, texts: Sequence[Any], config: PredictConfig) -> Iterator[Found]:
    found = model.embeddings(texts)
    for text, vector, cut in zip(texts, found.vectors.tolist(), found.cut_tokens, strict=True):
        yield {"text": text, "vector": vector, "cut_tokens": cut}


def _filled(model: LocalModel, texts: Sequence[Any], config: PredictConfig) -> Iterator[Found]:
    for text in texts:
        told = dataclasses.asdict(model.fill(text, top=config.top or CANDIDATES))
        yield {"text": text, "filled": told.pop("text"), **told}


def _written(name: str, model: LocalModel, texts: Sequence[Any], config: PredictConfig) -> Iterator[Found]:
    found = write_texts(
        model,
        texts,
        beams=config.beams,
        length_penalty=config.length_penalty,
        max_new_tokens=config.max_new_tokens,
    )
    for text, written in zip(texts, found, strict=True):
        told = {"cut_tokens": written.cut_tokens} if written.cut_tokens else {}
        yield {"text": text, name: written.text, **told}


Way = Callable[[Any, Sequence[Any], PredictConfig], Iterator[Found]]

_WAYS: dict[Purpose, Way] = {
    "classification": _classified,
    "regression": _estimated,
    "tagging": _tagged,
    "answering": _answered,
    "embedding": _embedded,
    "filling": _filled,
    "translation": functools.partial(_written, "translation"),
    "summarisation": functools.partial(_written, "summary"),
    "text_to_text": functools.partial(_written, "output"),
}
_OF_WRITING = ("beams", "length_penalty", "max_new_tokens")
_SETTINGS: dict[Purpose, tuple[str, ...]] = {
    "translation": _OF_WRITING,
    "summarisation": _OF_WRITING,
    "text_to_text": _OF_WRITING,
    "answering": ("longest_answer", "no_answer"),
    "filling": ("top",),
}
"""Which settings mean something for which purpose, beside those that always do."""
