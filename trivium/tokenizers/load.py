"""Open a vocabulary from the files it is published in."""

import json
from pathlib import Path
from typing import Any

import tokenizers

from trivium.errors import StorageError, TokenizerError
from trivium.tokenizers.bert_files import from_vocabulary_lines
from trivium.tokenizers.files import damaged, read_bytes, read_config, read_text
from trivium.tokenizers.gpt2_files import PAIRS, from_vocabulary_and_merges
from trivium.tokenizers.marian_files import FILES as MARIAN_FILES
from trivium.tokenizers.marian_files import MarianTokenizer, is_marian
from trivium.tokenizers.protocol import Tokenizer
from trivium.tokenizers.sentencepiece import FILES as SENTENCEPIECE_FILES
from trivium.tokenizers.sentencepiece import from_model_file
from trivium.tokenizers.tiktoken_files import from_ranks, is_ranks
from trivium.tokenizers.tokenizer import JsonTokenizer

_EXPECTED = (
    "tokenizer.json, vocab.json with merges.txt (GPT-2, CLIP), vocab.txt (BERT), "
    "spiece.model or tokenizer.model (SentencePiece), source.spm, target.spm and vocab.json (Marian), or NAME.tiktoken"
)


def load(path: str | Path, *, pattern: str | None = None) -> Tokenizer:
    """The tokenizer of a folder, or of one of its files.

    Read are `tokenizer.json`; GPT-2's, RoBERTa's and CLIP's pair of vocabulary and merges; BERT's `vocab.txt`;
    SentencePiece's model file (T5, Llama); tiktoken's ranks. Where a folder holds several, the first in this order is
    taken. Marian's folder of `source.spm`, `target.spm` and `vocab.json` comes before all of them.

    Args:
        path: the folder or the file.
        pattern: for a `.tiktoken` file whose name is no published encoding: the regular expression that its text is
            cut by. Nothing else takes it.

    Raises:
        StorageError: there is no such file or folder, or it cannot be read.
        TokenizerError: the file is damaged, or the folder holds no tokenizer.
        Unsupported: a SentencePiece model that is neither Unigram nor BPE.
    """
    path = Path(path)
    if not path.exists():
        raise StorageError(
            "there is no such tokenizer",
            received=path,
            expected="a folder with tokenizer.json, or that file",
            fix="check the path",
        )
    folder = path if path.is_dir() else path.parent
    if (path.is_dir() or path.name in MARIAN_FILES) and is_marian(folder) and pattern is None:
        return MarianTokenizer(folder)
    file = _file_of(path) if path.is_dir() else path
    ranks = file.suffix == ".tiktoken" or (file.suffix == ".model" and is_ranks(read_bytes(file)))
    if ranks:
        return JsonTokenizer(*from_ranks(file, pattern=pattern))
    if pattern is not None:
        raise TokenizerError(
            "only a tiktoken file is loaded with a pattern",
            received=f"pattern={pattern!r} with {file.name}",
            fix="leave pattern out",
        )
    if file.suffix == ".model":
        return JsonTokenizer(*from_model_file(file))
    if file.name.endswith("vocab.txt"):
        return JsonTokenizer(*from_vocabulary_lines(file))
    for pair in PAIRS:
        if file.name in pair:
            vocabulary, merges = (file.with_name(name) for name in pair)
            return JsonTokenizer(*from_vocabulary_and_merges(vocabulary, merges))
    return JsonTokenizer(*_from_json(file))


def _file_of(folder: Path) -> Path:
    """The file of a folder that says how its tokenizer works."""
    names = ["tokenizer.json", *(first for first, second in PAIRS if (folder / second).exists()), "vocab.txt"]
    found = [folder / name for name in (*names, *SENTENCEPIECE_FILES) if (folder / name).exists()]
    found += sorted(folder.glob("*.tiktoken"))
    if not found:
        raise TokenizerError(
            "the folder holds no tokenizer",
            received=folder,
            expected=_EXPECTED,
            fix="point at the folder that the model was saved in",
        )
    return found[0]


def _from_json(path: Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    text, config = read_text(path), read_config(path.parent)
    try:
        backend = tokenizers.Tokenizer.from_str(_with_special(text, config))
    except Exception as error:  # the Rust library raises plain Exception for every malformed file
        raise damaged(path, str(error)) from error
    # Files of sentence encoders cut and fill every text to one length: how much is read is the model's to say.
    backend.no_truncation()
    backend.no_padding()
    return backend, config


def _with_special(text: str, config: dict[str, Any]) -> str:
    """``tokenizer.json`` with the added tokens that ``config`` names (bos, eos ...) special, as in `transformers`."""
    description = json.loads(text)
    named = {value["content"] if isinstance(value, dict) else value for key, value in config.items() if _is_role(key)}
    ordinary = [t for t in description.get("added_tokens") or [] if t["content"] in named and not t["special"]]
    if not ordinary:
        return text
    for token in ordinary:
        token["special"] = True
    return json.dumps(description)


def _is_role(key: str) -> bool:
    return key in ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
