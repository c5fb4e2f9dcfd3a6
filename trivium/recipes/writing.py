"""Texts for texts, as a trained model is asked for them: with its prefix, and cut where it holds no more.

found = write_texts(model, ["Ein Hund rennt."], beams=4)
print(found[0].text, found[0].cut_tokens)
"""

import dataclasses
from collections.abc import Sequence

from trivium.generation.reading import context_limit
from trivium.lm.local import LocalModel
from trivium.lm.reading import at_most
from trivium.tokenizers import Tokenizer

NEW_TOKENS = 256
"""The longest text that is written, where neither the call nor generation_config.json says it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """What a model wrote for a text."""

    text: str
    """What it wrote."""
    cut_tokens: int = 0
    """Tokens at the end of the source that it did not read, having no room for them."""


def write_texts(
    model: LocalModel,
    texts: Sequence[str],
    *,
    beams: int | None = None,
    length_penalty: float | None = None,
    max_new_tokens: int | None = None,
) -> list[Written]:
    """What the model writes for each text, nothing for an empty one; None is as generation_config.json says.

    A text that is longer than the model reads is cut, as training cuts it.
    """
    before = source_prefix(model)
    asked = [_source(model, before + text) for text in texts if text.strip()]
    longest = max_new_tokens or stated_new_tokens(model)
    ids = [ids for ids, _ in asked]
    found = model.generate(ids, max_new_tokens=longest, beams=beams, length_penalty=length_penalty) if ids else []
    answers = iter([Written(text=one.text.strip(), cut_tokens=cut) for one, (_, cut) in zip(found, asked, strict=True)])
    return [next(answers) if text.strip() else Written(text="") for text in texts]


def _source(model: LocalModel, text: str) -> tuple[list[int], int]:
    """The ids that a source is read as, its end kept, and how many of it there is no room for."""
    ids = model.prompt_ids(text)
    room = room_for(model)
    if room is None or len(ids) <= room:
        return ids, 0
    assert model.tokenizer is not None
    return cut_source(ids, room, model.tokenizer), len(ids) - room


def cut_source(ids: Sequence[int], room: int, tokenizer: Tokenizer) -> list[int]:
    """At most ``room`` of the ids of a source: what stands after every text is kept."""
    after = tokenizer.suffix_ids
    return list(ids) if len(ids) <= room else [*ids[: max(0, room - len(after))], *after]


def source_prefix(model: LocalModel) -> str:
    """What the model was trained to read before every text, such as "summarize: ", where its folder says so."""
    prefix = None if model.origin is None else model.origin.described.get("prefix")
    return prefix if isinstance(prefix, str) else ""


def room_for(model: LocalModel) -> int | None:
    """Tokens that the model reads of a source: what it holds, and no more than it was trained on, where its folder says
    so; None: all."""
    stated = None if model.origin is None else model.origin.described.get("source_tokens")
    return at_most(context_limit(model.network), stated if type(stated) is int and stated > 0 else None)


def stated_new_tokens(model: LocalModel) -> int:
    """The longest answer that the model's folder speaks of."""
    stated = (model.generation.get(name) for name in ("max_new_tokens", "max_length"))
    return next((value for value in stated if type(value) is int and value > 0), NEW_TOKENS)
