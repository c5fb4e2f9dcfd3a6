"""Open a vocabulary from the files it is published in."""

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from trivium.errors import StorageError, TokenizerError, Unsupported
from trivium.tokenizers.tokenizer import Tokenizer

_GPT2_FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
_LATER = (".tiktoken", ".model")


def load(path: str | Path) -> Tokenizer:
    """The tokenizer of a folder (`tokenizer.json`, or GPT-2's two files) or of a `tokenizer.json`.

    Raises:
        StorageError: there is no such file or folder, or it cannot be read.
        TokenizerError: the file is damaged, or the folder holds no tokenizer.
        Unsupported: a published format that is not read yet.
    """
    path = Path(path)
    if not path.exists():
        raise StorageError(
            "there is no such tokenizer",
            received=path,
            expected="a folder with tokenizer.json, or that file",
            fix="check the path",
        )
    if path.is_dir():
        return _from_folder(path)
    if path.suffix in _LATER or path.name == "vocab.txt":
        raise Unsupported(
            "this tokenizer format is not read yet",
            received=path.name,
            expected="tokenizer.json, or a folder with vocab.json and merges.txt",
            fix="save it with `transformers` first: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
        )
    return _from_json(path, path.with_name("tokenizer_config.json"))


def _from_folder(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").exists():
        return _from_json(folder / "tokenizer.json", folder / "tokenizer_config.json")
    for vocabulary, merges in _GPT2_FILES:
        if (folder / vocabulary).exists() and (folder / merges).exists():
            return _from_gpt2(folder / vocabulary, folder / merges)
    raise TokenizerError(
        "the folder holds no tokenizer",
        received=folder,
        expected="tokenizer.json, or vocab.json with merges.txt",
        fix="point at the folder that the model was saved in",
    )


def _from_json(path: Path, config_path: Path) -> Tokenizer:
    text = _read(path)
    try:
        backend = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the Rust library raises plain Exception for every malformed file
        raise _damaged(path, str(error)) from error
    config: dict[str, Any] = {}
    if config_path.exists():
        try:
            config = json.loads(_read(config_path))
        except json.JSONDecodeError as error:
            raise _damaged(config_path, str(error)) from error
        if not isinstance(config, dict):
            raise _damaged(config_path, f"a JSON {type(config).__name__}")
    template = path.with_name("chat_template.jinja")
    if template.exists():
        config["chat_template"] = _read(template)
    return Tokenizer(backend, config)


def _from_gpt2(vocabulary: Path, merges: Path) -> Tokenizer:
    """The two files of Radford et al. 2019; the only special token, ``<|endoftext|>``, is bos and eos at once."""
    try:
        model = models.BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # as above
        raise _damaged(vocabulary, str(error)) from error
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    backend.add_special_tokens([AddedToken(end, special=True, normalized=False)])
    return Tokenizer(backend, {**CONFIG, "bos_token": end, "eos_token": end})


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(
            "the tokenizer cannot be read", received=f"{path}: {error.strerror}", fix="check the permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise _damaged(path, f"not UTF-8 at byte {error.start}") from error


def _damaged(path: Path, reason: str) -> TokenizerError:
    return TokenizerError(
        "the tokenizer file is damaged", received=f"{path}: {reason}", fix="copy or download the file again"
    )


CONFIG: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
"""What `tokenizer_config.json` says for every tokenizer we make: `transformers` must not tidy the decoded text."""
