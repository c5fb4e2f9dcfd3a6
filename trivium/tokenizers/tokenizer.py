"""`JsonTokenizer`: text to ids and back, for every vocabulary that `tokenizer.json` can hold."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from trivium.errors import StorageError, TokenizerError
from trivium.tokenizers.byte_bpe import fast_encoder, is_byte_level, is_safe_for_fast_encoder
from trivium.tokenizers.character import CharacterTable
from trivium.tokenizers.joined import Joined, Pattern, Text, cut_longest_first, pattern_of, require_room
from trivium.tokenizers.spelling import spelling
from trivium.tokenizers.user_text import for_user_text, readable

_THREADS = min(8, os.cpu_count() or 1)


class JsonTokenizer:
    """A vocabulary with its rules, in the form `tokenizer.json` stores and `transformers` reads.

    Special tokens never come from text unless asked: a user who writes ``<|end|>`` gets the ids of those characters.
    """

    def __init__(self, backend: tokenizers.Tokenizer, config: dict[str, Any]):
        """``backend`` does the work; ``config`` is the content of `tokenizer_config.json`."""
        self._backend = backend
        self._config = config
        description = json.loads(backend.to_str())
        self._pieces: dict[int, str] = {i: piece for piece, i in backend.get_vocab(with_added_tokens=True).items()}
        self._special: dict[str, int] = {
            token["content"]: token["id"] for token in description.get("added_tokens", []) if token["special"]
        }
        self._special_ids = frozenset(self._special.values())
        self._added_ids = frozenset(token["id"] for token in description.get("added_tokens", []))
        self._unknown = _unknown(description["model"])
        self._spell = spelling(description)
        self._characters = self._character_table(description)
        self._encode_text, self._encode_texts = self._encoders(description)
        self._exact_bytes: list[bytes] | None = None
        if is_byte_level(description) or self._characters is not None:
            self._exact_bytes = [self.token_bytes(i) if i in self._pieces else b"" for i in range(self.vocabulary_size)]

    # Vocabulary ------------------------------------------------------------------------------------------------

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id: the rows an embedding needs."""
        return max(self._pieces) + 1

    @property
    def special_tokens(self) -> dict[str, int]:
        """Special tokens and their ids."""
        return dict(self._special)

    @property
    def bos_id(self) -> int | None:
        """The id that stands before a document, or None."""
        return self._role("bos_token")

    @property
    def eos_id(self) -> int | None:
        """The id that ends a document or a turn, or None."""
        return self._role("eos_token")

    @property
    def pad_id(self) -> int | None:
        """The id that fills rows, or None. Our own code masks by length and never looks at it."""
        return self._role("pad_token")

    @property
    def cls_id(self) -> int | None:
        """The id that stands before a text to be classified, or None."""
        return self._role("cls_token")

    @property
    def sep_id(self) -> int | None:
        """The id that stands after each text of a pair, or None."""
        return self._role("sep_token")

    @property
    def mask_id(self) -> int | None:
        """The id that stands where a masked model is to fill in, or None."""
        return self._role("mask_token")

    @property
    def unk_id(self) -> int | None:
        """The id of what is not in the vocabulary, or None where everything can be spelt."""
        piece = self._unknown or _content(self._config.get("unk_token"))
        return None if piece is None else self._backend.token_to_id(piece)

    @property
    def chat_template(self) -> str | None:
        """The Jinja source that turns messages into text, as `transformers` stores it."""
        return self._config.get("chat_template")

    def with_chat_template(self, source: str) -> "JsonTokenizer":
        """The same tokenizer that also carries a chat template when saved."""
        return JsonTokenizer(self._backend, {**self._config, "chat_template": source})

    def id(self, token: str) -> int | None:
        """The id of a piece or of a special token, or None."""
        return self._backend.token_to_id(token)

    def token(self, id: int) -> str:
        """The piece of an id as the vocabulary file spells it."""
        if id not in self._pieces:
            raise TokenizerError(
                "this id is not in the vocabulary",
                received=id,
                expected=f"an id below {self.vocabulary_size}",
                fix="use the tokenizer that was saved with the model",
            )
        return self._pieces[id]

    def token_bytes(self, id: int) -> bytes:
        """The bytes an id adds inside a text, without marks such as ``##``; of a special token, those of its name."""
        piece = self.token(id)
        return piece.encode("utf-8") if id in self._added_ids else self._spell(piece)

    # Text to ids -----------------------------------------------------------------------------------------------

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of ``text``.

        With ``special``, special tokens written in the text are read as such: for text we rendered ourselves, such as
        a chat template's. Nothing is ever added before or after; see `prefix_ids`. A lone surrogate, which UTF-8 cannot
        carry, counts as U+FFFD.
        """
        if not special:
            return self._encode_text(encodable(text))
        return self._backend.encode(encodable(text), add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, several at a time."""
        return self._encode_texts([encodable(text) for text in texts])

    def encode_target_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As `encode_batch`: what is read and what is written share the vocabulary."""
        return self.encode_batch(texts)

    def offsets(self, text: str, special: bool = False) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of ``text`` as `encode` gives them, and the characters that each stands for: from, to (excluded).

        Bytes of one character share it. What a normaliser adds or drops is counted to its neighbours as `tokenizers`
        does. Slower than `encode`.
        """
        backend = self._backend if special else self._plain
        encoding = backend.encode(self._readable(encodable(text), special), add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def encode_joined(
        self, texts: Sequence[Text], longest: int | None = None, *, offsets: bool = False
    ) -> list[Joined]:
        """Each text, or pair of texts, as one row with the special tokens that the file's post-processor puts around.

        A row of more than ``longest`` ids loses the end of its longer text. ``offsets`` are slower to find.

        Raises:
            DataError: nothing but the special tokens would fit into ``longest``.
        """
        pairs = [(text,) if isinstance(text, str) else text for text in texts]
        flat = [side for pair in pairs for side in pair]
        found = [self.offsets(side) for side in flat] if offsets else [(ids, []) for ids in self.encode_batch(flat)]
        sides = iter(found)
        rows = []
        for pair in pairs:
            pattern = self._patterns[len(pair) - 1]
            own = [next(sides) for _ in pair]
            room = sum(len(ids) for ids, _ in own) if longest is None else longest - pattern.room
            require_room(longest, room, pattern.room)
            kept = cut_longest_first([len(ids) for ids, _ in own], room)
            cut = [(ids[:size], places[:size]) for (ids, places), size in zip(own, kept, strict=True)]
            rows.append(pattern.join([ids for ids, _ in cut], [places for _, places in cut] if offsets else None))
        return rows

    @property
    def prefix_ids(self) -> list[int]:
        """The ids that the file's post-processor puts before a text ([CLS], <s>)."""
        return self._around()[0]

    @property
    def suffix_ids(self) -> list[int]:
        """The ids that the file's post-processor puts after a text ([SEP], </s>)."""
        return self._around()[1]

    # Ids to text -----------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The text of ``ids``, without the special tokens unless ``special``. Bytes that are not UTF-8 become U+FFFD.

        Raises:
            TokenizerError: an id is outside the vocabulary.
        """
        wanted = [int(i) for i in ids]
        for i in wanted:
            if i not in self._pieces:
                self.token(i)
        if self._exact_bytes is None:
            return self._backend.decode(wanted, skip_special_tokens=not special)
        hidden = frozenset() if special else self._special_ids
        return b"".join(self._exact_bytes[i] for i in wanted if i not in hidden).decode("utf-8", "replace")

    # Storage ---------------------------------------------------------------------------------------------------

    def files(self) -> dict[str, str]:
        """What `save` writes: file name to content."""
        return {
            "tokenizer.json": self._backend.to_str(pretty=True),
            "tokenizer_config.json": json.dumps(self._config, indent=2, ensure_ascii=False) + "\n",
        }

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, which `transformers.PreTrainedTokenizerFast` opens."""
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in self.files().items():
                (folder / name).write_text(content, encoding="utf-8")
        except OSError as error:
            raise StorageError(
                "the tokenizer cannot be written",
                received=f"{folder}: {error.strerror}",
                fix="choose a folder with space and write permission",
            ) from error

    # Inside ----------------------------------------------------------------------------------------------------

    @cached_property
    def _patterns(self) -> tuple[Pattern, Pattern]:
        return pattern_of(self._backend, pair=False), pattern_of(self._backend, pair=True)

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        return for_user_text(self._backend)

    def _readable(self, text: str, special: bool) -> str:
        # The noncharacter matters only where some special token is hidden behind it, which never hurts to assume.
        return text if special or self._exact_bytes is not None else readable(text)

    def _role(self, name: str) -> int | None:
        content = _content(self._config.get(name))
        return None if content is None else self._backend.token_to_id(content)

    def _around(self) -> tuple[list[int], list[int]]:
        plain = self._backend.encode("a", add_special_tokens=False).ids
        whole = self._backend.encode("a", add_special_tokens=True).ids
        start = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
        return whole[:start], whole[start + len(plain) :]

    def _character_table(self, description: dict[str, Any]) -> CharacterTable | None:
        """The fast path of the vocabularies that `character.train_character` makes, recognised by their file."""
        model = description["model"]
        plain = not description.get("pre_tokenizer") and not description.get("normalizer")
        if model["type"] != "BPE" or model["merges"] or model.get("byte_fallback") or model.get("fuse_unk"):
            return None
        if not plain or self._unknown not in model["vocab"]:
            return None
        ordinary = {piece: id for piece, id in model["vocab"].items() if id not in self._special_ids}
        return CharacterTable(ordinary, model["vocab"][self._unknown])

    def _encoders(
        self, description: dict[str, Any]
    ) -> tuple[Callable[[str], list[int]], Callable[[list[str]], list[list[int]]]]:
        """The fastest functions that give the ids of this vocabulary: for one text, and for many."""
        table = self._characters
        if table is not None:
            return table.encode, lambda texts: [table.encode(text) for text in texts]
        fast = fast_encoder(self._backend, description)
        if fast is None:
            return self._slow_encode, self._slow_encode_batch

        def encode(text: str) -> list[int]:
            return fast.encode_ordinary(text) if is_safe_for_fast_encoder(text) else self._slow_encode(text)

        def encode_batch(texts: list[str]) -> list[list[int]]:
            if all(map(is_safe_for_fast_encoder, texts)):
                return fast.encode_ordinary_batch(texts, num_threads=_THREADS)
            return [encode(text) for text in texts]

        return encode, encode_batch

    def _slow_encode(self, text: str) -> list[int]:
        return self._slow_encode_batch([text])[0]

    def _slow_encode_batch(self, texts: list[str]) -> list[list[int]]:
        readable_texts = [self._readable(text, special=False) for text in texts]
        return [e.ids for e in self._plain.encode_batch_fast(readable_texts, add_special_tokens=False)]


def _unknown(model: dict[str, Any]) -> str | None:
    """The piece for what a model cannot spell; Unigram tells its place instead of its name."""
    if model["type"] != "Unigram":
        return model.get("unk_token")
    return None if model.get("unk_id") is None else model["vocab"][model["unk_id"]][0]


def _content(token: str | dict[str, Any] | None) -> str | None:
    """A special token in `tokenizer_config.json`: a string, or an object whose ``content`` is the string."""
    return token["content"] if isinstance(token, dict) else token


def encodable(text: str) -> str:
    """``text`` as it is encoded: lone surrogates, which UTF-8 cannot carry, are U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
