"""ColdGANs on pairs: the same gradient as a loop over rows, whoever the discriminator is, and the same after a kill."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.adversarial.games import SEPARATOR, V, classifier, game, pairs
from trivium.data.batches import Seq2SeqBatch
from trivium.models.bert import Bert, BertConfig
from trivium.models.t5 import T5, T5Config
from trivium.objectives.coldgan import ColdConfig, importance_weights
from trivium.objectives.seq2seq import seq2seq
from trivium.objectives.seqgan import GENERATED, REAL
from trivium.training.adversarial.coldgan import ColdGAN, _ratios
from trivium.training.adversarial.conditioned import Conditioned
from trivium.training.adversarial.replay import Replay
from trivium.training.adversarial.texts import Texts, as_batch
from trivium.training.learners.adversarial import AdversarialConfig, AdversarialLearner
from trivium.training.optimisers import OptimiserConfig


def playing(**options: Any) -> ColdGAN:
    """A T5 in float64 whose chances differ from source to source."""
    made = game("coldgan", **{"kind": "t5", "dropout": 0.0, **options})
    assert isinstance(made, ColdGAN)
    for network in (made.generator, made.discriminator):
        network.double()
    with torch.no_grad():
        for parameter in made.generator.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return made


def rows_of(batch: Seq2SeqBatch, texts: Texts) -> list[tuple[Tensor, Tensor]]:
    """(source, text) of each row, without what stands beyond their lengths."""
    sources = zip(batch.source, batch.source_lengths.tolist(), strict=True)
    written = zip(texts.tokens, texts.lengths.tolist(), strict=True)
    return [(source[:n], text[:m]) for (source, n), (text, m) in zip(sources, written, strict=True)]


def log_probs(model: nn.Module, source: Tensor, text: Tensor, start: Tensor) -> Tensor:
    """log pi(. | source, y_<t) of one row, [T, V]: all at once and alone."""
    tokens = torch.cat([start, text[:-1]])[None]
    return torch.log_softmax(model.head.logits(model(tokens, state=model.encode(source[None])).hidden)[0], -1)


def chosen(log_probs: Tensor, text: Tensor) -> Tensor:
    return log_probs.gather(-1, text[:, None])[:, 0]


def judged(judge: nn.Module, source: Tensor, text: Tensor) -> Tensor:
    """log-probabilities of the two classes of one row, alone."""
    row = torch.cat([source, torch.tensor([SEPARATOR]), text])[None]
    length = torch.tensor([row.shape[1]])
    return torch.log_softmax(judge.classify(judge(row, lengths=length).hidden, length)[0], -1)


@pytest.mark.parametrize("end_id", [None, 2])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_gradient_is_that_of_a_loop_over_rows(end_id: int | None, parts: int):
    """min(c, pi / behaviour) D log pi of each text by itself, with the behaviour as a mixture of two whole texts."""
    made, batch = playing(end_id=end_id, parts=parts, clip=1.2), pairs(7)
    trained = list(made.generator.parameters())
    torch.manual_seed(5)
    losses = list(made.written(batch, 0))
    assert len(losses) == parts and sum(float(loss.count) for loss in losses) == 7
    found = torch.autograd.grad(sum(loss.total for loss in losses), trained)

    torch.manual_seed(5)
    texts, total, clipped = made._cold(batch), torch.zeros((), dtype=torch.float64), 0
    for row, (source, text) in enumerate(rows_of(batch, texts)):
        own = log_probs(made.generator, source, text, batch.tokens[row, :1])
        own_text = chosen(own, text).sum()
        cold_text = chosen(torch.log_softmax(own.detach() / 0.5, -1), text).sum()
        weight = own_text.detach().exp() / (0.7 * cold_text.exp() + 0.3 * own_text.detach().exp())
        clipped += int(weight > 1.2)
        reward = judged(made.discriminator, source, text)[REAL].exp().detach()
        total = total - weight.clamp(max=1.2) * reward * own_text
    assert 0 < clipped < 7
    expected = torch.autograd.grad(total, trained)
    assert float(total.detach()) == pytest.approx(sum(float(loss.total.detach()) for loss in losses), rel=1e-10)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mixture", ["texts", "tokens"])
def test_weights_of_cold_texts_average_to_one_for_every_source(mixture: str):
    """Thousands of texts for each of three sources; weighed as if they were for another source, they do not."""
    made, batch = playing(mixture=mixture, epsilon=0.5), pairs(3, length=3)
    torch.manual_seed(8)
    texts = made._cold(batch.ordered(torch.arange(3).repeat(4000)))
    rows = as_batch(batch.tokens[:1, :1].expand(len(texts.lengths), 1), texts)

    def off(sources: Texts) -> Tensor:
        """How far from 1 the mean over each source is, in standard errors."""
        ratios = _ratios(Conditioned(made.generator, sources), rows, made._config)
        weights = importance_weights(ratios, 1e9).view(-1, 3)
        error = weights.std(0) / len(weights) ** 0.5
        assert (error < 0.02).all()
        return (weights.mean(0) - 1).abs() / error

    assert texts.sources is not None
    assert (off(texts.sources) < 4).all()
    others = Texts(texts.sources.tokens.roll(1, 0), texts.sources.lengths.roll(1, 0))
    assert (off(others) > 8).any()


JUDGE: dict[str, Any] = {
    "vocabulary_size": V + 1,
    "width": 16,
    "layers": 1,
    "heads": 2,
    "inner_width": 24,
    "head": "classification",
    "labels": ("generated", "real"),
}
JUDGES = {
    "text_cnn": lambda: classifier(0.0, V + 1),
    "t5": lambda: T5(T5Config(**JUDGE, head_width=8, buckets=8, dropout=0.0, classifier_dropout=0.0)),
    "bert": lambda: Bert(BertConfig(**JUDGE, context_tokens=16, dropout=0.0, attention_dropout=0.0)),
}


@pytest.mark.parametrize("kind", JUDGES)
def test_any_classifier_may_judge_and_reads_both_sides_without_padding(kind: str):
    """The backbone of the generator, as published, among them: of each row what it says of that row alone."""
    torch.manual_seed(9)
    judge = JUDGES[kind]().double()
    with torch.no_grad():
        for parameter in judge.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    made, batch = ColdGAN(playing().generator, judge, ColdConfig(), separator_id=SEPARATOR), pairs(5)
    texts = made.sampled(batch, 0)
    loss, expected, right = made.against(batch, texts), 0.0, 0
    for label, side in ((REAL, Texts.of(batch)), (GENERATED, texts)):
        for source, text in rows_of(batch, side):
            classes = judged(judge, source, text).detach()
            expected -= float(classes[label])
            right += int(classes.argmax() == label)
    assert float(loss.total.detach()) == pytest.approx(expected, abs=1e-10)
    assert (float(loss.metrics["correct"]), float(loss.count)) == (right, 10)
    turned = Texts(batch.source.roll(1, 0), batch.source_lengths.roll(1, 0))
    swapped = Texts(texts.tokens, texts.lengths, sources=turned)
    assert float(made.against(batch, swapped).total.detach()) != pytest.approx(expected, abs=1e-6)
    (own,) = made.written(batch, 0)
    assert 0 < float(own.metrics["reward"] / own.count) < 1


@pytest.mark.parametrize("kind", ["t5", "seq2seq"])
def test_after_likelihood_the_game_goes_on_soundly(kind: str):
    """Learning to count on from the end of the source, then steps of the game: finite, and hardly less likely."""
    made = game("coldgan", kind=kind)
    optimiser = torch.optim.Adam(made.generator.parameters(), lr=2e-2)
    torch.manual_seed(1)
    for _ in range(15):
        loss = seq2seq(made.generator, pairs(16))
        optimiser.zero_grad()
        (loss.total / loss.count).backward()
        optimiser.step()
    both, held_out = learner(made), pairs(40)
    total, count = both.evaluate(held_out)
    assert total / count < 1.7
    metrics = [both.step(pairs(16)) for _ in range(2)]
    for row in metrics:
        assert row["skipped"] == 0 and 0 < row["reward"] < 1 and 0 < row["weight"] <= 5
    assert metrics[-1]["tokens"] == pytest.approx(int(pairs(16).part(0, 8).mask.sum()))
    assert both.evaluate(held_out)[0] / count < total / count + 0.2


def learner(made: Any, **changes: Any) -> AdversarialLearner:
    rate = OptimiserConfig(learning_rate=1e-3, weight_decay=0.0)
    usual = {"generator": rate, "discriminator": rate, "discriminator_updates": 2}
    return AdversarialLearner(made, AdversarialConfig(**{**usual, **changes}), steps=10)


def test_an_update_in_parts_is_the_same_update():
    ends = []
    for parts in (1, 3):
        torch.manual_seed(6)
        made = playing(parts=parts)
        both = learner(made, discriminator_updates=1)
        torch.manual_seed(7)
        for _ in range(2):
            both.step(pairs())
        ends.append(torch.cat([parameter.flatten() for parameter in made.generator.parameters()]))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-10)


def test_resumed_it_goes_on_bit_for_bit():
    options = {"kind": "t5", "replayed_texts": 10, "longest_replayed": 5}
    both = learner(game("coldgan", **options))
    both.step(pairs(8))
    tensors, state = both.state_dict()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    assert {"replay/tokens", "replay/sources.tokens", "replay/sources.lengths"} <= tensors.keys()
    random = torch.get_rng_state()
    expected = [both.step(pairs(8)) for _ in range(2)]
    resumed = learner(game("coldgan", **options))
    resumed.load_state_dict(tensors, state)
    torch.set_rng_state(random)
    assert [resumed.step(pairs(8)) for _ in range(2)] == expected
    for name, tensor in both.state_dict()[0].items():
        assert torch.equal(tensor, resumed.state_dict()[0][name]), name


def test_old_texts_come_with_their_own_sources():
    replay = Replay(4, 3, sources=True)
    for first in (1, 5):
        numbers = torch.arange(first, first + 2)
        sources = Texts(numbers[:, None].expand(2, 3) + 10, torch.tensor([3, 1]))
        mixed = replay.mixed(Texts(numbers[:, None].expand(2, 3), torch.tensor([2, 3]), sources=sources))
    assert mixed.sources is not None and mixed.tokens[0].tolist() == [5] * 3
    old = int(mixed.tokens[1, 0])
    assert old in (1, 2) and mixed.sources.tokens[1].tolist() == [old + 10] * 3
    assert int(mixed.lengths[1]) == {1: 2, 2: 3}[old] and int(mixed.sources.lengths[1]) == {1: 3, 2: 1}[old]


def test_old_texts_are_kept_where_the_generator_is():
    with torch.device("meta"):
        generator = playing().generator
    made = ColdGAN(generator, classifier(), ColdConfig(replayed_texts=4), separator_id=SEPARATOR)
    assert {buffer.device.type for buffer in made.modules()["replay"].buffers()} == {"meta"}
