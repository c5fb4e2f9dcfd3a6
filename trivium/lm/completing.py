"""What stands between two texts, by a decoder that was trained on texts whose middle comes last.

    <|fim_prefix|> def area(r): <|fim_suffix|> return a <|fim_middle|>      and the model writes what was there

Bavarian et al. 2022, "Efficient training of language models to fill in the middle". Every family that learned it has
marks of its own; a vocabulary that has the three of one is read that way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from trivium.lm.generating import Generator
from trivium.lm.protocol import Generation
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.special import FILL_IN_THE_MIDDLE

MOST_NEW_TOKENS = 128
"""A middle is rarely longer than some lines."""


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What stands before the three parts of a text, in the order in which they are read."""

    prefix: str
    """Before the text that comes first."""
    suffix: str
    """Before the text that comes last."""
    middle: str
    """After which the model writes."""
    ends: tuple[str, ...] = ()
    """What ends the middle, beside the end of a text."""
    joined: bool = False
    """The vocabulary puts a space before a text, and the suffix was learned without it."""


_OURS = Marks(
    prefix=FILL_IN_THE_MIDDLE[0],
    middle=FILL_IN_THE_MIDDLE[1],
    suffix=FILL_IN_THE_MIDDLE[2],
    # Hui et al. 2024 ("Qwen2.5-Coder", table 1) and CodeGemma's model card have our spelling, and ends of their own.
    ends=("<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>", "<|im_end|>"),
)
_STARCODER = Marks(  # Li et al. 2023, section 5.1
    prefix="<fim_prefix>",
    middle="<fim_middle>",
    suffix="<fim_suffix>",
    ends=("<|endoftext|>", "<fim_pad>", "<file_sep>", "<repo_name>"),
)
_SANTACODER = Marks(  # Ben Allal et al. 2023, section 4.1
    prefix="<fim-prefix>", middle="<fim-middle>", suffix="<fim-suffix>", ends=("<|endoftext|>", "<fim-pad>")
)
_CODE_LLAMA = Marks(  # Roziere et al. 2023, section 2.3
    prefix="▁<PRE>", middle="▁<MID>", suffix="▁<SUF>", ends=("▁<EOT>",), joined=True
)
_DEEPSEEK = Marks(  # Guo et al. 2024, section 3.1.2: the second stands where the hole is
    prefix="<｜fim▁begin｜>", suffix="<｜fim▁hole｜>", middle="<｜fim▁end｜>", ends=("<|EOT|>",)
)
_PUBLISHED = (_OURS, _STARCODER, _SANTACODER, _CODE_LLAMA, _DEEPSEEK)


def marks_of(tokenizer: Tokenizer) -> Marks | None:
    """The marks that this vocabulary has, or None."""
    return next((marks for marks in _PUBLISHED if None not in _ids(tokenizer, marks)), None)


def middle_prompt(tokenizer: Tokenizer, prefix: str, suffix: str) -> list[int]:
    """What is read before the middle of a text is written."""
    marks = marks_of(tokenizer)
    assert marks is not None, "asked of a vocabulary without marks"
    before, behind, between = (id for id in _ids(tokenizer, marks) if id is not None)
    last = _after_something(tokenizer, suffix) if marks.joined else tokenizer.encode(suffix)
    return [*tokenizer.prefix_ids, before, *tokenizer.encode(prefix), behind, *last, between]


def middle_ends(tokenizer: Tokenizer, ends: Sequence[int]) -> tuple[int, ...]:
    """The ids that end a middle: the ``ends`` of any text, what ends it by name, and the marks."""
    marks = marks_of(tokenizer)
    assert marks is not None, "asked of a vocabulary without marks"
    named = (*ends, *_ids(tokenizer, marks), *(tokenizer.id(end) for end in marks.ends), tokenizer.eos_id)
    return tuple(sorted({id for id in named if id is not None}))


def completions(
    generator: Generator,
    tokenizer: Tokenizer,
    pairs: Sequence[tuple[str, str]],
    *,
    max_new_tokens: int = MOST_NEW_TOKENS,
    adapter: str | None = None,
    **settings: Any,
) -> list[Generation]:
    """The middle of each (prefix, suffix), in order; with ``n`` above 1, ``n`` in a row for each.

    Settings are those of ``LocalModel.generate``, but for ``draft``.
    """
    effective = generator.settings(max_new_tokens=max_new_tokens, **settings)
    prompts = [middle_prompt(tokenizer, prefix, suffix) for prefix, suffix in pairs]
    ended = replace(effective, eos_ids=middle_ends(tokenizer, effective.eos_ids))
    return generator.answers(prompts, ended, adapter, None)


def _ids(tokenizer: Tokenizer, marks: Marks) -> tuple[int | None, int | None, int | None]:
    return tokenizer.id(marks.prefix), tokenizer.id(marks.suffix), tokenizer.id(marks.middle)


def _after_something(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text where it does not begin one."""
    something = "\n"
    return tokenizer.encode(something + text)[len(tokenizer.encode(something)) :]
