"""BLEU against references that all texts share: equal to NLTK's, text by text, and quick with ten thousand of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from trivium.errors import DataError
from trivium.evaluation.metrics import pooled_bleu, pooled_self_bleu, self_bleu

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=8).map(" ".join), min_size=2, max_size=6)


def nltk_bleu(text: str, references: list[str], order: int) -> float:
    if not text:
        return 0.0
    weights, smoothing = (1 / order,) * order, SmoothingFunction().method1
    found = sentence_bleu([other.split() for other in references], text.split(), weights, smoothing)
    return float(found)  # pyright: ignore[reportArgumentType]


@given(TEXTS, TEXTS)
def test_it_is_that_of_nltk(written, real):
    ours = pooled_bleu(written, real, orders=(1, 2, 3, 4, 5), per_example=True)
    for order in range(1, 6):
        theirs = [nltk_bleu(text, real, order) for text in written]
        assert ours["per_example"][f"bleu{order}"] == pytest.approx(theirs, abs=1e-12)
        assert ours[f"bleu{order}"] == pytest.approx(sum(theirs) / len(theirs), abs=1e-12)


@given(TEXTS)
def test_of_itself_it_is_that_of_nltk(written):
    ours = pooled_self_bleu(written, orders=(2, 5), per_example=True)
    for order in (2, 5):
        theirs = [nltk_bleu(text, written[:i] + written[i + 1 :], order) for i, text in enumerate(written)]
        assert ours["per_example"][f"self_bleu{order}"] == pytest.approx(theirs, abs=1e-12)
        assert ours[f"self_bleu{order}"] == pytest.approx(self_bleu(written, order=order)["self_bleu"], abs=1e-12)


def test_by_hand():
    """a b c c: 4 of 4 words (c twice in the second), 2 of 3 pairs (ab and cc, of two references), nearest length 4."""
    found = pooled_bleu(["a b c c"], ["a b x x", "c c"], orders=(2,))
    assert found == {"bleu2": pytest.approx(math.sqrt(4 / 4 * 2 / 3), abs=1e-15)}
    # One word of two, no pair: 0.1 of one place; a reference of three words is nearest, so exp(1 - 3 / 2).
    found = pooled_bleu(["a z"], ["a b c", "a b c d e f"], orders=(2,))
    assert found["bleu2"] == pytest.approx(math.exp(-0.5) * math.sqrt(1 / 2 * 0.1), abs=1e-15)


def test_all_references_count():
    """The only one that has the text is the last of many."""
    others = [f"w{i} v{i} u{i} t{i} s{i}" for i in range(700)]
    assert pooled_bleu(["a b c d e"], others)["bleu5"] == 0
    assert pooled_bleu(["a b c d e"], [*others, "a b c d e"])["bleu5"] == pytest.approx(1)


def test_captions_against_ten_thousand(shared_data):
    folder = shared_data / "text_gan"
    train, test = (
        (folder / name).read_text(encoding="utf-8").splitlines() for name in ("image_coco.txt", "test_coco.txt")
    )
    assert len(train) == len(test) == 10_000
    # A hundred million pairs of texts, and none is looked at.
    ours = pooled_bleu(train, test, per_example=True)
    chosen = [*range(0, 10_000, 3_000)]
    theirs = [nltk_bleu(train[i], test, 5) for i in chosen]
    assert [ours["per_example"]["bleu5"][i] for i in chosen] == pytest.approx(theirs, abs=1e-9)
    assert ours["bleu2"] > ours["bleu3"] > ours["bleu4"] > ours["bleu5"] > 0.2


def test_captions_against_each_other(shared_data):
    lines = (shared_data / "text_gan" / "image_coco.txt").read_text(encoding="utf-8").splitlines()
    ours = pooled_self_bleu(lines, per_example=True)
    for i in (1, 5_000):
        theirs = nltk_bleu(lines[i], lines[:i] + lines[i + 1 :], 4)
        assert ours["per_example"]["self_bleu4"][i] == pytest.approx(theirs, abs=1e-9)
    # Ordinary captions taken twice are each other's copies.
    assert pooled_self_bleu([*lines[:200], *lines[:200]])["self_bleu5"] == pytest.approx(1)


def test_what_cannot_be_scored():
    with pytest.raises(DataError, match="2 or more"):
        pooled_self_bleu(["alone"])
    with pytest.raises(DataError, match="nothing to score"):
        pooled_bleu(["a"], [])
    with pytest.raises(DataError, match="order must be"):
        pooled_bleu(["a"], ["a"], orders=(2, 0))
    with pytest.raises(DataError, match="BLEU has an order"):
        pooled_self_bleu(["a", "b"], orders=())
    assert pooled_bleu(["", "a b"], ["a b", ""], orders=(1,), per_example=True)["per_example"]["bleu1"] == [0.0, 1.0]
    assert pooled_self_bleu(["", ""], orders=(1,)) == {"self_bleu1": 0.0}
