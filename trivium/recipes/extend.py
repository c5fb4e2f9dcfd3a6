"""A model learns to read a language, or the words of a field, in fewer tokens: its vocabulary grows, and it with it.

    extend(ExtendConfig(model=Path("base"), text=(Path("finnish.txt"),), pieces=4000, output=Path("larger")))

New pieces are learnt from the text over the old ones, and begin as the mean of the old pieces they are made of. The
model is to be trained on the text afterwards: until then it foretells it worse, since every new piece takes some of the
probability of those it is made of.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from trivium.checkpoints.folder import replaceable
from trivium.checkpoints.model_folder import save_folder
from trivium.checkpoints.provenance import is_adapter, parent_facts
from trivium.checkpoints.vocabulary import grown
from trivium.data.documents import read_documents
from trivium.data.provenance import text_sha256
from trivium.errors import ConfigError, Unsupported
from trivium.evaluation.bits_per_byte import bits_per_byte, store_of_texts
from trivium.lm.load import load, saved_folder
from trivium.lm.local import LocalModel
from trivium.recipes.general_text import texts_of
from trivium.tokenizers.extend import extend as more_pieces
from trivium.tokenizers.fertility import fertility

_INHERITED = ("objective", "data", "data_fingerprint")
"""What is still true of the larger model: how it was trained, and on what, which is measured and rehearsed later."""
_UNLIMITED_WINDOW = 1024
"""Tokens of a window where the model has no limit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtendConfig:
    """Gives a model more pieces, learnt from new text, for a language or a field that its vocabulary cuts too fine."""

    model: pathlib.Path
    """Folder of the model, or of the run that made it."""
    text: tuple[pathlib.Path, ...]
    """Files or folders of text to learn the pieces from."""
    pieces: int = 2000
    """New pieces."""
    measure: tuple[pathlib.Path, ...] = ()
    """Files or folders of text to compare both models on, such as held-out text of the new and of the old language;
    none given: the text itself."""
    text_bytes: int = 200_000
    """About so much of each is read when measuring, taken evenly."""
    output: pathlib.Path = pathlib.Path("extended")
    """Folder of the larger model."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""

    def __post_init__(self) -> None:
        if not self.text:
            raise ConfigError("there is no text to learn pieces from", fix="name files with --text")
        if self.pieces < 1:
            raise ConfigError("pieces must be at least 1", received=self.pieces)
        if self.text_bytes < 1:
            raise ConfigError("text_bytes must be at least 1", received=self.text_bytes)


def extend(config: ExtendConfig) -> dict[str, Any]:
    """`{"output", "pieces", "vocabulary_size", "measured": {file: {figure: {"before", "after"}}}}`.

    Figures are tokens a word, bytes a token and, of models that read from left to right, bits per byte.

    Raises `UserError` before anything is written: an adapter, a vocabulary that is no byte-pair encoding, text that
    cannot be read.
    """
    replaceable(config.output)
    if is_adapter(saved_folder(config.model)):
        raise Unsupported(
            "this is an adapter, and a vocabulary is a whole model's",
            received=config.model,
            fix=f"make it part of its base first: trivium merge {config.model} --output FOLDER",
        )
    model = load(config.model, device=config.device)
    if model.tokenizer is None:
        raise Unsupported("the model has no tokenizer whose vocabulary could grow", received=config.model)
    documents, _ = read_documents(config.text)
    texts = [document.text for document in documents]
    found = more_pieces(model.tokenizer, texts, config.pieces)
    measured = {
        file: texts_of(file, measured=True, most_bytes=config.text_bytes) for file in config.measure or config.text
    }
    before = {file: _figures(model, read) for file, read in measured.items()}
    larger = LocalModel(grown(model.network, found.made_of), found.tokenizer, generation=model.generation)
    larger.network.to(next(model.network.parameters()).device)
    after = {file: _figures(larger, read) for file, read in measured.items()}
    told = {} if model.origin is None else model.origin.described
    metadata = {
        **{name: told[name] for name in _INHERITED if name in told},
        **parent_facts(saved_folder(config.model), named=config.model),
        "new_pieces": len(found.made_of),
        "pieces_learnt_from": [str(path) for path in config.text],
        "pieces_text_sha256": text_sha256("\0".join(texts)),
    }
    save_folder(
        config.output, larger.network, tokenizer=found.tokenizer, generation=larger.generation, metadata=metadata
    )
    return {
        "output": str(config.output),
        "pieces": len(found.made_of),
        "vocabulary_size": found.tokenizer.vocabulary_size,
        "measured": {
            str(file): {name: {"before": before[file][name], "after": after[file][name]} for name in before[file]}
            for file in measured
        },
    }


def _figures(model: LocalModel, texts: Sequence[str]) -> dict[str, float | None]:
    assert model.tokenizer is not None
    (row,) = fertility(model.tokenizer, [("text", text) for text in texts])
    figures = {"tokens_per_word": row.tokens_per_word, "bytes_per_token": row.bytes_per_token}
    if model.architecture.kind in ("decoder", "recurrent"):
        store = store_of_texts(texts, model.tokenizer, model.config.vocabulary_size)
        window = model.config.context_tokens or _UNLIMITED_WINDOW
        figures["bits_per_byte"] = bits_per_byte(model.network, store, context_tokens=window).bits_per_byte
    return figures
