"""Rehearsal: some of every batch is what the model knew already, so that it stays known (Robins 1995).

    config = RehearsalConfig(share=0.1, data=(Path("old.jsonl"),))
    old = old_examples(config, model, prompt_format="chat", context_tokens=256)
    source = mixed_source(examples, mixing, batching, old=old, old_share=config.share)

What is rehearsed are examples of other tasks, or text in general as it was pre-trained on; where none is given, the
text that forgetting is measured by, but not the part that is measured.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable

from trivium.data.examples import Example, ExamplesSource
from trivium.data.examples_file import read_records
from trivium.errors import ConfigError, DataError
from trivium.lm.local import LocalModel
from trivium.lm.turns import PromptFormat
from trivium.recipes.examples import encode_record
from trivium.recipes.general_text import general_texts, texts_of
from trivium.recipes.training import require_at_least
from trivium.tokenizers import Tokenizer

_EXAMPLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RehearsalConfig:
    """How much of what is trained on is rehearsal, and of what."""

    share: float = 0.0
    """Share of the tokens; 0 for no rehearsal. 0.1 is usual."""
    data: tuple[pathlib.Path, ...] = ()
    """Files of examples of other tasks; text, folders of it, and what `trivium prepare` wrote, of which the part to
    train on counts. Of none: what the model was trained on, where that is here, else the documentation on this machine.
    """
    text_bytes: int = 1_000_000
    """Of each text at most about so much, taken evenly."""

    def __post_init__(self) -> None:
        require_at_least(1, text_bytes=self.text_bytes)
        if not 0 <= self.share < 1:
            raise ConfigError("the share of rehearsal is at least 0 and below 1", received=self.share)
        if self.data and not self.share:
            raise ConfigError(
                "there is something to rehearse, and none of it is", received="share 0", fix="set share to 0.1"
            )


def old_examples(
    config: RehearsalConfig, model: LocalModel, *, prompt_format: PromptFormat, context_tokens: int
) -> list[Example]:
    """What is rehearsed, encoded; examples that are too long are left out.

    Raises `UserError` for a source that cannot be read, or where nothing is left.
    """
    assert model.tokenizer is not None, "a model that is fine-tuned has one"
    found: list[Example] = []
    for path in config.data:
        if path.suffix in _EXAMPLES:
            encode = functools.partial(encode_record, model.tokenizer, prompt_format=prompt_format, answers="last")
            encoded = map(encode, read_records(path))
            found += [example for example in encoded if len(example.ids) - 1 <= context_tokens]
        else:
            texts = texts_of(path, measured=False, most_bytes=config.text_bytes)
            found += text_examples(texts, model.tokenizer, context_tokens)
    if not config.data:
        texts, _ = general_texts(model, measured=False, most_bytes=config.text_bytes)
        found = text_examples(texts, model.tokenizer, context_tokens)
    if not found:
        raise DataError(
            "there is nothing to rehearse",
            received=", ".join(map(str, config.data)) or "no text",
            fix="set a larger context_tokens, or give other data",
        )
    return found


def general_batches(model: LocalModel, *, context_tokens: int, rows: int = 8, seed: int = 0) -> ExamplesSource:
    """Text in general but what is measured, in batches without end. Raises `UserError` where there is none."""
    assert model.tokenizer is not None, "a model that is fine-tuned has one"
    texts, _ = general_texts(model, measured=False, most_bytes=RehearsalConfig().text_bytes)
    return ExamplesSource(
        text_examples(texts, model.tokenizer, context_tokens),
        vocabulary_size=model.config.vocabulary_size,
        context_tokens=context_tokens,
        rows=rows,
        seed=seed,
    )


def text_examples(texts: Iterable[str], tokenizer: Tokenizer, context_tokens: int) -> list[Example]:
    """Texts as they are pre-trained on, cut in windows: every token is trained on but those with nothing before them.

    A text begins with what the vocabulary begins texts with, and ends with its end token, where it has them. Windows
    follow on each other: the last token of one is the first of the next, where it is read only.
    """
    begin = tokenizer.prefix_ids or [id for id in (tokenizer.bos_id,) if id is not None]
    end = [id for id in (tokenizer.eos_id,) if id is not None]
    found = []
    for text in texts:
        ids = [*begin, *tokenizer.encode(text), *end]
        for start in range(0, len(ids) - 1, context_tokens):
            window = ids[start : start + context_tokens + 1]
            read = max(1, len(begin)) if start == 0 else 1
            if len(window) > read:
                found.append(Example(ids=window, trained=[False] * read + [True] * (len(window) - read)))
    return found
