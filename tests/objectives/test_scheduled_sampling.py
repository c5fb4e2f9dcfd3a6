"""Scheduled sampling: the paper's decays, chances that come with the batch, and a loss equal to a plain loop."""

import json
import math
import pathlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.contracts.tracers import TRACERS, Tracer, V
from tests.training.kill import assert_survives_kills
from trivium.data.batches import Seq2SeqBatch
from trivium.data.pairs import Seq2SeqSource
from trivium.errors import ConfigError
from trivium.objectives.scheduled_sampling import Decay, ScheduledBatch, ScheduledSource, scheduled_sampling
from trivium.objectives.seq2seq import seq2seq
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.schedules import ScheduleConfig

READING = [tracer for tracer in TRACERS if tracer.reads_a_source]
every_model = pytest.mark.parametrize("tracer", READING, ids=lambda tracer: tracer.label.replace(" ", "-"))


def pairs_of(rows: int = 4, length: int = 6) -> Seq2SeqBatch:
    generator = torch.Generator().manual_seed(7)
    targets = torch.randint(V, (rows, length), generator=generator)
    lengths = torch.randint(2, length + 1, (rows,), generator=generator)
    source = torch.randint(V, (rows, 5), generator=generator)
    source_lengths = torch.randint(1, 6, (rows,), generator=generator)
    tokens = torch.cat([torch.zeros(rows, 1, dtype=torch.long), targets[:, :-1]], dim=1)
    return Seq2SeqBatch(source, source_lengths, tokens, targets, torch.arange(length) < lengths[:, None], lengths)


def scheduled(share: float, pairs: Seq2SeqBatch | None = None) -> ScheduledBatch:
    """With about ``share`` of true words."""
    pairs = pairs_of() if pairs is None else pairs
    coins, chances = torch.rand(2, *pairs.tokens.shape, generator=torch.Generator().manual_seed(8))
    forced = coins < share
    forced[:, 0] = True
    return ScheduledBatch(pairs=pairs, forced=forced, chances=chances)


def by_hand(model: nn.Module, batch: ScheduledBatch, *, greedy: bool) -> Tensor:
    """One row and one word after the other, the gradient kept through all of it: what the paper trains on."""
    pairs, total = batch.pairs, torch.zeros((), dtype=torch.float64)
    for b in range(pairs.rows):
        length = int(pairs.lengths[b])
        state = model.encode(pairs.source[[b], : pairs.source_lengths[b]], capacity=length)
        token = pairs.tokens[b, 0]
        for t in range(length):
            output = model(token.view(1, 1), state=state)
            state, logits = output.state, model.head.logits(output.hidden)[0, 0]
            total = total + F.cross_entropy(logits, pairs.targets[b, t])
            if t + 1 == length:
                break
            token = pairs.tokens[b, t + 1]
            if not batch.forced[b, t + 1]:
                summed = torch.softmax(logits, -1).cumsum(-1)
                token = logits.argmax() if greedy else (summed <= batch.chances[b, t + 1]).sum()
    return total


@every_model
@pytest.mark.parametrize("greedy", [True, False], ids=["greedy", "drawn"])
def test_equals_a_plain_loop(tracer: Tracer, greedy: bool) -> None:
    model, batch = tracer.build(), scheduled(0.4)
    with torch.no_grad():
        wanted = by_hand(model, batch, greedy=greedy)
        loss = scheduled_sampling(model, batch, greedy=greedy)
        forced = seq2seq(model, batch.pairs)
    torch.testing.assert_close(loss.total, wanted, rtol=0, atol=1e-10)
    assert loss.count == forced.count == batch.num_tokens
    assert abs(loss.total - forced.total) > 1e-6  # its own words were not the true ones
    free = ~batch.forced & batch.pairs.mask
    assert loss.metrics["own_words"] == free.sum() > 0


