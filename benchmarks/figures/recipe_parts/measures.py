"""What the recipes of `benchmarks/figures/recipes.py` are measured by: bits per byte, facts recalled, answers alike.

Intervals are 95 %, over passages, examples or facts.
"""

import time
from collections.abc import Iterable, Sequence

import numpy as np

from trivium.data.examples import ExamplesSource
from trivium.data.examples_file import Record
from trivium.evaluation.bits_per_byte import bits_per_byte, store_of_texts
from trivium.evaluation.intervals import Interval, bootstrap, proportion
from trivium.lm.local import LocalModel
from trivium.objectives.causal import causal
from trivium.recipes.examples import encode_record

CONTEXT_TOKENS = 512
RESAMPLES = 1000
_FACT_TOKENS = 12


def of_texts(model: LocalModel, passages: Iterable[str]) -> Interval:
    """Bits per byte of text as it stands."""
    assert model.tokenizer is not None
    rows = []
    for passage in passages:
        store = store_of_texts([passage], model.tokenizer, model.config.vocabulary_size)
        found = bits_per_byte(model.network, store, context_tokens=CONTEXT_TOKENS)
        rows.append((found.nats / np.log(2), found.bytes))
    return ratio(rows)


def of_answers(model: LocalModel, records: Iterable[Record]) -> Interval:
    """Bits per byte of answers, and of the token that ends each, after what is asked."""
    assert model.tokenizer is not None
    rows = []
    for record in records:
        example = encode_record(model.tokenizer, record, prompt_format="chat", answers="last")
        if (length := len(example.ids) - 1) > CONTEXT_TOKENS:
            continue
        size = model.config.vocabulary_size
        batch = next(ExamplesSource([example], vocabulary_size=size, context_tokens=length, rows=1))
        written = [token for token, is_trained in zip(example.ids, example.trained, strict=True) if is_trained][:-1]
        nats = float(causal(model.network, batch).total.detach())
        rows.append((nats / np.log(2), len(model.tokenizer.decode(written).encode())))
    return ratio(rows)


def ratio(rows: Sequence[tuple[float, float]]) -> Interval:
    return bootstrap(np.array(rows), lambda sums: sums[..., 0] / sums[..., 1], resamples=RESAMPLES)


def asked(model: LocalModel, record: Record) -> list[int]:
    """What is read before the answer."""
    assert model.tokenizer is not None
    example = encode_record(model.tokenizer, record, prompt_format="chat", answers="last")
    return list(example.ids[: list(example.trained).index(True)])


def recalled(model: LocalModel, facts: Sequence[tuple[str, str]]) -> Interval:
    """Sentences that are gone on with as the document does: its answer, word for word."""
    answers = model.generate([sentence for sentence, _ in facts], max_new_tokens=_FACT_TOKENS, temperature=0.0)
    right = sum(answer.text.lstrip().startswith(wanted) for answer, (_, wanted) in zip(answers, facts, strict=True))
    return proportion(right, len(facts))


def together(model: LocalModel, names: Sequence[str]) -> dict[str, float]:
    """One prompt answered by each adapter, all in one batch and one after the other: are the answers the same?"""

    def written(chosen: Sequence[str]) -> list[list[int]]:
        requests = [
            request
            for name in chosen
            for request in model.requests(["And it came to pass"], max_new_tokens=64, temperature=0.0, adapter=name)
        ]
        engine = model.engine(slots=len(chosen))
        engine.submit(requests)
        while not engine.idle:
            engine.step()
        return [request.token_ids for request in requests]

    begun = time.perf_counter()
    alone = [written([name])[0] for name in names]
    between = time.perf_counter()
    batched = written(names)
    ended = time.perf_counter()
    return {
        "same_answers": float(alone == batched),
        "seconds_alone": between - begun,
        "seconds_together": ended - between,
    }
