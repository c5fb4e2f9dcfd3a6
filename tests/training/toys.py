"""Tiny models, sources and learners for the tests of training."""

import dataclasses
from typing import Any

import torch
from torch import nn

from trivium.data.batches import CausalBatch
from trivium.data.sampler import StreamSource
from trivium.data.shards import TokenStore
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.objectives.causal import causal
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig

VOCABULARY, LENGTH = 32, 12


def tiny_gpt2(*, dropout: float = 0.0, tied: bool = True) -> GPT2:
    """Two blocks of width 16."""
    return GPT2(
        GPT2Config(
            vocabulary_size=VOCABULARY,
            width=16,
            layers=2,
            heads=2,
            context_tokens=LENGTH,
            dropout=dropout,
            tied=tied,
        )
    )


def batch(number: int, rows: int = 4) -> CausalBatch:
    """Batch `number`, always the same; its rows have unequal lengths and so unequal counts."""
    generator = torch.Generator().manual_seed(number)
    tokens = torch.randint(0, VOCABULARY, (rows, LENGTH + 1), generator=generator)
    lengths = torch.randint(1, LENGTH + 1, (rows,), generator=generator)
    mask = torch.arange(LENGTH) < lengths[:, None]
    return CausalBatch(tokens[:, :-1], tokens[:, 1:], mask, lengths)


class NumberedSource:
    """`batch(0)`, `batch(1)`, ...; this process's share of the rows."""

    def __init__(self, rows: int = 4, *, rank: int = 0, world: int = 1) -> None:
        self.number, self.rows, self.rank, self.world = 0, rows, rank, world

    def __next__(self) -> CausalBatch:
        whole = batch(self.number, self.rows)
        self.number += 1
        return whole.split(self.world)[self.rank]

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number = state["number"]


def learner_of(model: nn.Module, *, steps: int = 20, **settings: Any) -> SupervisedLearner:
    """A supervised learner of next tokens with a short warm-up; `settings` are those of `SupervisedConfig`."""
    config = SupervisedConfig(schedule=ScheduleConfig(warmup_steps=2))
    return SupervisedLearner(model, causal, dataclasses.replace(config, **settings), steps=steps)


def causal_job() -> tuple[SupervisedLearner, NumberedSource, list[CausalBatch]]:
    """Everything that a checkpoint must hold at once: dropout, Muon, accumulation, an average of the weights."""
    learner = learner_of(tiny_gpt2(dropout=0.2), optimiser=OptimiserConfig(kind="muon"), micro_batches=2, ema_decay=0.9)
    return learner, NumberedSource(), [batch(1000), batch(1001)]


def carried_job() -> tuple[SupervisedLearner, StreamSource, list[CausalBatch]]:
    """An LSTM with dropout, trained by truncated back-propagation with its state carried from batch to batch."""
    model = LSTM(LSTMConfig(vocabulary_size=VOCABULARY, width=8, layers=2, dropout=0.1))
    store = TokenStore.of([[(7 * i) % 31 for i in range(211)]], vocabulary_size=VOCABULARY)
    source = StreamSource(store, context_tokens=LENGTH, rows=4)
    return learner_of(model, carry=True, micro_batches=2), source, [batch(1000)]
