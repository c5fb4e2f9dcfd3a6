"""One vector for a text: how a folder says that it is made, and making it.

The hidden states of a text are pooled: by their mean, unless the folder says otherwise. A folder of the package
sentence-transformers says it in these files, the first of which lists the steps:

    modules.json                       Transformer, then Pooling, then perhaps Normalize
    1_Pooling/config.json              first ([CLS]), last, mean or max
    sentence_bert_config.json          how many tokens of a text are read, and whether in lower case

Reimers and Gurevych 2019, "Sentence-BERT", section 3. Vectors have length 1 here whether or not a folder asks for it:
their cosine is then their product, and stays what it was.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import nn

from trivium.errors import CheckpointError, DataError, NonFiniteError, Unsupported
from trivium.generation.reading import device_of
from trivium.lm.protocol import Embeddings
from trivium.lm.reading import Read, at_most, longest_row, read_hidden, reads_types
from trivium.nn.classification_head import Pooling, pool
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined

OBJECTIVE = "embedding"
"""What ``trivium.json`` calls the objective of a model that was trained to embed texts."""
_MODULES = "modules.json"
_AT_ONCE = 2048  # tokens; 1024 to 4096 are equally fast, and fewer take less memory
_MODES: dict[str, Pooling] = {
    "cls": "first",
    "lasttoken": "last",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean",  # the same direction
}
"""Our names of the poolings of sentence-transformers."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingFacts:
    """How a vector is made of a text."""

    pooling: Pooling = "mean"
    """What is taken of the hidden states."""
    context_tokens: int | None = None
    """Tokens that are read of a text, special ones included; None: as many as the network holds."""
    lower_case: bool = False
    """Whether a text is read in lower case."""

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "EmbeddingFacts":
        """From the content of ``trivium.json``; the mean of all tokens where it says nothing.

        Raises ``CheckpointError`` for what cannot be meant.
        """
        told = described if described.get("objective") == OBJECTIVE else {}
        return _checked(
            "trivium.json", told.get("pooling", "mean"), told.get("context_tokens"), told.get("lower_case") is True
        )

    def to_json(self) -> dict[str, Any]:
        """What `of` reads back."""
        told = {"pooling": self.pooling, "context_tokens": self.context_tokens, "lower_case": self.lower_case}
        return {"objective": OBJECTIVE, **told}


# A folder of sentence-transformers -----------------------------------------------------------------------------------


def sentence_facts(folder: pathlib.Path) -> EmbeddingFacts | None:
    """What a folder of sentence-transformers says; None for other folders.

    Raises ``Unsupported`` for steps and settings that this release does not have, ``CheckpointError`` for files that
    cannot be read.
    """
    if not (folder / _MODULES).is_file():
        return None
    modules = _read(folder / _MODULES, list)
    steps = [(str(module.get("type", "")).rpartition(".")[2], str(module.get("path", ""))) for module in modules]
    kinds = [kind for kind, _ in steps]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        raise Unsupported(
            f"this release does not make vectors in these steps ({_MODULES})",
            received=", ".join(kinds) or "none",
            expected="Transformer, Pooling, and perhaps Normalize",
        )
    _refuse_prompt(folder)
    read = _read(_inside(folder, steps[0][1]) / "sentence_bert_config.json", dict, missing={})
    pooling = _pooling(_inside(folder, steps[1][1]) / "config.json")
    lower_case = read.get("do_lower_case") is True
    return _checked("sentence_bert_config.json", pooling, read.get("max_seq_length"), lower_case)


def _checked(file: str, pooling: Any, context: Any, lower_case: bool) -> EmbeddingFacts:
    if pooling not in get_args(Pooling) or not (context is None or (type(context) is int and context > 0)):
        raise CheckpointError(
            f"{file} does not say how texts are embedded",
            received=f"pooling {pooling!r}, tokens {context!r}",
            expected=f"pooling {' or '.join(get_args(Pooling))}, and a number of tokens",
            fix="copy it from where the model was trained",
        )
    return EmbeddingFacts(pooling=pooling, context_tokens=context, lower_case=lower_case)


