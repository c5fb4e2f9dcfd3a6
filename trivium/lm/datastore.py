"""What a language model saw at every token of some texts, and the token that came next (Khandelwal et al. 2020).

A folder holds

    datastore.json   format, counts, width, vocabulary size, number type
    keys.npy         [N, D]: the hidden state that is given to the head, at every place of the texts
    tokens.npy       int32 [N]: the token that stands after it

The arrays are memory-mapped. Search is exact: every key is compared, a piece at a time, in fp32. (The paper's keys are
what the last feed-forward layer reads; those of the head's input are a little worse there, table 5, and every
architecture has them.)
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.lib.format import open_memmap
from torch import Tensor, nn

from trivium.data.prepared import open_prepared
from trivium.data.staging import staged_folder
from trivium.errors import DataError, Unsupported
from trivium.generation.knn import KnnSettings, knn_log_probs, mixed
from trivium.lm.local import LocalModel
from trivium.lm.scoring import windows
from trivium.lm.together import TOKENS_AT_ONCE
from trivium.models import architecture

FORMAT = "trivium-datastore-1"
Number = Literal["float16", "float32"]
Ids = Sequence[int] | np.ndarray

_KEYS_AT_ONCE = 65_536
_COMPARED_AT_ONCE = 1 << 24  # numbers of keys that are gathered to measure distances exactly


class Datastore:
    """Keys and tokens of one network; satisfies `trivium.generation.knn.Neighbours`."""

    def __init__(self, keys: np.ndarray, tokens: np.ndarray, *, vocabulary_size: int) -> None:
        """``keys`` ``[N, D]`` and ``tokens`` ``[N]``, which may lie on disk."""
        self.keys, self.tokens, self.vocabulary_size = keys, tokens, vocabulary_size

    @classmethod
    def open(cls, folder: str | Path) -> "Datastore":
        """What `build` wrote. ``DataError`` for a folder that is none, or whose arrays are not those it tells of."""
        folder = Path(folder)
        try:
            header = json.loads((folder / "datastore.json").read_text(encoding="utf-8"))
            keys, tokens = (
                open_memmap(folder / f"{name}.npy", mode="r")
                for name in ("keys", "tokens")  # it reads no objects
            )
            told = tuple(header[name] for name in ("format", "places", "width", "dtype"))
            vocabulary_size = int(header["vocabulary_size"])
        except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
            raise DataError(
                "there is no datastore in the folder",
                received=f"{folder} ({error})",
                fix="check the path, or build it again",
            ) from error
        if told != (FORMAT, *keys.shape, str(keys.dtype)) or tokens.shape != keys.shape[:1]:
            raise DataError(
                "the datastore's arrays are not those that datastore.json tells of",
                received=f"keys {keys.shape} of {keys.dtype}, tokens {tokens.shape}",
                expected=str(told),
                fix="build it again",
            )
        return cls(keys, tokens, vocabulary_size=vocabulary_size)

    @property
    def width(self) -> int:
        """Width D of a key."""
        return self.keys.shape[1]

    @property
    def places(self) -> int:
        """Number of keys N."""
        return self.keys.shape[0]

    @torch.no_grad()
    def search(self, queries: Float[Tensor, "Q D"], neighbours: int) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
        """Squared distances of the nearest keys, the nearest first, and their tokens; all where there are fewer.

        Raises ``DataError`` for keys of another width, and for tokens that are not of the vocabulary.
        """
        if queries.shape[1] != self.width:
            raise DataError("the keys are those of another network", received=self.width, expected=queries.shape[1])
        flat = queries.float()
        best, places = flat.new_empty(len(flat), 0), torch.empty(len(flat), 0, dtype=torch.long, device=flat.device)
        for begin in range(0, self.places, _KEYS_AT_ONCE):
            keys = self._keys(slice(begin, begin + _KEYS_AT_ONCE), flat)
            # |k|^2 - 2 q k: the distance less |q|^2, which is the same for all keys of a query
            apart = torch.addmm(keys.square().sum(-1)[None], flat, keys.T, alpha=-2)
            numbers = torch.arange(begin, begin + len(keys), device=flat.device).expand_as(apart)
            best, kept = torch.cat([best, apart], dim=-1).topk(
                min(neighbours, best.shape[1] + len(keys)), largest=False
            )
            places = torch.cat([places, numbers], dim=-1).gather(-1, kept)
        distances = self._distances(flat, places)  # anew, as a difference of large numbers has few digits
        distances, order = distances.sort(dim=-1)
        places = places.gather(-1, order)
        found = self.tokens[places.cpu().numpy()]
        _require_known(found, self.vocabulary_size, "the datastore is damaged: build it again")
        tokens = torch.from_numpy(found.astype(np.int64))
        return distances.to(queries.dtype), tokens.to(queries.device)

    def _distances(self, queries: Float[Tensor, "Q D"], places: Int[Tensor, "Q k"]) -> Float[Tensor, "Q k"]:
        found = []
        rows = max(1, _COMPARED_AT_ONCE // max(1, places.shape[1] * self.width))
        for some, near in zip(queries.split(rows), places.split(rows), strict=True):
            keys = self._keys(near.cpu().numpy(), queries)
            found.append((keys - some[:, None]).square().sum(-1))
        return torch.cat(found) if found else queries.new_empty(places.shape)

    def _keys(self, where: slice | np.ndarray, like: Tensor) -> Tensor:
        return torch.from_numpy(np.array(self.keys[where])).to(like)


def build(target: str | Path, network: nn.Module, documents: Sequence[Ids], *, dtype: Number = "float16") -> Datastore:
    """Reads ``documents`` (token ids) and writes a place for every token but the first of each.

    Raises ``Unsupported`` for a network that does not read from left to right, ``DataError`` where there is nothing to
    keep or an id is not of the network's vocabulary, ``StorageError`` where it cannot be written.
    """
    _require_causal(network)
    config: Any = network.config
    places = sum(max(0, len(document) - 1) for document in documents)
    if not places:
        raise DataError("no document has two tokens", received=f"{len(documents)} documents")
    with staged_folder(Path(target)) as folder:
        tokens = open_memmap(folder / "tokens.npy", mode="w+", dtype=np.int32, shape=(places,))
        keys, begin = np.empty((0, 0)), 0
        for hidden, following in hidden_states(network, documents):
            if not begin:  # the width is known: of some families it is not that of the blocks
                keys = open_memmap(folder / "keys.npy", mode="w+", dtype=dtype, shape=(places, hidden.shape[1]))
            told, end = following.cpu().numpy(), begin + len(following)
            _require_known(told, config.vocabulary_size, "encode with the model's own tokenizer")
            keys[begin:end], tokens[begin:end] = hidden.float().cpu().numpy(), told
            begin = end
        assert begin == places and isinstance(keys, np.memmap)
        keys.flush()
        tokens.flush()
        header = {
            "format": FORMAT,
            "places": places,
            "width": keys.shape[1],
            "dtype": dtype,
            "vocabulary_size": config.vocabulary_size,
        }
        (folder / "datastore.json").write_text(json.dumps(header, indent=1), encoding="utf-8")
    return Datastore.open(target)


def build_from_texts(
    target: str | Path, model: LocalModel, texts: Sequence[str], *, dtype: Number = "float16"
) -> Datastore:
    """`build` of texts, encoded as the model's prompts are."""
    return build(target, model.network, [model.prompt_ids(text) for text in texts], dtype=dtype)


