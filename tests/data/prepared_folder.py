"""A small prepared folder, written by hand: the same files as `trivium prepare` leaves, and known documents in it."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from trivium import tokenizers
from trivium.data.prepared import (
    DOCUMENTS,
    DOCUMENTS_SHA256,
    FORMAT,
    FUNNEL,
    MANIFEST,
    Prepared,
    documents_sha256,
    fingerprint,
    open_prepared,
)
from trivium.data.provenance import text_sha256, tokenizer_sha256
from trivium.data.shards import ShardWriter, TokenStore
from trivium.tokenizers import Tokenizer

SENTENCES = ["the cat sat on the mat", "a dog ran to the cat", "naïve café", "dogs and cats run", "¥600 or 5 €"]


def vocabulary() -> Tokenizer:
    return tokenizers.train(SENTENCES, vocabulary_size=290)


def write_prepared(
    folder: pathlib.Path, *, train: Sequence[Mapping[str, Any]] = (), validation: Sequence[Mapping[str, Any]] = ()
) -> Prepared:
    """Documents are ``{"ids": [...], "text": ...}`` with "source" and "licence" where they matter."""
    sides = {
        "train": train or [{"ids": [f"{n}.txt"], "text": f"{n}: {SENTENCES[n % 5]}"} for n in range(12)],
        "validation": validation or [{"ids": [f"held-{n}.txt"], "text": f"held out {n}"} for n in range(3)],
    }
    tokenizer = vocabulary()
    tokenizer.save(folder)
    with (folder / DOCUMENTS).open("w", encoding="utf-8") as file:
        for side, documents in sides.items():
            (folder / side).mkdir()
            writer = ShardWriter(folder / side, vocabulary_size=tokenizer.vocabulary_size)
            for index, document in enumerate(documents):
                ids = [tokenizer.bos_id, *tokenizer.encode(document["text"]), tokenizer.eos_id]
                writer.add(ids, len(document["text"].encode()))
                line = {"side": side, "index": index, "ids": document["ids"], "sha256": text_sha256(document["text"])}
                line |= {"source": document.get("source", "notes"), "licence": document.get("licence", "CC0-1.0")}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            writer.finish()
    stores = [TokenStore.open(folder / side) for side in sides]
    funnel = [
        {"rule": "duplicate", "examples": [{"id": "9-again.txt", "reason": "nearly repeats 3.txt", "text": "3:"}]}
    ]
    funnel += [{"rule": "cleaned", "examples": [{"id": "3.txt", "text": "3: dogs"}, {"id": "4.txt", "text": "4:"}]}]
    (folder / FUNNEL).write_text(json.dumps(funnel), encoding="utf-8")
    count = sum(len(document["ids"]) for documents in sides.values() for document in documents)
    source = {"source": "notes", "licence": "CC0-1.0", "origin": "notes", "sha256": "ab" * 32, "documents": count}
    manifest = {
        "format": FORMAT,
        "fingerprint": fingerprint(tokenizer, *stores, documents_sha256(folder)),
        DOCUMENTS_SHA256: documents_sha256(folder),
        "split": "group",
        "documents_in": count + 1,
        "documents_out": count,
        "removed": {"duplicate": 1},
        "bytes_in": 1000,
        "bytes_out": sum(store.num_bytes for store in stores),
        "tokens": sum(store.num_tokens for store in stores),
        "licences": {"CC0-1.0": count},
        "sources": [source],
        "tokenizer": {"sha256": tokenizer_sha256(folder), "kind": "byte_bpe", "vocabulary_size": 290},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return open_prepared(folder)
