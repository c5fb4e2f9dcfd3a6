"""Text in general that a model should not forget: what it was trained on, else Python's documentation.

texts, source = general_texts(model, measured=True, most_bytes=50_000)      # to measure on
texts, source = general_texts(model, measured=False, most_bytes=10**6)      # to rehearse: none of what is measured
"""

import pathlib
from collections.abc import Sequence

from trivium.data.documents import read_documents
from trivium.data.embedded import embedded_documents, embedded_entries
from trivium.data.prepared import MANIFEST, open_prepared
from trivium.data.splits import is_held_out
from trivium.errors import UserError
from trivium.lm.local import LocalModel

_HELD_OUT = 0.05


def general_texts(model: LocalModel, *, measured: bool, most_bytes: int) -> tuple[list[str], str]:
    """(texts, where they are from in words): those to measure on, or the others. Raises `DataError` where this Python
    has no documentation."""
    described = {} if model.origin is None else model.origin.described
    data = described.get("data")
    if isinstance(data, str) and is_prepared(pathlib.Path(data)):
        try:
            found = texts_of(pathlib.Path(data), measured=measured, most_bytes=most_bytes)
            return found, f"of {data}, which the model was trained on"
        except UserError:  # altered since: nobody asked for it, and there is other text
            pass
    documents = embedded_documents(embedded_entries(("python",)))
    texts = [document.text for document in documents if is_held_out(document.group, _HELD_OUT) == measured]
    return evenly(texts, most_bytes), "the documentation of Python on this machine"


def is_prepared(path: pathlib.Path) -> bool:
    """Whether it is a folder that `trivium prepare` wrote, as far as its files tell."""
    return (path / MANIFEST).is_file() and (path / "validation").is_dir()


def texts_of(path: pathlib.Path, *, measured: bool, most_bytes: int) -> list[str]:
    """About so much of the text of a file or folder; of prepared text the held-out part, or the other.

    Raises `UserError` for what cannot be read.
    """
    if not is_prepared(path):
        return evenly([document.text for document in read_documents([path])[0]], most_bytes)
    prepared = open_prepared(path, verify=False)
    store = prepared.validation if measured else prepared.train
    chosen = _evenly(store.document_bytes.tolist(), most_bytes)
    return [prepared.tokenizer.decode(store.document(index).tolist()) for index in chosen]


def evenly(texts: Sequence[str], most_bytes: int) -> list[str]:
    """About so many bytes of ``texts``, from all over them; at least a beginning of one, where there is one."""
    chosen = [texts[index] for index in _evenly([len(text.encode("utf-8", "replace")) for text in texts], most_bytes)]
    left = most_bytes - sum(len(text) for text in chosen[:-1])
    return [*chosen[:-1], *(text[: max(left, 1)] for text in chosen[-1:])]


def _evenly(sizes: Sequence[int], most_bytes: int) -> list[int]:
    """Which texts of these sizes to take, at equal distances, until there is enough; the last may be more than that."""
    every = max(1, sum(sizes) // most_bytes)
    chosen, size = [], 0
    for index in range(0, len(sizes), every):
        chosen.append(index)
        size += sizes[index]
        if size >= most_bytes:
            break
    return chosen
