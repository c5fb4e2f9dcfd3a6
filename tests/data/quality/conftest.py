"""Real articles and a small model of them; real tweets and a classifier of them. No tweet stands in here."""

import csv
import gzip
import html

import numpy as np
import pytest

from tests.data.quality.harmful_texts import HARMFUL, HARMLESS
from trivium.data.dedup.lsh import clusters
from trivium.data.dedup.minhash import MinHashConfig, signatures
from trivium.data.quality.harm import HarmClassifier
from trivium.data.quality.ngrams import NgramConfig, NgramModel
from trivium.data.splits import sides


@pytest.fixture(scope="package")
def articles(shared_data) -> list[str]:
    text = (shared_data / "wikitext2" / "valid.txt").read_text(encoding="utf-8")
    return [article for article in text.split("\n = ") if len(article) > 500]


@pytest.fixture(scope="package")
def model(articles) -> NgramModel:
    return NgramModel.train(articles, NgramConfig(training_characters=400_000))


@pytest.fixture(scope="package")
def small() -> HarmClassifier:
    pytest.importorskip("sklearn")
    return HarmClassifier.train(HARMFUL + HARMLESS, ["offensive"] * len(HARMFUL) + ["neither"] * len(HARMLESS))


@pytest.fixture(scope="package")
def tweets(shared_data):
    """Training texts and labels, held-out texts and labels; near-copies are on one side."""
    path = shared_data / "hate_offensive" / "labeled_data.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:7000]
    texts = [html.unescape(row["tweet"]) for row in rows]
    labels = [("hate", "offensive", "neither")[int(row["class"])] for row in rows]
    config = MinHashConfig()
    held = sides([str(number) for number in range(len(texts))], clusters(signatures(texts, config), config), 0.4)

    def of(side: bool) -> tuple[list[str], list[str]]:
        at = np.flatnonzero(held == side)
        return [texts[i] for i in at], [labels[i] for i in at]

    return *of(False), *of(True)


@pytest.fixture(scope="package")
def classifier(tweets) -> HarmClassifier:
    pytest.importorskip("sklearn")
    return HarmClassifier.train(tweets[0], tweets[1])