@pytest.mark.parametrize("tracer", [t for t in READING if t.recurrent], ids=lambda tracer: tracer.label)
def test_gradients_are_those_of_the_plain_loop(tracer: Tracer) -> None:
    model, batch = tracer.build(), scheduled(0.4)
    wanted = torch.autograd.grad(by_hand(model, batch, greedy=False), list(model.parameters()))
    found = torch.autograd.grad(scheduled_sampling(model, batch).total, list(model.parameters()))
    for (name, _), ours, theirs in zip(model.named_parameters(), found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")
        assert bool(ours.any()), name


@every_model
def test_with_every_word_forced_it_is_teacher_forcing(tracer: Tracer) -> None:
    model = tracer.build()
    forced = seq2seq(model, pairs_of())
    for batch in (scheduled(1.0), pairs_of()):
        loss = scheduled_sampling(model, batch)
        assert torch.equal(loss.total, forced.total)
        assert loss.metrics.get("own_words", 0) == 0


def test_smoothed_targets() -> None:
    tracer = READING[0]
    model = tracer.build(**tracer.without_dropout).train()
    wanted = seq2seq(model, pairs_of(), label_smoothing=0.1)
    for batch in (scheduled(1.0), pairs_of()):
        loss = scheduled_sampling(model, batch, label_smoothing=0.1)
        assert torch.equal(loss.total, wanted.total)
        assert torch.equal(loss.metrics["nll"], wanted.metrics["nll"])


def test_parts_give_what_the_whole_gives() -> None:
    model, batch = READING[0].build(), scheduled(0.2)
    whole = scheduled_sampling(model, batch)
    parts = [scheduled_sampling(model, part) for part in batch.to("cpu").split(3)]
    torch.testing.assert_close(sum(part.total for part in parts), whole.total, rtol=0, atol=1e-10)
    assert sum(part.count for part in parts) == whole.count
    assert sum(part.metrics["own_words"] for part in parts) == whole.metrics["own_words"]


def test_what_stands_beyond_a_row_does_not_matter() -> None:
    model, batch = READING[0].build(), scheduled(0.2)
    other = pairs_of()
    other.tokens[~other.mask] = 1
    other.targets[~other.mask] = 1
    assert torch.equal(scheduled_sampling(model, batch).total, scheduled_sampling(model, scheduled(0.2, other)).total)


def test_dropout_is_off_while_words_are_chosen_and_on_again_after() -> None:
    tracer, modes = READING[0], []
    model = tracer.build(dropout=0.5).train()
    model.register_forward_hook(lambda module, _, output: modes.append((module.training, output.hidden.requires_grad)))
    state = torch.get_rng_state()
    scheduled_sampling(model, scheduled(0.0))
    steps = int(pairs_of().lengths.max()) - 1
    assert modes == [(False, False)] * steps + [(True, True)]
    assert model.training
    drawn = torch.get_rng_state()
    torch.set_rng_state(state)
    seq2seq(model, pairs_of())
    assert torch.equal(drawn, torch.get_rng_state())  # dropout alone drew from the global generator


def test_words_are_drawn_from_the_model_s_distribution() -> None:
    tracer, rows = READING[0], 4000
    model = tracer.build()
    one = pairs_of(rows=1, length=2)
    pairs = Seq2SeqBatch(**{name: getattr(one, name).expand(rows, *getattr(one, name).shape[1:]) for name in vars(one)})
    seen: list[Tensor] = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        scheduled_sampling(model, scheduled(0.0, pairs))
        state = model.encode(one.source, one.source_lengths)
        probabilities = torch.softmax(model.head.logits(model(one.tokens[:, :1], state=state).hidden)[0, 0], -1)
    shares = torch.bincount(seen[1][:, 1], minlength=V) / rows
    assert (shares - probabilities).abs().max() < 4 * math.sqrt(0.25 / rows)


# Decays and the source -----------------------------------------------------------------------------------------------


def test_decays() -> None:
    """Section 2.4."""
    linear = Decay(kind="linear", k=1.0, slope=0.01, floor=0.25)
    assert [linear.at(i) for i in (0, 10, 75, 1000)] == pytest.approx([1.0, 0.9, 0.25, 0.25])
    assert [Decay(kind="exponential", k=0.9).at(i) for i in (0, 1, 3)] == pytest.approx([1.0, 0.9, 0.729])
    sigmoid = Decay(kind="inverse_sigmoid", k=10.0)
    assert [sigmoid.at(i) for i in (0, 20)] == pytest.approx([10 / 11, 10 / (10 + math.exp(2))])
    for decay in (linear, Decay(kind="exponential", k=0.9), sigmoid):
        values = [decay.at(i) for i in (*range(200), 10**6)]
        assert values == sorted(values, reverse=True)
        assert 0.0 <= values[-1] <= values[0] <= 1.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "linear", "k": 1.5}, "k does not fit the linear decay"),
        ({"kind": "exponential", "k": 1.0}, "below 1"),
        ({"kind": "inverse_sigmoid", "k": 0.5}, "at least 1"),
        ({"kind": "inverse_sigmoid", "k": math.nan}, "at least 1"),
        ({"kind": "linear", "k": 1.0, "slope": -0.1}, "slope"),
        ({"kind": "linear", "k": 1.0, "floor": 2.0}, "floor"),
    ],
)
def test_decays_that_are_none(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Decay(**fields)


def source_of(decay: Decay, **options: Any) -> ScheduledSource:
    pairs = [([1 + i % 9, 2], [3, 4, 5 + i % 7][: 1 + i % 3]) for i in range(20)]
    return ScheduledSource(Seq2SeqSource(pairs, start_id=0, eos_id=1, rows=6), decay, **options)


def test_a_resumed_source_goes_on_to_the_bit() -> None:
    decay = Decay(kind="exponential", k=0.8)
    whole = source_of(decay)
    batches = [next(whole) for _ in range(6)]
    first = source_of(decay)
    for _ in range(3):
        next(first)
    torch.rand(5)  # the global generator has no part in it
    second = source_of(decay)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for wanted in batches[3:]:
        found = next(second)
        assert torch.equal(found.forced, wanted.forced)
        assert torch.equal(found.chances, wanted.chances)
        assert torch.equal(found.pairs.tokens, wanted.pairs.tokens)


def test_fewer_words_are_forced_as_time_goes_on() -> None:
    source = source_of(Decay(kind="linear", k=1.0, slope=0.01))
    shares = [next(source).forced[:, 1:].float().mean().item() for _ in range(120)]
    assert shares[0] == 1.0
    assert shares[100:] == [0.0] * 20
    assert sum(shares[45:56]) / 11 == pytest.approx(0.5, abs=0.15)
    assert all(batch.forced[:, 0].all() for _, batch in zip(range(3), source, strict=False))


def test_seeds_and_processes_have_chances_of_their_own() -> None:
    decay = Decay(kind="linear", k=0.5)
    first = next(source_of(decay))
    assert torch.equal(first.chances, next(source_of(decay)).chances)
    for options in ({"seed": 1}, {"rank": 1}):
        assert not torch.equal(first.chances, next(source_of(decay, **options)).chances)


def test_killed_anywhere_it_goes_on_bit_for_bit(tmp_path: pathlib.Path) -> None:
    tracer = next(tracer for tracer in READING if tracer.label == "luong")

    def job() -> tuple[SupervisedLearner, ScheduledSource, list[Seq2SeqBatch]]:
        torch.manual_seed(1)
        model = tracer.row.model_class()(tracer.config())  # dropout is on
        config = SupervisedConfig(schedule=ScheduleConfig(warmup_steps=2), micro_batches=2)
        learner = SupervisedLearner(model, scheduled_sampling, config, steps=6)
        return learner, source_of(Decay(kind="exponential", k=0.5)), [pairs_of()]

    assert_survives_kills(job, tmp_path, kills=2)
