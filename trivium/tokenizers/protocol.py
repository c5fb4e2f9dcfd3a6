"""What the rest of the system knows of a tokenizer."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from trivium.tokenizers.joined import Joined, Text


@runtime_checkable
class Tokenizer(Protocol):
    """A vocabulary with its rules: text to ids and back, and saved so that `transformers` reads it with equal ids.

    There are two: `JsonTokenizer`, for every vocabulary that `tokenizer.json` can hold, and `MarianTokenizer`, which
    reads one language and writes another. Special tokens never come from text unless asked.
    """

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id: the rows an embedding needs."""
        ...

    @property
    def special_tokens(self) -> dict[str, int]:
        """Special tokens and their ids."""
        ...

    @property
    def bos_id(self) -> int | None:
        """The id that stands before a document, or None."""
        ...

    @property
    def eos_id(self) -> int | None:
        """The id that ends a document or a turn, or None."""
        ...

    @property
    def pad_id(self) -> int | None:
        """The id that fills rows, or None. Our own code masks by length and never looks at it."""
        ...

    @property
    def cls_id(self) -> int | None:
        """The id that stands before a text to be classified, or None."""
        ...

    @property
    def sep_id(self) -> int | None:
        """The id that stands after each text of a pair, or None."""
        ...

    @property
    def mask_id(self) -> int | None:
        """The id that stands where a masked model is to fill in, or None."""
        ...

    @property
    def unk_id(self) -> int | None:
        """The id of what is not in the vocabulary, or None where everything can be spelt."""
        ...

    @property
    def chat_template(self) -> str | None:
        """The Jinja source that turns messages into text, as `transformers` stores it."""
        ...

    @property
    def prefix_ids(self) -> list[int]:
        """The ids that stand before a text that is read whole ([CLS], <s>)."""
        ...

    @property
    def suffix_ids(self) -> list[int]:
        """The ids that stand after it ([SEP], </s>)."""
        ...

    def with_chat_template(self, source: str) -> "Tokenizer":
        """The same tokenizer that also carries a chat template when saved."""
        ...

    def id(self, token: str) -> int | None:
        """The id of a piece or of a special token, or None."""
        ...

    def token(self, id: int) -> str:
        """The piece of an id as the vocabulary file spells it."""
        ...

    def token_bytes(self, id: int) -> bytes:
        """The bytes an id adds inside a text, without marks such as ``##``; of a special token, those of its name."""
        ...

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of ``text``; with ``special``, special tokens written in it are read as such."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text."""
        ...

    def encode_target_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of texts that a network is to write for another; those of `encode_batch` where both sides share one
        vocabulary."""
        ...

    def encode_joined(
        self, texts: Sequence[Text], longest: int | None = None, *, offsets: bool = False
    ) -> list[Joined]:
        """Each text, or pair of texts, as one row of ids with the special tokens around, at most ``longest`` long."""
        ...

    def offsets(self, text: str, special: bool = False) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids as `encode` gives them, and the characters that each stands for: from, to (excluded)."""
        ...

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The text of ``ids``, without the special tokens unless ``special``."""
        ...

    def files(self) -> dict[str, str]:
        """The content of `tokenizer.json` and of `tokenizer_config.json`; ``Unsupported`` where they cannot hold it."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write the files that `transformers` opens."""
        ...
