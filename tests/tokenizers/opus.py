"""The tokenizer's files of an opus-mt folder, made here: small, but real."""

import functools
import gzip
import io
import json
import pathlib
from typing import Any

import sentencepiece

END, UNKNOWN, PAD = "</s>", "<unk>", "<pad>"
LANGUAGES = (">>deu<<", ">>fra<<")
_WITHOUT = 7  # pieces of each side that the vocabulary leaves out, as published ones do


def captions(shared_data: pathlib.Path, name: str) -> list[str]:
    """The sentences of one file of Multi30k, such as "val.en"."""
    with gzip.open(shared_data / "nc-multi30k" / f"{name}.gz", "rt", encoding="utf-8") as file:
        return file.read().splitlines()


@functools.cache
def _model(shared_data: pathlib.Path, language: str) -> bytes:
    """A Unigram model as Marian's are trained (Tiedemann and Thottingal 2020), but for its size."""
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(captions(shared_data, f"val.{language}")),
        model_writer=file,
        model_type="unigram",
        vocab_size=600,
        character_coverage=0.9995,
        num_threads=1,
        minloglevel=2,
    )
    return file.getvalue()


def _pieces(model: bytes) -> list[str]:
    program = sentencepiece.SentencePieceProcessor(model_proto=model)
    found = [program.id_to_piece(i) for i in range(program.get_piece_size())]
    return sorted(set(found) - {"<s>", END, UNKNOWN})[:-_WITHOUT]


def write_tokenizer(
    folder: pathlib.Path, shared_data: pathlib.Path, *, separate: bool = False, config: dict[str, Any] | None = None
) -> dict[str, int]:
    """Writes the files of English to German; the ids of the (target's) vocabulary."""
    models = {"source": _model(shared_data, "en"), "target": _model(shared_data, "de")}
    for side, model in models.items():
        (folder / f"{side}.spm").write_bytes(model)
    source, target = map(_pieces, models.values())
    sides = (source, target) if separate else ([*source, *target],)
    for name, pieces in zip(("vocab.json", "target_vocab.json"), sides, strict=False):
        ids = {piece: id for id, piece in enumerate(dict.fromkeys([END, UNKNOWN, *LANGUAGES, *pieces, PAD]))}
        (folder / name).write_text(json.dumps(ids), encoding="utf-8")
    given = {"source_lang": "en", "target_lang": "de", "separate_vocabs": separate, **(config or {})}
    (folder / "tokenizer_config.json").write_text(json.dumps(given), encoding="utf-8")
    return ids
