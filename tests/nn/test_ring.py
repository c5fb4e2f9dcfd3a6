"""A layer that looks back through a window remembers that much and no more, and nobody can tell: fp64 to 1e-10."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from trivium.errors import Unsupported
from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import causal_layout, plain_layout
from trivium.nn.ring import SLACK, WindowCache
from trivium.nn.state import State

HEADS, GROUPS, WIDTH, LONG = 4, 2, 3, 150


class Texts:
    """Three texts read through one layer: where each row is, and what it must be told there."""

    def __init__(self, window: int, how: dict[str, Any], capacity: int = LONG) -> None:
        generator = torch.Generator().manual_seed(7)
        heads = (HEADS, GROUPS, GROUPS)
        self.texts = [torch.randn(3, n, LONG, WIDTH, generator=generator, dtype=torch.float64) for n in heads]
        q, k, v = self.texts
        self.how = {"window": window, **how}
        weights = attention_probabilities(q, k, plain_layout(q[:, 0], causal=True), Scoring(**self.how))
        self.wanted = weights @ v.repeat_interleave(2, dim=1)
        self.text_of = [0, 1, 2]
        self.state = State.of_caches(3, GROUPS, capacity, WIDTH, layers=1, like=q, windows=[window])

    @property
    def cache(self) -> WindowCache:
        (cache,) = self.state.layers
        assert isinstance(cache, WindowCache)
        return cache

    def read(self, counts: list[int], *, packed: bool = False) -> None:
        """So many more tokens of each row, and a look at what came of them; those beyond a row's count are garbage."""
        seen = self.state.lengths.tolist()
        length, ragged = max(counts), None
        if packed:
            order = [row for row, count in enumerate(counts) if count]
            places = [(self.text_of[row], seen[row] + i) for row in order for i in range(counts[row])]
            new = [torch.stack([x[t, :, p] for t, p in places], dim=1)[None] for x in self.texts]
            ragged = torch.tensor([[row for row in order for _ in range(counts[row])]])
        else:
            pairs = list(zip(self.text_of, seen, strict=True))
            new = [
                torch.stack([x[t, :, [min(s + i, LONG - 1) for i in range(length)]] for t, s in pairs])
                for x in self.texts
            ]
        given = None if packed or len(set(counts)) == 1 else torch.tensor(counts)
        layout, after = causal_layout(new[0][:, 0], lengths=given, segments=ragged, state=self.state)
        assert after is not None
        got, begin = attend(*new, layout, Scoring(**self.how), cache=self.cache), 0
        for row, count in enumerate(counts):
            wanted = self.wanted[self.text_of[row], :, seen[row] : seen[row] + count]
            ours = got[0, :, begin : begin + count] if packed else got[row, :, :count]
            torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-10)
            begin += count
        self.state = after


WAYS = {
    "plain": {},
    "all": {
        "soft_cap": 1.5,
        "sinks": torch.tensor([0.3, -1.0, 2.0, 0.0], dtype=torch.float64),
        "bias": lambda queries, keys: ((queries[..., :, None] - keys[..., None, :]) * -0.1)[..., None, :, :],
    },
}


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("window", [1, 4, 30])
@pytest.mark.parametrize("counts", [[1, 3, 10, 17, 40, 1, 1, 60], [100, 1, 1, 18, 2], [47, 46, 45]])
def test_rows_that_are_equally_long(window: int, counts: list[int], how: dict[str, Any]) -> None:
    texts = Texts(window, how)
    for count in counts:
        texts.read([count] * 3)
    assert texts.cache.keys.shape == (3, GROUPS, window + SLACK, WIDTH)


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("window", [1, 4, 30])
def test_rows_of_unequal_length(window: int, how: dict[str, Any]) -> None:
    texts = Texts(window, how)
    for counts in ([90, 5, 30], [1, 1, 1], [0, 12, 3], [1, 0, 1], [2, 60, 25], [1, 1, 1], [40, 0, 0]):
        texts.read(counts)
    texts.read([3, 40, 0], packed=True)
    texts.read([1, 1, 1])
    texts.read([0, 3, 2], packed=True)


