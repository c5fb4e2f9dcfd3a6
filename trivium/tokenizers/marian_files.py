"""Marian's tokenizer (opus-mt): SentencePiece on both sides, ids of its own.

`source.spm` cuts a text to translate and `target.spm` a translation. Neither gives ids: those stand in `vocab.json`,
for the pieces of both sides together, or in `vocab.json` and `target_vocab.json`. A piece that is not there is
``<unk>``. `transformers.MarianTokenizer` reads the same files and gives the same ids. It offers the Moses punctuation
rules too, but never applies them when it encodes, so neither does this.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from trivium.errors import StorageError, TokenizerError, Unsupported
from trivium.tokenizers.files import damaged, read_bytes, read_config, read_vocabulary
from trivium.tokenizers.joined import Joined, Text
from trivium.tokenizers.metaspace import MARKER
from trivium.tokenizers.sentencepiece import from_model_file
from trivium.tokenizers.tokenizer import encodable
from trivium.tokenizers.user_text import for_user_text, readable

SOURCE, TARGET = "source.spm", "target.spm"
VOCABULARY, TARGET_VOCABULARY = "vocab.json", "target_vocab.json"
CONFIG = "tokenizer_config.json"
FILES = (SOURCE, TARGET, VOCABULARY, TARGET_VOCABULARY)
"""The files that cut text and give ids."""

_DEFAULTS = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

Cut = list[tuple[str, tuple[int, int]]]
"""Pieces, and the characters each stands for: from, to (excluded)."""


def is_marian(folder: Path) -> bool:
    """Whether the tokenizer of this folder is Marian's, be it whole or not."""
    if (folder / SOURCE).exists() or (folder / TARGET).exists():
        return True
    if (folder / "tokenizer.json").exists():
        return False
    return read_config(folder).get("tokenizer_class") == "MarianTokenizer"


