"""BERT's `vocab.txt`: one piece a line, its id the line number."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models

from trivium.tokenizers.around import put_around
from trivium.tokenizers.files import CONFIG, damaged, read_config, read_text
from trivium.tokenizers.special import BERT, SpecialTokens
from trivium.tokenizers.wordpiece import wordpiece_tokenizer


def from_vocabulary_lines(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The backend and the configuration of a `vocab.txt`.

    Whether text is lower-cased is told by `tokenizer_config.json` beside it (``do_lower_case``). Without one it is
    guessed: a vocabulary with no capital letter in it, outside the special tokens, is of a lower-casing model.
    """
    lines = read_text(path).split("\n")
    if not lines[-1]:
        lines.pop()
    vocabulary = {line.rstrip("\r"): id for id, line in enumerate(lines)}
    if not vocabulary.keys() >= {BERT.unk, BERT.cls, BERT.sep}:
        raise damaged(path, "no lines [UNK], [CLS] and [SEP]")
    given = read_config(path.parent)
    lowercase = given.get("do_lower_case")
    if lowercase is None:
        lowercase = not any(piece != piece.lower() for piece in vocabulary if not piece.startswith("["))
    special = SpecialTokens(
        bos=None,
        eos=None,
        pad=BERT.pad if BERT.pad in vocabulary else None,
        unk=BERT.unk,
        cls=BERT.cls,
        sep=BERT.sep,
        mask=BERT.mask if BERT.mask in vocabulary else None,
        roles=(),
    )
    backend = wordpiece_tokenizer(
        models.WordPiece(vocabulary, unk_token=BERT.unk),
        special,
        lowercase=bool(lowercase),
        strip_accents=given.get("strip_accents"),
        chinese_characters_apart=given.get("tokenize_chinese_chars", True),
        tidy=True,
    )
    put_around(backend, special)
    return backend, {**CONFIG, **special.named()}