def test_a_packed_prompt_longer_than_the_ring() -> None:
    texts = Texts(5, {})
    texts.read([70, 3, 100], packed=True)
    texts.read([1, 1, 1])


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_the_rows(seed: int) -> None:
    """Random steps: read, take back, change places, start again, leave and come."""
    chance = random.Random(seed)
    texts = Texts(chance.choice([2, 7, 20]), {})
    verbs = ["read", "read", "one", "packed", "back", "take", "reorder", "keep", "put", "reserve", "join"]
    for _ in range(40):
        verb, state = chance.choice(verbs), texts.state
        room = [LONG - length for length in state.lengths.tolist()]
        if verb in ("read", "packed"):
            counts = [min(chance.choice([0, 1, 5, 16, 45]), left) for left in room]
            if sum(counts):
                texts.read(counts, packed=verb == "packed")
        elif verb == "one" and min(room):
            texts.read([1, 1, 1])
        elif verb == "back":
            try:
                texts.state = state.rollback((state.lengths - chance.choice([1, 4, 9])).clamp(min=0))
            except Unsupported:
                assert bool((texts.cache.forgotten > 0).any())
        elif verb in ("take", "reorder"):
            rows = [chance.randrange(3) for _ in range(3)]
            texts.text_of = [texts.text_of[row] for row in rows]
            texts.state = getattr(state, verb)(torch.tensor(rows))
        elif verb == "keep":
            texts.state = state.keep(torch.tensor([chance.random() < 0.7 for _ in range(3)]))
        elif verb == "put":
            row, other = chance.randrange(3), chance.randrange(3)
            alone = state.take(torch.tensor([other]))
            alone = alone.reserve(1, max(1, int(alone.lengths)))
            texts.state = state.put(torch.tensor([row]), alone)
            texts.text_of[row] = texts.text_of[other]
        elif verb == "reserve":
            texts.state = state.reserve(5, LONG).first(3)
        elif verb == "join":
            texts.state = state.first(1).join(state.take(torch.tensor([1, 2]))).detach()


def test_a_step_back_within_the_slack_and_not_beyond() -> None:
    texts = Texts(4, {})
    texts.read([60, 60, 60])
    texts.state = texts.state.rollback(torch.tensor([60 - SLACK, 50, 60]))
    texts.read([2, 2, 2])
    texts.state = texts.state.rollback(torch.tensor([60 - SLACK - 1, 46, 60]))
    texts.read([1, 1, 1])
    before = texts.cache.forgotten.clone()
    with pytest.raises(Unsupported, match="rolled back so far"):
        texts.state.rollback(torch.tensor([60 - SLACK - 2, 46, 60]))
    assert torch.equal(texts.cache.forgotten, before)
    texts.state = texts.state.rollback(torch.tensor([0, 0, 0]))  # from the beginning, always
    texts.read([30, 30, 30])


def test_a_short_text_takes_only_its_own_room() -> None:
    texts = Texts(100, {}, capacity=20)
    assert (texts.cache.slots, texts.cache.capacity) == (20, 20)
    texts.read([18, 18, 18])
    texts.state = texts.state.rollback(torch.tensor([0, 1, 18]))  # nothing was written over
    texts.read([2, 1, 2])
    with pytest.raises(AssertionError, match="larger state"):
        texts.read([0, 0, 1])
    texts.state = texts.state.reserve(3, LONG)
    assert (texts.cache.slots, texts.cache.capacity) == (100 + SLACK, None)
    texts.read([100, 120, 125])


def test_rooms_of_unequal_size_exchange_rows() -> None:
    """A short text comes to long ones, and what is left of one goes where there is little room."""
    long, short = Texts(4, {}), Texts(4, {}, capacity=15)
    long.read([50, 60, 19])
    short.read([9, 3, 12])
    long.state = long.state.put(torch.tensor([1, 0]), short.state.take(torch.tensor([2, 1])))
    long.text_of = [1, 2, 2]
    assert long.cache.forgotten.tolist() == [0, 0, 0]  # 40 tokens of row 1 were
    long.read([30, 2, 1])
    back = Texts(4, {}, capacity=15)
    back.state = back.state.put(torch.tensor([2]), long.state.take(torch.tensor([1])))
    back.text_of[2] = 2
    back.read([0, 0, 1])


def test_a_ring_is_a_pytree_of_its_tensors() -> None:
    state = State.of_caches(2, 1, 8, 2, layers=2, like=torch.ones(1), windows=[None, 3])
    leaves, shape = pytree.tree_flatten(state)
    again = pytree.tree_unflatten(leaves, shape)
    assert all(isinstance(leaf, Tensor) for leaf in leaves if leaf is not None)
    assert again.layers[1].window == 3 and again.layers[1].keys is state.layers[1].keys
