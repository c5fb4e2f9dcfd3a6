"""Clusters of near-copies: planted ones among real documents, and all of them against brute force."""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.dedup import lsh
from trivium.data.dedup.clusters import components
from trivium.data.dedup.exact import as_array, digest, first_equal
from trivium.data.dedup.lsh import clusters
from trivium.data.dedup.minhash import EMPTY, MinHashConfig, signatures, similarity
from trivium.errors import DataError

CONFIG = MinHashConfig()
PLANTED = 500


def recased(text: str, draw: random.Random, _: list[str]) -> str:
    words = [draw.choice((str.upper, str.title, str.lower))(word) for word in text.split()]
    return "".join(word + draw.choice((" ", "  ", "\n", "\t ")) for word in words)


def edited(text: str, draw: random.Random, other_words: list[str]) -> str:
    """Every twentieth word replaced, left out, misspelt or followed by another."""
    words = text.split()
    for place in draw.sample(range(len(words)), max(1, len(words) // 20)):
        word, other = words[place], draw.choice(other_words)
        words[place] = draw.choice((other, "", word[::-1] + "q", f"{word} {other}"))
    return " ".join(words)


def shifted(text: str, draw: random.Random, other_words: list[str]) -> str:
    """A window moved by a tenth, or the whole between a prefix and a suffix of a tenth each."""
    words = text.split()
    tenth = max(1, len(words) // 10)
    before, after = draw.choices(other_words, k=tenth), draw.choices(other_words, k=tenth)
    return " ".join(draw.choice(([*words[tenth:], *after], [*before, *words[:-tenth]], [*before, *words, *after])))


def verbatim(text: str, _: random.Random, __: list[str]) -> str:
    return text


@pytest.fixture(scope="module")
def base(real_documents: list[str]) -> np.ndarray:
    return signatures(real_documents, CONFIG)


def test_distinct_documents_stay(base: np.ndarray) -> None:
    joined = clusters(base, CONFIG) != np.arange(len(base))
    assert len(base) > 2500
    assert joined.sum() < 0.001 * len(base)


@pytest.mark.parametrize(("plant", "recall"), [(verbatim, 0.99), (recased, 0.99), (edited, 0.95), (shifted, 0.95)])
def test_planted_duplicates_are_found(
    plant: Callable[[str, random.Random, list[str]], str],
    recall: float,
    real_documents: list[str],
    base: np.ndarray,
) -> None:
    draw = random.Random(3)
    other_words = " ".join(draw.sample(real_documents, 100)).split()
    originals = draw.sample(range(len(real_documents)), PLANTED)
    copies = [plant(real_documents[index], draw, other_words) for index in originals]
    together = clusters(np.concatenate([base, signatures(copies, CONFIG)]), CONFIG)
    found = together[len(base) :] == together[originals]
    assert found.mean() >= recall
    # What was distinct before stays so: a copy ties no two of them together.
    assert (together[: len(base)] != np.arange(len(base))).sum() < 0.001 * len(base)


@pytest.mark.parametrize("plant", [edited, shifted])
def test_short_texts_are_found_too(plant: Callable[[str, random.Random, list[str]], str], shared_data: Path) -> None:
    """Single sentences of 20 words and more, in which every word counts."""
    lines = (shared_data / "ntrex" / "newstest2019-src.eng.txt").read_text(encoding="utf-8").split("\n")
    lines = [line for line in lines if len(line.split()) >= 20]
    draw = random.Random(5)
    copies = [plant(line, draw, " ".join(lines).split()) for line in lines]
    together = clusters(signatures([*lines, *copies], CONFIG), CONFIG)
    assert len(lines) > 200
    assert (together[len(lines) :] == np.arange(len(lines))).mean() >= 0.95
    assert (together[: len(lines)] == np.arange(len(lines))).all()


@pytest.mark.parametrize("language", ["jpn", "zho-CN"])
def test_languages_without_spaces(language: str, shared_data: Path) -> None:
    """Every twentieth character of four sentences is another one."""
    lines = (shared_data / "ntrex" / f"newstest2019-ref.{language}.txt").read_text(encoding="utf-8").split("\n")
    texts = ["".join(lines[begin : begin + 4]) for begin in range(0, 500, 4)]
    draw = random.Random(6)
    copies = []
    for text in texts:
        characters = list(text)
        for place in draw.sample(range(len(characters)), len(characters) // 20):
            characters[place] = draw.choice(texts[0])
        copies.append("".join(characters))
    together = clusters(signatures([*texts, *copies], CONFIG), CONFIG)
    assert (together[len(texts) :] == np.arange(len(texts))).mean() >= 0.95
    assert (together[: len(texts)] == np.arange(len(texts))).all()


@pytest.mark.parametrize("plant", [verbatim, recased])
def test_equal_documents_are_found_by_their_digests(plant: Callable, real_documents: list[str]) -> None:
    draw = random.Random(4)
    originals = draw.sample(range(len(real_documents)), PLANTED)
    copies = [plant(real_documents[index], draw, []) for index in originals]
    first = first_equal(as_array([digest(text) for text in [*real_documents, *copies]]))
    assert (first[len(real_documents) :] == originals).mean() >= 0.99
    assert (first[: len(real_documents)] == np.arange(len(real_documents))).all()


def brute(found: np.ndarray, config: MinHashConfig) -> np.ndarray:
    """All pairs that agree in a band and are similar enough, and what hangs together by them."""
    left, right = np.triu_indices(len(found), k=1)
    bands = (found[left] == found[right]).reshape(len(left), config.bands, config.rows)
    alike = bands.all(-1).any(-1) & (similarity(found[left], found[right]) >= np.float32(config.threshold))
    return components(len(found), left[alike], right[alike])


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 4), st.sampled_from([0.3, 0.5, 0.8]))
def test_clusters_are_those_of_all_pairs(seed: int, size: int, values: int, threshold: float) -> None:
    config = MinHashConfig(bands=4, rows=2, threshold=threshold)
    draw = np.random.default_rng(seed)
    found = draw.integers(values, size=(size, config.entries)).astype(np.uint32)
    found[draw.random(size) < 0.1] = EMPTY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lsh, "NEIGHBOURS", size)
        patch.setattr(lsh, "_BLOCK_ROWS", 7)
        patch.setattr(lsh, "_BLOCK_PAIRS", 5)
        assert clusters(found, config).tolist() == brute(found, config).tolist()


def test_many_copies_of_one_page_take_linear_time() -> None:
    found = np.repeat(signatures(["the same page again and again"], CONFIG), 50_000, axis=0)
    assert not clusters(found, CONFIG).any()


def test_documents_without_words_are_joined_to_nothing() -> None:
    assert clusters(signatures(["", "!", "", "a b", "a b"], CONFIG), CONFIG).tolist() == [0, 1, 2, 3, 3]
    assert clusters(signatures([], CONFIG), CONFIG).tolist() == []


def test_a_file_of_signatures_gives_the_same(base: np.ndarray) -> None:
    found = np.concatenate([base[:200], base[50:100]])
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "signatures.npy", found)
        mapped = np.load(Path(folder) / "signatures.npy", mmap_mode="r")
        assert np.array_equal(clusters(mapped, CONFIG), [*range(200), *range(50, 100)])
        del mapped


def test_signatures_of_another_configuration_are_refused() -> None:
    with pytest.raises(DataError, match="another configuration"):
        clusters(signatures(["a"], MinHashConfig(bands=8)), CONFIG)


def test_the_first_of_near_copies_is_kept() -> None:
    words = [f"word{n}" for n in range(100)]
    texts = ["something else", " ".join(words), " ".join([*words[:50], "other", *words[51:]]).upper()]
    assert clusters(signatures(texts, CONFIG), CONFIG).tolist() == [0, 1, 1]