class MarianTokenizer:
    """The tokenizer of a folder of Marian's: a `Tokenizer` with a side to read and a side to write.

    `encode` reads a text to translate, `decode` makes text of what the network answers, and `encode_target` gives the
    ids of a translation, to train or to score on. Special tokens never come from text unless asked. A text may begin
    with the language to translate to, ``>>fra<<``, which is one token.
    """

    def __init__(self, folder: Path):
        """Reads the files of ``folder``.

        Raises:
            TokenizerError: one of them is missing or damaged, or a token without an id is named.
            Unsupported: tokens were added that are not in `vocab.json`.
        """
        config = read_config(folder)
        names = [SOURCE, TARGET, VOCABULARY, *([TARGET_VOCABULARY] if config.get("separate_vocabs") else [])]
        _refuse_incomplete(folder, names)
        self._files = {name: read_bytes(folder / name) for name in names}
        self._config = config
        self._template: str | None = config.get("chat_template")
        source = read_vocabulary(folder / VOCABULARY)
        target = read_vocabulary(folder / TARGET_VOCABULARY) if TARGET_VOCABULARY in names else source
        self._pieces = {id: piece for piece, id in target.items()}
        self._roles = {role: _content(config.get(role)) or default for role, default in _DEFAULTS.items()}
        self._special = _special_tokens(config, self._roles, source, folder / VOCABULARY)
        self._special_ids = frozenset(self._special.values())
        self._ids = target | source
        unknown = self._roles["unk_token"]
        if unknown not in target:
            raise damaged(folder / TARGET_VOCABULARY, f"no id for {unknown}")
        self._source = _Side(folder / SOURCE, source, frozenset(self._special), unknown)
        self._target = _Side(folder / TARGET, target, frozenset(self._special), unknown)

    # Vocabulary ------------------------------------------------------------------------------------------------

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id of a translation: the rows that the network's output needs."""
        return max(self._pieces) + 1

    @property
    def special_tokens(self) -> dict[str, int]:
        """Special tokens and their ids."""
        return dict(self._special)

    @property
    def bos_id(self) -> int | None:
        """None: the decoder begins with the padding, which `config.json` says (``decoder_start_token_id``)."""
        return None

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text on both sides."""
        return self._special[self._roles["eos_token"]]

    @property
    def pad_id(self) -> int | None:
        """The id that fills rows, and that the decoder begins with."""
        return self._special[self._roles["pad_token"]]

    @property
    def unk_id(self) -> int | None:
        """The id of what is not in the vocabulary."""
        return self._special[self._roles["unk_token"]]

    @property
    def cls_id(self) -> int | None:
        """None: there is no such token."""
        return None

    @property
    def sep_id(self) -> int | None:
        """None: there is no such token."""
        return None

    @property
    def mask_id(self) -> int | None:
        """None: there is no such token."""
        return None

    @property
    def chat_template(self) -> str | None:
        """None but in a folder that holds one."""
        return self._template

    def with_chat_template(self, source: str) -> NoReturn:
        """``Unsupported``: Marian's models translate."""
        raise Unsupported("a tokenizer of Marian's carries no chat template", received=source[:40])

    @property
    def languages(self) -> list[str]:
        """The language codes that a text may begin with, such as ``>>fra<<``; none where there is one language."""
        return [piece for piece in self._source.ids if piece.startswith(">>") and piece.endswith("<<")]

    def id(self, token: str) -> int | None:
        """The id of a piece or of a special token, or None; where both sides have one, the source's."""
        return self._ids.get(token)

    def token(self, id: int) -> str:
        """The piece of an id of a translation as the vocabulary file spells it."""
        if id not in self._pieces:
            raise TokenizerError(
                "this id is not in the vocabulary",
                received=id,
                expected=f"an id below {self.vocabulary_size}",
                fix="use the tokenizer that was saved with the model",
            )
        return self._pieces[id]

    def token_bytes(self, id: int) -> bytes:
        """The bytes an id adds inside a text; of a special token, those of its name."""
        piece = self.token(id)
        return (piece if id in self._special_ids else piece.replace(MARKER, " ")).encode("utf-8")

    # Text to ids -----------------------------------------------------------------------------------------------

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text to translate, without the end; see `suffix_ids`.

        With ``special``, special tokens written in the text are read as such. A lone surrogate, which UTF-8 cannot
        carry, counts as U+FFFD.
        """
        return self._source.encode(text) if not special else self.offsets(text, special=True)[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text."""
        return [self._source.encode(text) for text in texts]

    def encode_target(self, text: str) -> list[int]:
        """The ids of a translation, without the end: those that the network is trained to answer."""
        return self._target.encode(text)

    def encode_target_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode_target` of each text."""
        return [self._target.encode(text) for text in texts]

    def offsets(self, text: str, special: bool = False) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a text to translate as `encode` gives them, and the characters that each stands for: from, to
        (excluded)."""
        text = encodable(text)
        names = sorted(map(re.escape, self._special), key=len, reverse=True)
        stretches = re.split(f"({'|'.join(names)})", text) if special else [text]
        ids: list[int] = []
        places: list[tuple[int, int]] = []
        begin = 0
        for number, stretch in enumerate(stretches):
            end = begin + len(stretch)
            if number % 2:
                ids.append(self._special[stretch])
                places.append((begin, end))
            else:
                cut = self._source.cut(stretch)
                ids += self._source.ids_of([piece for piece, _ in cut])
                places += [(begin + first, begin + last) for _, (first, last) in cut]
            begin = end
        return ids, places

    def encode_joined(
        self, texts: Sequence[Text], longest: int | None = None, *, offsets: bool = False
    ) -> list[Joined]:
        """``Unsupported``: these networks translate, and no head ever reads their rows."""
        raise Unsupported(
            "a tokenizer of Marian's reads texts to translate, one at a time",
            expected="a tokenizer that says how texts are joined to be classified or asked about",
        )

    @property
    def prefix_ids(self) -> list[int]:
        """Nothing stands before a text."""
        return []

    @property
    def suffix_ids(self) -> list[int]:
        """The end of a text, which the network reads too."""
        return [self._special[self._roles["eos_token"]]]

    # Ids to text -----------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The translation that ``ids`` spell, without the special tokens (``<unk>`` is one) unless ``special``.

        Raises:
            TokenizerError: an id is outside the vocabulary.
        """
        text, run = "", []
        for id in ids:
            piece = self.token(int(id))
            if int(id) not in self._special_ids:
                run.append(piece)
            elif special:
                text += self._target.text_of(run) + piece + " "
                run = []
        return (text + self._target.text_of(run)).strip()

    # Storage ---------------------------------------------------------------------------------------------------

    def files(self) -> NoReturn:
        """``Unsupported``: two ways to cut text do not go into one `tokenizer.json`."""
        raise Unsupported(
            "a tokenizer of Marian's reads one language and writes another, which tokenizer.json cannot hold",
            received=", ".join(self._files),
            expected="a tokenizer of one vocabulary",
            fix="train one with trivium prepare, or use this one with its own model",
        )

    def save(self, folder: str | Path) -> None:
        """Write the files it was read from, which `transformers.MarianTokenizer` opens."""
        folder = Path(folder)
        config = {"tokenizer_class": "MarianTokenizer", **self._config}
        files = {**self._files, CONFIG: (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode("utf-8")}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (folder / name).write_bytes(content)
        except OSError as error:
            raise StorageError(
                "the tokenizer cannot be written",
                received=f"{folder}: {error.strerror}",
                fix="choose a folder with space and write permission",
            ) from error


class _Side:
    """One language: its SentencePiece model cuts, its vocabulary gives ids."""

    def __init__(self, path: Path, ids: dict[str, int], special: frozenset[str], unknown: str):
        backend, _ = from_model_file(path)
        self._backend = for_user_text(backend)
        # Its control pieces, which spell nothing.
        self._hidden = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
        self.ids = {piece: id for piece, id in ids.items() if piece not in special}
        self._unknown = ids[unknown]

    def encode(self, text: str) -> list[int]:
        code, rest = _language(encodable(text))
        cut = self._backend.encode(readable(rest), add_special_tokens=False).tokens
        return self.ids_of([code, *cut] if code else cut)

    def cut(self, text: str) -> Cut:
        """The pieces of a text, whether they are in the vocabulary or not, with their places."""
        code, rest = _language(text)
        found = self._backend.encode(readable(rest), add_special_tokens=False)
        begin = len(code)
        cut: Cut = [(code, (0, begin))] if code else []
        places = [(begin + first, begin + last) for first, last in found.offsets]
        return cut + list(zip(found.tokens, places, strict=True))

    def ids_of(self, pieces: Iterable[str]) -> list[int]:
        return [self.ids.get(piece, self._unknown) for piece in pieces]

    def text_of(self, pieces: Sequence[str]) -> str:
        """The text that pieces spell, be they of this side or of the other."""
        assert self._backend.decoder is not None
        return self._backend.decoder.decode([piece for piece in pieces if piece not in self._hidden])


def _language(text: str) -> tuple[str, str]:
    """The code of a language that a text begins with, or nothing, and the rest."""
    end = text.find("<<") + 2 if text.startswith(">>") else 0
    return ("", text) if end < 2 else (text[:end], text[end:])


def _refuse_incomplete(folder: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise TokenizerError(
            "this tokenizer of Marian's is not whole",
            received=f"{folder} without {' and '.join(missing)}",
            expected=", ".join(names),
            fix="copy or download the missing files too",
        )


def _special_tokens(
    config: dict[str, Any], roles: dict[str, str], vocabulary: dict[str, int], path: Path
) -> dict[str, int]:
    """End, unknown and padding, and those that the configuration names beside them."""
    added = list((config.get("added_tokens_decoder") or {}).values())
    extra = [*(config.get("additional_special_tokens") or []), *(config.get("extra_special_tokens") or [])]
    names = dict.fromkeys([*roles.values(), *(_content(token) for token in (*added, *extra))])
    ordinary = [token["content"] for token in added if not token.get("special") and token["content"] in names]
    outside = [name for name in names if name not in vocabulary and name not in roles.values()]
    if outside or ordinary:
        raise Unsupported(
            "tokens were added to this tokenizer, and this release does not read such ones",
            received=", ".join(map(str, (*outside, *ordinary))),
            expected=f"special tokens that stand in {VOCABULARY}",
            fix="give them ids in that file, and rows in the model",
        )
    for name in roles.values():
        if name not in vocabulary:
            raise damaged(path, f"no id for {name}")
    return {name: vocabulary[name] for name in names if name is not None}


def _content(token: str | dict[str, Any] | None) -> str | None:
    return token["content"] if isinstance(token, dict) else token
