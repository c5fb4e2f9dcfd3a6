"""The languages that the generators are to write, and how texts are judged in each."""

import collections
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from trivium.data.batches import CausalBatch
from trivium.data.grammar import ARITHMETIC
from trivium.data.order import shuffled
from trivium.data.resumable import ShuffledSource
from trivium.data.whole_texts import whole_texts
from trivium.evaluation.metrics.pooled_bleu import pooled_bleu, pooled_self_bleu
from trivium.evaluation.oracle import START, oracle, oracle_texts
from trivium.evaluation.text_nats import nats_per_token, text_nats

_REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_ALPHAS = (0.8, 1.0, 1.2, 1.5, 2.0, 3.0)
_UNKNOWN = 1
Text = list[int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Language:
    """Texts to learn from, others to choose by and to measure with, and a judge; `START` stands before every text."""

    vocabulary: int
    longest: int
    """Tokens of the longest text, its end included."""
    end_id: int | None
    """What ends a text; None where all are equally long."""
    train: list[Text]
    validation: list[Text]
    test: list[Text]
    judged: Callable[[Sequence[Text]], dict[str, float]]
    """Figures of written texts."""
    alphas: tuple[float, ...]
    """Inverse temperatures to measure at."""
    known: dict[str, float]
    """What the best of generators would have, where that is known."""

    def cut(self, tokens: torch.Tensor) -> list[Text]:
        """Rows of tokens as texts, up to the first end."""
        rows = tokens.tolist()
        if self.end_id is None:
            return rows
        return [row[: row.index(self.end_id) + 1] if self.end_id in row else row for row in rows]

    def told(self, texts: Sequence[Text]) -> dict[str, float]:
        """The judge's figures, how many of the texts are different, and how many were there to learn from."""
        whole, learnt = list(map(tuple, texts)), set(map(tuple, self.train))
        copied = sum(text in learnt for text in whole) / len(whole)
        return {**self.judged(texts), "unique": len(set(whole)) / len(whole), "copied": copied}

    def real(self) -> dict[str, float]:
        """What texts of the language itself have: not the test texts, which others are compared with."""
        return {**self.known, **self.told(self.validation)}

    def finer(self) -> tuple[float, ...]:
        """The inverse temperatures and those half-way between: straight lines between few points would put the
        frontier of likelihood too high, and any generator beyond it."""
        between = (round((low + high) / 2, 3) for low, high in itertools.pairwise(self.alphas))
        return tuple(sorted({*self.alphas, *between}))

    def measured(self, model: nn.Module, alpha: float, samples: int, *, seed: int) -> dict[str, float]:
        """Figures of a generator at an inverse temperature; `nll_test` is in nats a token."""
        model.eval()
        drawn = oracle_texts(model, samples, self.longest, seed=seed, temperature=1 / alpha)
        nats = text_nats(model, self.test, start=START, temperature=1 / alpha).sum()
        return {"alpha": alpha, "nll_test": float(nats / sum(map(len, self.test))), **self.told(self.cut(drawn))}


class WholeTexts(ShuffledSource[CausalBatch]):
    """Whole texts, shuffled anew in every pass, equally wide in every batch."""

    def __init__(self, language: Language, rows: int, *, seed: int) -> None:
        identity = {"source": "whole texts", "rows": rows, "longest": language.longest}
        super().__init__(identity, items=len(language.train), items_per_batch=rows, seed=seed, rank=0, world=1)
        self._whole = whole_texts(language.train, START)

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> CausalBatch:
        chosen = shuffled(places, self._items, seed=self._seed, epochs=epochs)
        return self._whole.ordered(torch.from_numpy(chosen))


def grammar(texts: int, *, seed: int, held_out: int = 1000) -> Language:
    """Expressions of at most 15 words with brackets that have to match; 0 ends them."""
    longest = 15
    ids = {word: number for number, word in enumerate(ARITHMETIC.terminals, start=1)}
    words = {number: word for word, number in ids.items()}
    drawn = ARITHMETIC.sentences(texts + 2 * held_out, longest=longest, seed=seed)
    whole = [[*(ids[word] for word in text.split()), START] for text in drawn]
    train, validation, test = whole[:texts], whole[texts:-held_out], whole[-held_out:]

    def judged(written: Sequence[Text]) -> dict[str, float]:
        right = [text[-1] == START and [words[each] for each in text[:-1]] in ARITHMETIC for text in written]
        return {"validity": sum(right) / len(right)}

    mean = 1 + sum(ARITHMETIC.lengths(longest)) / len(ARITHMETIC.lengths(longest))
    return Language(
        vocabulary=len(ids) + 1,
        longest=longest + 1,
        end_id=START,
        train=train,
        validation=validation,
        test=test,
        judged=judged,
        alphas=(1.0, 1.3),
        known={"nll_test": ARITHMETIC.nats(longest) / mean},
    )


def synthetic(vocabulary: int, length: int, texts: int, *, seed: int, held_out: int = 2000) -> Language:
    """Texts of an LSTM with weights of chance, in which every likelihood is known."""
    network = oracle(vocabulary, seed)
    drawn = oracle_texts(network, texts + 2 * held_out, length, seed=seed + 1).tolist()
    train, validation, test = drawn[:texts], drawn[texts:-held_out], drawn[-held_out:]

    def judged(written: Sequence[Text]) -> dict[str, float]:
        return {"nll_oracle": nats_per_token(network, written, start=START).estimate}

    return Language(
        vocabulary=vocabulary,
        longest=length,
        end_id=None,
        train=train,
        validation=validation,
        test=test,
        judged=judged,
        alphas=_ALPHAS,
        known={"nll_test": judged(test)["nll_oracle"]},
    )


def captions(most: int | None, *, held_out: int = 500) -> Language:
    """Captions of COCO, as words in lower case; those that are at least twice in the training captions. All others are
    one unknown word, which so is learnt too: of the test captions' words it is one in twenty."""
    longest = 37
    lines = {name: _lines(_SHARED / "text_gan" / f"{name}_coco.txt") for name in ("image", "test")}
    counted = collections.Counter(word for line in lines["image"] for word in line)
    known = [word for word, count in counted.items() if count > 1]
    ids = {word: number for number, word in enumerate(known, start=_UNKNOWN + 1)}
    names = {number: word for word, number in ids.items()} | {_UNKNOWN: "<unknown>", START: "<start>"}
    coded = {
        name: [[*(ids.get(word, _UNKNOWN) for word in line[:longest]), START] for line in found]
        for name, found in lines.items()
    }
    train, references = coded["image"][:most], [" ".join(line) for line in lines["test"][held_out:][:most]]

    def judged(written: Sequence[Text]) -> dict[str, float]:
        texts = [" ".join(names[each] for each in text if each != START) for text in written]
        texts = [text for text in texts if text]
        return {**pooled_bleu(texts, references), **pooled_self_bleu(texts)}

    test = coded["test"][held_out:][:most]
    return Language(
        vocabulary=len(names),
        longest=longest + 1,
        end_id=START,
        train=train,
        validation=coded["test"][:held_out],
        test=test,
        judged=judged,
        alphas=_ALPHAS,
        known={},
    )


def _lines(path: pathlib.Path) -> list[list[str]]:
    lines: list[Any] = [line.lower().split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line]
