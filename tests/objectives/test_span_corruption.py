"""Span corruption: nothing is lost, the published shares, and the figure of the paper."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import ConfigError, DataError
from trivium.objectives import span_corruption
from trivium.objectives.span_corruption import corrupt_spans, counts, fill_spans, raw_tokens, span_mask

SENTINELS = list(range(1000, 900, -1))


@settings(max_examples=200)
@given(
    length=st.integers(2, 300),
    rate=st.floats(0.01, 0.9),
    mean_span=st.floats(1.0, 12.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_filling_gives_the_text_back(length: int, rate: float, mean_span: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = rng.integers(0, 900, length).tolist()
    sentinels = [1000 + i for i in range(length)]
    source, target = corrupt_spans(text, sentinels, rng, rate=rate, mean_span=mean_span)
    assert fill_spans(source, target, sentinels) == text
    used = [token for token in source if token >= 1000]
    assert used == sentinels[: len(used)]
    assert [token for token in target if token >= 1000] == sentinels[: len(used) + 1]
    assert target[-1] == sentinels[len(used)]
    assert source[0] < 1000
    assert len(source) + len(target) == length + 2 * len(used) + 1


def test_published_shares() -> None:
    """512 tokens at 15 % and spans of 3: 77 dropped in 26 spans, whatever chance does with them."""
    rng = np.random.default_rng(0)
    masks = np.stack([span_mask(512, rng, rate=0.15, mean_span=3.0) for _ in range(300)])
    assert (masks.sum(1) == 77).all()
    assert ((np.diff(masks.astype(int), axis=1) == 1).sum(1) == 26).all()
    assert not masks[:, 0].any()
    assert masks[:, 64:448].mean() == pytest.approx(0.15, abs=0.01)  # everywhere alike


def test_figure_2_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week"]
    ids = {word: number for number, word in enumerate(text)}
    dropped = np.array([word in ("for", "inviting", "last") for word in text])
    monkeypatch.setattr(span_corruption, "span_mask", lambda *_, **__: dropped)
    source, target = corrupt_spans([ids[word] for word in text], SENTINELS, np.random.default_rng(0))
    words = dict(enumerate(text)) | {1000: "<X>", 999: "<Y>", 998: "<Z>"}
    assert " ".join(words[i] for i in source) == "Thank you <X> me to your party <Y> week"
    assert " ".join(words[i] for i in target) == "<X> for inviting <Y> last <Z>"


def test_impossible() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="at least two tokens"):
        corrupt_spans([5], SENTINELS, rng)
    with pytest.raises(DataError, match="more spans than there are sentinels"):
        corrupt_spans(list(range(900)), SENTINELS[:10], rng)
    with pytest.raises(ConfigError, match="rate is the share"):
        corrupt_spans([5, 6], SENTINELS, rng, rate=1.0)
    with pytest.raises(ConfigError, match="mean_span is a number of tokens"):
        raw_tokens(512, mean_span=0.0)
    with pytest.raises(ConfigError, match="too few tokens"):
        raw_tokens(3)


def test_spans_have_their_mean_length_and_vary() -> None:
    rng = np.random.default_rng(1)
    lengths: list[int] = []
    for _ in range(200):
        mask = span_mask(600, rng, rate=0.15, mean_span=3.0)
        edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
        lengths += np.diff(edges)[::2].tolist()
    assert np.mean(lengths) == pytest.approx(3.0, abs=0.01)
    # Each way to cut n tokens into k spans is equally likely: a span is 1 long in (k - 1) of (n - 1) of them.
    assert np.mean(np.array(lengths) == 1) == pytest.approx(29 / 89, abs=0.02)


def test_same_row_same_spans() -> None:
    first, second = (corrupt_spans(range(200), SENTINELS, np.random.default_rng(7)) for _ in range(2))
    assert first == second
    assert first != corrupt_spans(range(200), SENTINELS, np.random.default_rng(8))


def test_published_lengths_of_texts() -> None:
    """T5's own settings: 568 tokens for a source of 512, whose target then has 114; the ends of both counted in."""
    assert raw_tokens(512) == 568
    dropped, spans = counts(568, rate=0.15, mean_span=3.0)
    assert dropped + spans + 1 == 114
    assert raw_tokens(512, rate=0.5, mean_span=3.0) == 767


@settings(max_examples=100)
@given(context=st.integers(4, 700), rate=st.floats(0.01, 0.95), mean_span=st.floats(1.0, 70.0))
def test_texts_fill_their_context(context: int, rate: float, mean_span: float) -> None:
    length = raw_tokens(context, rate=rate, mean_span=mean_span)
    sizes = []
    for longer in (length, length + 1):
        source, _ = corrupt_spans(
            range(longer), range(5000, 15000), np.random.default_rng(0), rate=rate, mean_span=mean_span
        )
        sizes.append(len(source) + 1)
    assert sizes[0] <= context < sizes[1]
