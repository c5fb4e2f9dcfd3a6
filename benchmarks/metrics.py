"""Metrics a second: ours beside rouge-score, NLTK and sacreBLEU, in one process, on the same texts, with equal values.

    python benchmarks/metrics.py            # some two minutes on one core
    python benchmarks/metrics.py --smoke    # some seconds: fewer and shorter texts, one round

Texts are passages of novels and captions of pictures, looked for in TRIVIUM_SHARED, else in shared/data beside the
repository. Half of the pairs are a passage and the one after it, half a passage and itself with three words in ten
replaced: a poor summary and a good one. Contenders take turns, and the least of a contender's times counts.
"""

import argparse
import os
import pathlib
import random
import time
import zipfile
from collections.abc import Callable

import sacrebleu
from nltk.translate.bleu_score import SmoothingFunction
from nltk.translate.bleu_score import sentence_bleu as nltk_bleu
from rouge_score.rouge_scorer import RougeScorer

from trivium.evaluation import metrics
from trivium.evaluation.intervals import bootstrap
from trivium.evaluation.metrics.bleu import bleu_counts, bleu_of

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
ALL = ("rouge1", "rouge2", "rougeL", "rougeLsum")
GOAL_WORDS, GOAL = 400, 20.0  # ROUGE-L at so many words, at least so many times as many pairs a second


def passages(words: int, pairs: int) -> tuple[list[str], list[str]]:
    """Predictions and references of so many words each, a sentence a line."""
    chance = random.Random(0)
    with zipfile.ZipFile(_SHARED / "litbank_novels" / "novels_1.zip") as archive:
        novel = archive.read(sorted(archive.namelist())[0]).decode("utf-8")
    text = novel.split()
    parts = [text[start : start + words] for start in range(0, (pairs + 1) * words, words)]
    predictions, references = [], []
    for index in range(pairs):
        changed = [chance.choice(text) if chance.random() < 0.3 else word for word in parts[index]]
        predictions.append(_lines(changed if index % 2 else parts[index + 1]))
        references.append(_lines(parts[index]))
    return predictions, references


def _lines(words: list[str]) -> str:
    return " ".join(words).replace(". ", ".\n")


def rouge_pair(words: int, pairs: int, kinds: tuple[str, ...], stemmer: bool) -> tuple[Callable, Callable]:
    predictions, references = passages(words, pairs)
    scorer = RougeScorer(kinds, use_stemmer=stemmer)

    def ours() -> list[float]:
        result = metrics.rouge(
            predictions, references, kinds=kinds, tokenizer="rouge_score", stemmer=stemmer, per_example=True
        )
        return [figure for kind in kinds for figure in result["per_example"][kind]]

    def theirs() -> list[float]:
        scores = [scorer.score(reference, text) for text, reference in zip(predictions, references, strict=True)]
        return [score[kind].fmeasure for kind in kinds for score in scores]

    return ours, theirs


def self_bleu_pair(count: int) -> tuple[Callable, Callable]:
    captions = (_SHARED / "text_gan" / "image_coco.txt").read_text(encoding="utf-8").splitlines()[:count]
    words = [caption.split() for caption in captions]
    smoothing = SmoothingFunction().method1

    def ours() -> list[float]:
        return metrics.self_bleu(captions, tokenizer="whitespace", per_example=True)["per_example"]["self_bleu"]

    def theirs() -> list[float]:
        return [
            nltk_bleu(words[:i] + words[i + 1 :], text, smoothing_function=smoothing) for i, text in enumerate(words)
        ]

    return ours, theirs


def bootstrap_pair(count: int, resamples: int) -> tuple[Callable, Callable]:
    """An interval of BLEU; the ends differ, since the draws do: the score itself is compared."""
    predictions, references = passages(20, count)

    def ours() -> list[float]:
        return [bootstrap(bleu_counts(predictions, references), bleu_of(), resamples=resamples).estimate]

    def theirs() -> list[float]:
        metric = sacrebleu.BLEU(force=True)
        return [metric.corpus_score(predictions, [references], n_bootstrap=resamples).score]

    return ours, theirs


def measure(name: str, count: int, contenders: tuple[Callable, Callable], rounds: int) -> float:
    seconds: tuple[list[float], list[float]] = ([], [])
    answers: list[list[float]] = [[], []]
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.perf_counter()
            answers[which] = contenders[which]()
            seconds[which].append(time.perf_counter() - start)
    ours, theirs = (min(taken) for taken in seconds)
    apart = max(abs(a - b) for a, b in zip(*answers, strict=True))
    print(f"{name:<42} {count / ours:9.1f} {count / theirs:9.1f} {theirs / ours:7.1f} x   {apart:.0e}")
    return theirs / ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument("--smoke", action="store_true", help="fewer and shorter texts, one round")
    options = parser.parse_args()
    rounds, pairs = (1, 4) if options.smoke else (options.rounds, 20)
    print(f"{'texts a second':<42} {'ours':>9} {'theirs':>9}    ratio   largest difference")
    ratios = {}
    for words in (50, GOAL_WORDS) if options.smoke else (50, GOAL_WORDS, 2000):
        some = max(2, min(pairs, 8000 // words))
        ratios[words] = measure(f"ROUGE-L, {words} words", some, rouge_pair(words, some, ("rougeL",), False), rounds)
    for stemmer in (False, True):
        name = f"ROUGE-1, 2, L, Lsum, {GOAL_WORDS} words{', stemmer' if stemmer else ''}"
        measure(name, pairs, rouge_pair(GOAL_WORDS, pairs, ALL, stemmer), rounds)
    captions, sentences, resamples = (40, 40, 100) if options.smoke else (300, 500, 1000)
    measure(f"Self-BLEU of {captions} captions (NLTK)", captions, self_bleu_pair(captions), min(rounds, 2))
    name = f"BLEU, {resamples} resamples (sacreBLEU)"
    measure(name, sentences, bootstrap_pair(sentences, resamples), min(rounds, 2))
    ratio = ratios[GOAL_WORDS]
    print(
        f"{'met' if ratio >= GOAL else 'MISSED'}: ROUGE-L at {GOAL_WORDS} words {ratio:.0f} x, the goal is {GOAL:g} x"
    )


if __name__ == "__main__":
    main()
