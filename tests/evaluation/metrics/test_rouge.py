"""ROUGE-L by hand, and its bit-parallel table against the textbook's."""

import random

import pytest

from trivium.evaluation.metrics import rouge
from trivium.evaluation.metrics.rouge import longest_common_subsequence, most_typical, rouge_l


def test_the_example_of_the_paper():
    # Lin 2004, section 3.1: both candidates share two or three words with the reference, ROUGE-L sees the order.
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", reference) == pytest.approx(2 / 4)


def test_mean_in_per_cent_and_empty_texts():
    assert rouge(["Return the name.", ""], ["return the NAME", "something"]) == {"rougeL": 50.0}
    assert rouge_l("...", "...") == 0.0


def test_the_most_typical_text_is_most_like_the_others():
    assert most_typical(["close it", "open the file", "open the old file", "open a file"]) == "open the file"


def test_against_the_textbook_algorithm():
    chance = random.Random(0)
    for _ in range(200):
        left = [chance.choice("abcd") for _ in range(chance.randrange(12))]
        right = [chance.choice("abcd") for _ in range(chance.randrange(80))]
        row = [0] * (len(right) + 1)
        for a in left:
            before = 0
            for j, b in enumerate(right):
                before, row[j + 1] = row[j + 1], before + 1 if a == b else max(row[j], row[j + 1])
        assert longest_common_subsequence(left, right) == row[-1]