def build_from_prepared(
    target: str | Path, network: nn.Module, folder: str | Path, *, dtype: Number = "float16"
) -> Datastore:
    """`build` of the training documents of a folder that `trivium prepare` wrote, in the network's vocabulary."""
    store = open_prepared(folder).train
    if store.vocabulary_size != network.config.vocabulary_size:
        raise DataError(
            "the folder was prepared with another vocabulary",
            received=f"{store.vocabulary_size} pieces",
            expected=f"{network.config.vocabulary_size}",
        )
    return build(target, network, [store.document(i) for i in range(store.num_documents)], dtype=dtype)


def hidden_states(
    network: nn.Module, documents: Sequence[Ids]
) -> Iterator[tuple[Float[Tensor, "N D"], Int[Tensor, "N"]]]:
    """Hidden states of every place but the last of each document, in order, and the tokens that follow.

    A document that is longer than the network reads goes through in windows, each token with half a window before it.
    """
    device = next(network.parameters()).device
    config: Any = network.config
    room: int | None = config.context_tokens
    parts: list[np.ndarray] = []
    new: list[int] = []
    for document in documents:
        ids = np.asarray(document, dtype=np.int64)
        if len(ids) < 2:
            continue
        for start, end, scored in windows(
            len(ids), len(ids) - 1, None if room is None else room + 1, context=1 if room is None else 1 + room // 2
        ):
            if parts and sum(map(len, parts)) + end - start > TOKENS_AT_ONCE:
                yield _read(network, parts, new, device)
                parts, new = [], []
            parts.append(ids[start:end])
            new.append(scored)
    if parts:
        yield _read(network, parts, new, device)


