"""Signatures: what they estimate, and that nothing but the text matters."""

import os
import subprocess
import sys

import numpy as np
import pytest

from trivium.data.dedup.minhash import EMPTY, MinHashConfig, jaccard, signature, signatures, similarity
from trivium.errors import ConfigError

CONFIG = MinHashConfig()


def overlapping(draw: np.random.Generator, words: int, shared: float) -> tuple[str, str]:
    """Two texts of random words, of which about a share is equal and in the same place."""
    one = draw.integers(10**9, size=words).astype(str)
    other = one.copy()
    other[round(shared * words) :] = draw.integers(10**9, size=words - round(shared * words)).astype(str)
    return " ".join(one), " ".join(other)


@pytest.mark.parametrize("words", [12, 60, 100, 1000])
def test_the_share_of_equal_entries_estimates_the_jaccard_index(words: int) -> None:
    draw = np.random.default_rng(words)
    errors = []
    for shared in np.linspace(0.1, 1, 200):
        one, other = overlapping(draw, words, shared)
        found = signatures([one, other], CONFIG)
        errors.append(float(similarity(found[:1], found[1:])[0]) - jaccard(one, other, CONFIG))
    # No bias, short documents (most bins empty) included, and the standard error of at most 0.5 / sqrt(128).
    assert abs(np.mean(errors)) < 3 * 0.044 / np.sqrt(len(errors))
    assert np.std(errors) < 0.05


def test_the_jaccard_index_counts_shared_shingles() -> None:
    assert jaccard("a b c d", "A, b; c d!", CONFIG) == 1
    assert jaccard("a b c d", "a b c e", CONFIG) == 1 / 3
    assert jaccard("a b", "a b c", CONFIG) == 0
    assert jaccard("", "", CONFIG) == 0


def test_documents_without_words_are_like_nothing() -> None:
    found = signatures(["", "?!", "a"], CONFIG)
    assert (found[:2] == EMPTY).all() and (found[2] != EMPTY).all()
    assert similarity(found[:1], found[1:2]) == 0


def test_each_signature_is_of_its_text_alone() -> None:
    texts = ["one two three four", "", "中文 mixed ça et là " * 9, "x" * 200_000, "word " * 50_000, "five"] * 2
    found = signatures(texts, CONFIG)
    assert found.shape == (12, 128) and found.dtype == np.uint32
    for row, text in zip(found, texts, strict=True):
        assert np.array_equal(row, signature(text, CONFIG))
    assert signatures([], CONFIG).shape == (0, 128)


def test_any_number_of_entries_will_do() -> None:
    config = MinHashConfig(bands=3, rows=5, shingle_words=1)
    one, other = signatures(["a b c d e f", "f e d c b a"], config)
    assert len(one) == 15 and np.array_equal(one, other)


def test_another_process_finds_the_same() -> None:
    code = (
        "from trivium.data.dedup.minhash import MinHashConfig, signature\n"
        "print(signature('The quick brown fox jümps over the lazy dog', MinHashConfig()).tobytes().hex())"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    ours = signature("The quick brown fox jümps over the lazy dog", CONFIG).tobytes().hex()
    assert answers == {ours + "\n"}


@pytest.mark.parametrize(
    "setting", [{"bands": 0}, {"rows": 0}, {"shingle_words": 0}, {"threshold": 0}, {"threshold": 2}]
)
def test_settings_that_mean_nothing_are_refused(setting: dict) -> None:
    with pytest.raises(ConfigError):
        MinHashConfig(**setting)