def _pooling(path: pathlib.Path) -> Pooling:
    """The one pooling that the file asks for: by its name, or by a switch for each."""
    config = _read(path, dict)
    named = config.get("pooling_mode")
    modes = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    switches = (name for name, on in config.items() if name.startswith("pooling_mode_") and on is True)
    modes = modes or [name.removeprefix("pooling_mode_") for name in switches]
    known: dict[Any, Pooling] = {
        name: ours for mode, ours in _MODES.items() for name in (mode, f"{mode}_token", f"{mode}_tokens")
    }
    if len(modes) != 1 or modes[0] not in known:
        raise Unsupported(
            f"this release does not pool so ({path})",
            received=" and ".join(map(str, modes)) or "no pooling",
            expected="one of " + ", ".join(_MODES),
        )
    return known[modes[0]]


def _refuse_prompt(folder: pathlib.Path) -> None:
    config = _read(folder / "config_sentence_transformers.json", dict, missing={})
    if config.get("default_prompt_name") is not None:
        raise Unsupported(
            "this release puts no prompt before the texts that it embeds",
            received=f"default_prompt_name {config['default_prompt_name']!r}",
            fix="take it out of config_sentence_transformers.json, and write the prompt before each text yourself",
        )


def _inside(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The folder of a step; never one outside of the model's own."""
    if pathlib.PurePath(name).is_absolute() or ".." in pathlib.PurePath(name).parts:
        raise CheckpointError(f"{folder / _MODULES} leads out of its folder", received=name, fix="copy it again")
    return folder / name


def _read(path: pathlib.Path, kind: type, missing: Any = None) -> Any:
    if missing is not None and not path.is_file():
        return missing
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON", received=error, fix="copy it again") from error
    if not isinstance(content, kind) or (kind is list and not all(isinstance(one, dict) for one in content)):
        raise CheckpointError(f"{path} is of another form", received=type(content).__name__, fix="copy it again")
    return content


# Vectors -------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def embed_texts(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], facts: EmbeddingFacts, read: Read | None = None
) -> Embeddings:
    """A vector of length 1 for each text; a text that is too long is read up to where there is room.

    ``read`` is what reads, where that is not the whole network. Raises ``DataError`` for an empty text and for one in
    place of several, ``NonFiniteError`` for weights that give no numbers.
    """
    if isinstance(texts, str):
        raise DataError("embed takes several texts", received="one text", fix="embed([text])")
    given = [text.lower() for text in texts] if facts.lower_case else list(texts)
    longest = at_most(facts.context_tokens, longest_row(network))
    whole = _rows(network, tokenizer, given)
    kept = [_kept(row, longest, len(tokenizer.suffix_ids)) for row in whole]
    empty = next((number for number, row in enumerate(kept) if not row.ids), None)
    if empty is not None:
        raise DataError("an empty text has no vector", received=f"text {empty}", fix="leave empty texts out")
    device = device_of(network)
    config: Any = network.config
    vectors = torch.empty(0, config.width, device=device)
    for places, states, lengths in read_hidden(network, kept, at_once=_AT_ONCE, read=read):
        found = nn.functional.normalize(pool(states, lengths, facts.pooling), dim=-1)
        if not len(vectors):
            vectors = found.new_empty(len(kept), found.shape[1])
        vectors[torch.tensor(places, device=device)] = found
    if not bool(vectors.isfinite().all()):
        raise NonFiniteError("the model's hidden states are not numbers (NaN or infinite): nothing can be embedded")
    cut = [len(row.ids) - len(read.ids) for row, read in zip(whole, kept, strict=True)]
    return Embeddings(vectors=vectors, cut_tokens=cut)


def _rows(network: nn.Module, tokenizer: Tokenizer, texts: Sequence[str]) -> list[Joined]:
    if reads_types(network):
        return tokenizer.encode_joined(texts)
    before, after = tokenizer.prefix_ids, tokenizer.suffix_ids
    found = [before + ids + after for ids in tokenizer.encode_batch(texts)]
    return [Joined(ids=ids, types=[0] * len(ids), sides=[0] * len(ids), offsets=[]) for ids in found]


def _kept(row: Joined, longest: int | None, after: int) -> Joined:
    """``row`` without the end of its text, but with the ``after`` special tokens that end it."""
    if longest is None or len(row.ids) <= longest:
        return row
    first = max(0, longest - after)

    def kept(values: Sequence[Any]) -> list[Any]:
        return [*values[:first], *values[len(values) - after :]]

    return Joined(ids=kept(row.ids), types=kept(row.types), sides=kept(row.sides), offsets=[])