@torch.inference_mode()
def _read(network: nn.Module, parts: list[np.ndarray], new: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """One packed forward pass; of each part the last ``new`` places that have a token after them."""
    tokens = torch.from_numpy(np.concatenate([part[:-1] for part in parts])).to(device)
    sizes = [len(part) - 1 for part in parts]
    segments = torch.arange(len(parts)).repeat_interleave(torch.tensor(sizes)).to(device)
    hidden = network(tokens[None], segments=segments[None]).hidden[0].split(sizes)
    following = torch.from_numpy(np.concatenate([part[-n:] for part, n in zip(parts, new, strict=True)]))
    return torch.cat([h[-n:] for h, n in zip(hidden, new, strict=True)]), following.to(device)


@torch.inference_mode()
def log_probs(
    network: nn.Module, datastore: Datastore, documents: Sequence[Ids], settings: KnnSettings
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Of every token but the first of each document log p under the network, and log p under its neighbours alone."""
    own, found = [], []
    for hidden, following in hidden_states(network, documents):
        for some, wanted in zip(hidden.split(256), following.split(256), strict=True):
            own.append(torch.log_softmax(network.head(some), dim=-1).gather(-1, wanted[:, None])[:, 0].double())
            nearest = datastore.search(some.float(), settings.neighbours)
            every = knn_log_probs(*nearest, datastore.vocabulary_size, settings)
            found.append(every.gather(-1, wanted[:, None])[:, 0].double())
    return torch.cat(own), torch.cat(found)


def perplexity(own: Float[Tensor, "N"], found: Float[Tensor, "N"], weight: float) -> float:
    """exp of the mean negative log-probability under the mixture, from what `log_probs` gives."""
    return float(torch.exp(-mixed(own, found, weight).mean()))


def _require_known(tokens: np.ndarray, vocabulary_size: int, fix: str) -> None:
    """Raises ``DataError`` for the first id that the vocabulary does not have."""
    beyond = tokens[(tokens < 0) | (tokens >= vocabulary_size)]
    if beyond.size:
        raise DataError(
            "a token is not of the network's vocabulary",
            received=f"id {beyond.flat[0]}",
            expected=f"0 to {vocabulary_size - 1}",
            fix=fix,
        )


def _require_causal(network: nn.Module) -> None:
    entry = architecture(network.config.to_hf()["model_type"])
    if entry.kind not in ("decoder", "recurrent"):
        raise Unsupported(
            "a datastore holds what is seen before the next token",
            received=f"{entry.name}, of kind {entry.kind!r}",
            expected="a model that reads from left to right",
        )
