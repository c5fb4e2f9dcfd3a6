"""Tracers under the one Trainer: killed anywhere and resumed bit for bit, and shared by two processes.

One of each kind of state in the fast run, every tracer in the slow one.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.contracts.tracers import TRACERS, Tracer, V
from tests.training.kill import assert_survives_kills
from tests.training.test_parallel import in_processes
from trivium.data.batches import CausalBatch, LabelledBatch, MaskedBatch, Seq2SeqBatch, TaggedBatch
from trivium.objectives.bilm import bilm
from trivium.objectives.causal import causal
from trivium.objectives.classification import classification
from trivium.objectives.masked import mask_row, masked
from trivium.objectives.seq2seq import seq2seq
from trivium.objectives.tagging import tagging
from trivium.runtime.processes import Place
from trivium.training import parallel
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig

ROWS, LENGTH = 4, 6
WARM = ScheduleConfig(warmup_steps=2)
# One for each kind of state that a checkpoint holds: weights that read from left to right with the correction of
# experts, which each update moves; masked; an encoder and a decoder; a recurrence whose weights drop out, one of two
# directions, two with attention between them; the scores between labels. A carried state: tests/training/test_kill.py.
KINDS_OF_STATE = ("deepseek_v3", "bert", "bart", "awd_lstm tied", "bilm", "luong", "bilstm crf")
KINDS = [tracer for tracer in TRACERS if tracer.label in KINDS_OF_STATE]
# Decoders differ in no part that a checkpoint holds but their weights: some stand for all.
TRAINED = [
    pytest.param(tracer, id=tracer.label.replace(" ", "-"), marks=() if tracer in KINDS else pytest.mark.slow)
    for tracer in TRACERS
    if tracer in KINDS or tracer.row.kind != "decoder" or tracer.label in ("gpt2", "llama", "mixtral")
]


def ragged(number: int) -> tuple[Tensor, Tensor, Tensor, torch.Generator]:
    """Tokens with one more column than the mask, the mask and the lengths of batch ``number``."""
    generator = torch.Generator().manual_seed(number)
    tokens = torch.randint(4, V, (ROWS, LENGTH + 1), generator=generator)
    lengths = torch.randint(2, LENGTH + 1, (ROWS,), generator=generator)
    return tokens, torch.arange(LENGTH) < lengths[:, None], lengths, generator


def causal_batch(number: int) -> CausalBatch:
    tokens, mask, lengths, _ = ragged(number)
    return CausalBatch(tokens[:, :-1], tokens[:, 1:], mask, lengths)


def seq2seq_batch(number: int) -> Seq2SeqBatch:
    tokens, mask, lengths, generator = ragged(number)
    source = torch.randint(V, (ROWS, 5), generator=generator)
    source_lengths = torch.randint(1, 6, (ROWS,), generator=generator)
    return Seq2SeqBatch(source, source_lengths, tokens[:, :-1], tokens[:, 1:], mask, lengths)


def masked_batch(number: int) -> MaskedBatch:
    tokens, mask, lengths, _ = ragged(number)
    rng = np.random.default_rng(number)
    corrupted, chosen = tokens[:, :-1].clone(), torch.zeros_like(mask)
    for row, length in enumerate(lengths.tolist()):
        ids, places = mask_row(tokens[row, :length].numpy(), rng, mask_id=3, vocabulary_size=V, rate=0.5)
        corrupted[row, :length], chosen[row, :length] = torch.from_numpy(ids), torch.from_numpy(places)
    return MaskedBatch(corrupted, tokens[:, :-1], chosen, lengths)


def labelled_batch(number: int) -> LabelledBatch:
    tokens, _, lengths, generator = ragged(number)
    return LabelledBatch(tokens[:, :-1], lengths, torch.randint(3, (ROWS,), generator=generator))


def tagged_batch(number: int) -> TaggedBatch:
    tokens, _, lengths, generator = ragged(number)
    words = torch.arange(LENGTH).expand(ROWS, LENGTH)  # as many words as tokens
    return TaggedBatch(tokens[:, :-1], lengths, words, lengths, torch.randint(3, (ROWS, LENGTH), generator=generator))


def task(tracer: Tracer) -> tuple[Callable[..., Any], Callable[[int], Any]]:
    """The objective that a kind of model is trained on, and its batches."""
    if tracer.reads_a_source:
        return seq2seq, seq2seq_batch
    if tracer.row.kind == "encoder":
        return masked, masked_batch
    if tracer.row.kind == "bidirectional recurrent":
        return bilm, causal_batch
    if tracer.tags:
        return tagging, tagged_batch
    return (classification, labelled_batch) if tracer.row.kind == "classifier" else (causal, causal_batch)


class Numbered:
    """Batches 0, 1, 2, ...; this process's rows of each."""

    def __init__(self, make: Callable[[int], Any], here: Place) -> None:
        self.make, self.here, self.number = make, here, 0

    def __next__(self) -> Any:
        self.number += 1
        return self.make(self.number).split(self.here.world)[self.here.rank]

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number = state["number"]


def network(tracer: Tracer) -> nn.Module:
    torch.manual_seed(1)
    return tracer.row.model_class()(tracer.config())


def test_every_kind_of_state_is_here() -> None:
    assert {tracer.label for tracer in KINDS} == set(KINDS_OF_STATE)


@pytest.mark.parametrize("tracer", TRAINED)
def test_killed_anywhere_it_goes_on_bit_for_bit(tracer: Tracer, tmp_path: pathlib.Path) -> None:
    objective, make = task(tracer)

    def job() -> tuple[SupervisedLearner, Numbered, list[Any]]:
        config = SupervisedConfig(optimiser=OptimiserConfig(kind="muon"), schedule=WARM, micro_batches=2)
        learner = SupervisedLearner(network(tracer), objective, config, steps=6)  # dropout is on
        return learner, Numbered(make, Place()), [make(1000)]

    assert_survives_kills(job, tmp_path, kills=3)


def trained(tracer: Tracer, mode: str, here: Place) -> list[float]:
    """Losses and gradient norms of three updates in float64, of what is a sum over texts."""
    objective, make = task(tracer)
    torch.manual_seed(1)
    model = tracer.row.model_class()(tracer.config(**tracer.additive)).double()
    if mode == "replicated":
        parallel.replicate(model)
    elif mode == "sharded":
        parallel.shard(model)
    learner = SupervisedLearner(model, objective, SupervisedConfig(schedule=WARM, micro_batches=2), steps=6)
    source, numbers = Numbered(make, here), []
    for _ in range(3):
        result = learner.step(next(source))
        numbers += [result["loss"], result["gradient_norm"]]
    return numbers


@pytest.mark.parametrize("tracers", [KINDS, pytest.param(TRACERS, marks=pytest.mark.slow)], ids=["kinds", "all"])
@pytest.mark.parametrize("mode", ["replicated", "sharded"])
def test_two_processes_are_one(mode: str, tracers: list[Tracer], tmp_path: pathlib.Path) -> None:
    """One pair of processes trains the tracers in turn."""
    expected = {tracer.label: trained(tracer, "single", Place()) for tracer in tracers}

    def work(here: Place) -> None:
        for tracer in tracers:
            numbers = trained(tracer, mode, here)
            assert numbers == pytest.approx(expected[tracer.label], abs=1e-10), tracer.label

    in_processes(2, work, tmp_path)
