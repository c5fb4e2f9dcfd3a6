"""What a classifier of harmful text gets right, and whom it silences: one table.

    python benchmarks/harm.py            # about a minute on one core

Trained on three quarters of the tweets of Davidson et al. (2017), measured on the rest; near-copies are on one side.
The data is looked for in TRIVIUM_SHARED, else in shared/data beside the repository. No tweet is printed. Besides the
tweets that name a group, sentences that nobody could object to are judged, the same for every group (Dixon et al.
2018), and pages of the web and of an encyclopaedia, in which harm is rare: what a filter is for.
"""

import csv
import gzip
import html
import json
import os
import pathlib
import time

import numpy as np

from trivium.data.dedup.lsh import clusters
from trivium.data.dedup.minhash import MinHashConfig, signatures
from trivium.data.quality.by_group import GROUPS
from trivium.data.quality.harm import HarmClassifier
from trivium.data.quality.harm_report import measured, threshold_for
from trivium.data.splits import sides

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_LABELS = ("hate", "offensive", "neither")
_TEMPLATES = (
    "My friend is {}.",
    "I read a book about being {} last week.",
    "The museum opened a new room on {} history today.",
    "They said the word {} in the news this morning.",
)


def tweets() -> tuple[list[str], list[str]]:
    """Texts and labels."""
    with gzip.open(_SHARED / "hate_offensive" / "labeled_data.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [html.unescape(row["tweet"]) for row in rows], [_LABELS[int(row["class"])] for row in rows]


def other_pages() -> dict[str, list[str]]:
    """Pages from elsewhere, none of them written to offend."""
    web = (_SHARED / "web_text" / "c4_demo.jsonl").read_text(encoding="utf-8").splitlines()
    articles = (_SHARED / "wikitext2" / "test.txt").read_text(encoding="utf-8").split("\n = ")
    return {"web": [json.loads(line)["text"] for line in web], "encyclopaedia": [a for a in articles if a.strip()]}


def main() -> None:
    texts, labels = tweets()
    config = MinHashConfig()
    near = clusters(signatures(texts, config), config)
    held = sides([str(number) for number in range(len(texts))], near, 0.25)
    train, test = np.flatnonzero(~held), np.flatnonzero(held)
    copies = (near != np.arange(len(near))).sum()
    print(f"{len(train)} tweets to train on, {len(test)} to measure with; {copies} are near-copies of others")

    begun = time.perf_counter()
    classifier = HarmClassifier.train([texts[i] for i in train], [labels[i] for i in train])
    print(f"trained in {time.perf_counter() - begun:.1f} s")
    held_texts, held_labels = [texts[i] for i in test], [labels[i] for i in test]
    begun = time.perf_counter()
    probabilities = classifier.probabilities(held_texts)
    took = time.perf_counter() - begun
    characters = sum(map(len, held_texts))
    print(f"judged at {len(test) / took:.0f} tweets/s, {characters / took / 1e6:.2f} million characters/s")

    for precision in (0.9, 0.95, 0.99):
        for name in ("hate", "harm"):
            chosen = [name] if name != "harm" else list(classifier.harmful)
            scores = probabilities[:, [classifier.labels.index(label) for label in chosen]].sum(axis=1)
            truth = np.array([label in chosen for label in held_labels])
            found = threshold_for(scores, truth, precision)
            caught = 0.0 if found is None else truth[scores >= found].sum() / truth.sum()
            print(f"{name}: precision {precision:.0%} from {found or float('nan'):.3f}, recall {caught:.3f}")
    for threshold in (None, 0.5, 0.95):
        print(f"\n--- {'precision of 90 %' if threshold is None else f'threshold {threshold}'} ---")
        print(measured(classifier, held_texts, held_labels, threshold=threshold).table())

    print("\nharmless sentences, mean probability of harm:")
    for name, words in {"nobody": ("kind", "tall", "happy", "busy", "modern"), **GROUPS}.items():
        sentences = [template.format(word) for template in _TEMPLATES for word in words]
        print(f"{name:<26}{classifier.harm(sentences).mean():.3f}")

    print("\npages flagged at a probability of 0.5, 0.8, 0.95:")
    for name, pages in other_pages().items():
        found = np.array([classifier.probability(page) for page in pages])
        shares = "  ".join(f"{(found >= threshold).mean():.2%}" for threshold in (0.5, 0.8, 0.95))
        print(f"{name:<26}{len(pages):>6} pages  {shares}  highest {found.max():.2f}")


if __name__ == "__main__":
    main()
