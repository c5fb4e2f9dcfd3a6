"""Prediction: texts in, and for each what the model is for: a label, tags, or a translation.

    for found in predict(PredictConfig(model=Path("runs/classification"), input="texts.txt")):
        print(found["label"], found["probabilities"], found["text"])

Texts are read, answered and given batch by batch, in their order: a file of any length takes as much memory as a short
one.
"""

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from trivium.errors import ConfigError, StorageError, Unsupported
from trivium.lm.load import load, saved_folder
from trivium.lm.local import LocalModel
from trivium.lm.purpose import Purpose, purpose_of_folder
from trivium.recipes.texts_to_predict import STDIN, Text, read_texts
from trivium.runtime.progress import bar

NEW_TOKENS = 256
"""The longest translation, where neither the call nor generation_config.json says it."""

Found = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Labels, tags or translates texts, whichever the model was trained for."""

    model: Path
    """Folder of a model, or of a run (its best checkpoint)."""
    input: str
    """A file of texts: one a line, or .jsonl with "text" in each line; for tagging also "words" there, or a CoNLL
    file (.conll). - is standard input."""
    output: Path | None = None
    """File to write the answers to as well, one JSON a line."""
    rows: int = 64
    """Texts that are answered together: more is faster, 1 answers each as it comes."""
    beams: int | None = None
    """For translation: hypotheses of the search; as generation_config.json says if not given, 1 for none."""
    length_penalty: float | None = None
    """For translation: a hypothesis is judged by its log-probability over its length to this power."""
    max_new_tokens: int | None = None
    """For translation: its longest, in tokens; as generation_config.json says if not given, else 256."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Literal["float32", "bfloat16", "float16", "float64", "auto"] = "float32"
    """Number format to compute in."""

    def __post_init__(self) -> None:
        for name in ("rows", "beams", "max_new_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is too small", received=value, expected="at least 1")


def predict(config: PredictConfig, *, silent: bool = True) -> Iterator[Found]:
    """One dict a text, in the order of the texts:

        classification    {"text", "label", "probability", "probabilities": {label: share}}
        tagging           {"text", "words", "tags", "spans": [{"label", "start", "end", "text"}]}
        translation       {"text", "translation"}

    Raises `UserError` at once for a model that is for none of these, and for a file with a line that cannot be used;
    what comes from standard input is judged as it comes. Unless ``silent`` the progress is told on standard error.
    """
    purpose = check_model(config)
    if config.output is not None:
        _check_output(config.output, config.input)
    count = None if config.input == STDIN else sum(1 for _ in read_texts(config.input, purpose))
    model = load(config.model, device=config.device, dtype=config.dtype)
    if model.tokenizer is None:
        raise Unsupported(
            "the model has no tokenizer, so text cannot be read",
            received=config.model,
            fix="copy tokenizer.json into the model's folder",
        )
    return _answers(config, model, purpose, count, silent)


def check_model(config: PredictConfig) -> Purpose:
    """What the model is for. Raises `Unsupported` for one that is for no prediction, and `ConfigError` for settings
    that mean nothing for it; no weight is read."""
    folder = saved_folder(config.model)
    purpose = purpose_of_folder(folder)
    if purpose is None:
        raise Unsupported(
            "this model is for no prediction: it was trained to continue texts, or to fill them in",
            received=config.model,
            expected="a classifier, a tagger or a translator, as `trivium train` makes them",
            fix=f"continue a text with `trivium generate {config.model}`, or measure it with `trivium evaluate`",
        )
    for name in ("beams", "length_penalty", "max_new_tokens"):
        if purpose != "translation" and getattr(config, name) is not None:
            raise ConfigError(
                f"{name} means nothing for {purpose}", received=getattr(config, name), fix=f"leave {name} out"
            )
    return purpose


def translate(
    model: LocalModel,
    texts: Sequence[str],
    *,
    beams: int | None = None,
    length_penalty: float | None = None,
    max_new_tokens: int | None = None,
) -> list[str]:
    """The translation of each text, an empty one of an empty text; what is None is as generation_config.json says."""
    asked = [text for text in texts if text.strip()]
    longest = max_new_tokens or stated_new_tokens(model)
    found = model.generate(asked, max_new_tokens=longest, beams=beams, length_penalty=length_penalty) if asked else []
    answers = iter(found)
    return [next(answers).text.strip() if text.strip() else "" for text in texts]


def stated_new_tokens(model: LocalModel) -> int:
    """The longest answer that the model's folder speaks of."""
    stated = (model.generation.get(name) for name in ("max_new_tokens", "max_length"))
    return next((value for value in stated if type(value) is int and value > 0), NEW_TOKENS)


# Batch by batch ------------------------------------------------------------------------------------------------------


def _check_output(output: Path, source: str) -> None:
    if not output.absolute().parent.is_dir():
        raise StorageError("there is no folder to write this file to", received=output, fix="make the folder first")
    if source != STDIN and output.exists() and Path(source).exists() and output.samefile(source):
        raise ConfigError("the texts would be written over", received=output, fix="give another output")


def _answers(
    config: PredictConfig, model: LocalModel, purpose: Purpose, count: int | None, silent: bool
) -> Iterator[Found]:
    texts = read_texts(config.input, purpose)
    with _written_to(config.output) as write, bar("predict", count, unit="texts", silent=silent) as progress:
        while batch := list(itertools.islice(texts, config.rows)):
            for found in _WAYS[purpose](model, batch, config):
                write(found)
                yield found
            progress.advance(len(batch))


@contextlib.contextmanager
def _written_to(path: Path | None) -> Iterator[Callable[[Found], None]]:
    """What writes an answer to the file, if there is one."""
    if path is None:
        yield lambda found: None
        return
    with path.open("w", encoding="utf-8") as file:
        yield lambda found: print(json.dumps(found, ensure_ascii=False), file=file)


def _classified(model: LocalModel, texts: Sequence[Any], config: PredictConfig) -> Iterator[Found]:
    for text, label in zip(texts, model.classify(texts), strict=True):
        yield {"text": text, **dataclasses.asdict(label)}


def _tagged(model: LocalModel, texts: Sequence[Text], config: PredictConfig) -> Iterator[Found]:
    for text, tagging in zip(texts, model.tag(texts), strict=True):
        yield {"text": text if isinstance(text, str) else " ".join(text), **dataclasses.asdict(tagging)}


def _translated(model: LocalModel, texts: Sequence[Any], config: PredictConfig) -> Iterator[Found]:
    translations = translate(
        model,
        texts,
        beams=config.beams,
        length_penalty=config.length_penalty,
        max_new_tokens=config.max_new_tokens,
    )
    for text, translation in zip(texts, translations, strict=True):
        yield {"text": text, "translation": translation}


_WAYS: dict[Purpose, Callable[[LocalModel, Sequence[Any], PredictConfig], Iterator[Found]]] = {
    "classification": _classified,
    "tagging": _tagged,
    "translation": _translated,
}
