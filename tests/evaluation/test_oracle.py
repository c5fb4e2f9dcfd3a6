"""The synthetic oracle: its weights, its texts, its published entropy, and what the three figures tell apart."""

import pytest
import torch

from trivium.evaluation.oracle import WIDTH, oracle, oracle_scores, oracle_texts
from trivium.evaluation.text_nats import nats_per_token
from trivium.models.lstm import LSTM, LSTMConfig


def test_weights_of_chance():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    language = oracle(500, 0)
    assert torch.equal(torch.rand(3), expected)  # the default generator was not drawn from
    for name, weight in language.named_parameters():
        assert not weight.requires_grad
        if name.endswith("bias_hh_l0"):
            assert not weight.any()
        else:
            spread = 5 / weight.numel() ** 0.5
            assert abs(float(weight.mean())) < spread and abs(float(weight.std()) - 1) < spread, name
    assert language.embedding.weight.shape == (500, WIDTH) and not language.training
    same, other = oracle(500, 0), oracle(500, 1)
    assert all(torch.equal(a, b) for a, b in zip(language.parameters(), same.parameters(), strict=True))
    assert not torch.equal(language.head.weight, other.head.weight)


def test_its_own_entropy_is_the_published_one():
    """5.75 of the authors' own oracle of 5,000 words and texts of 20; others have between 5.7 and 6.1."""
    language = oracle(5000, 0)
    texts = oracle_texts(language, 400, 20, seed=1)
    assert nats_per_token(language, list(texts.numpy()), start=0).estimate == pytest.approx(5.88, abs=0.1)


def test_texts_are_those_of_the_model():
    """Against the exact distribution of the first two tokens of a language of five."""
    language = oracle(5, 3).double()
    texts = oracle_texts(language, 20_000, 2, seed=0)
    logs = torch.log_softmax(language.head.logits(language(torch.zeros(1, 1, dtype=torch.long)).hidden[0, 0]), -1)
    rest = language(torch.stack([torch.zeros(5, dtype=torch.long), torch.arange(5)], 1)).hidden[:, 1]
    joint = (logs[:, None] + torch.log_softmax(language.head.logits(rest), -1)).exp()
    counts = torch.bincount(texts[:, 0] * 5 + texts[:, 1], minlength=25).view(5, 5)
    expected = 20_000 * joint
    assert ((counts - expected).abs() < 5 * expected.sqrt() + 1).all()
    assert torch.equal(oracle_texts(language, 700, 2, seed=0), oracle_texts(language, 700, 2, seed=0))
    assert not torch.equal(oracle_texts(language, 700, 2, seed=0), oracle_texts(language, 700, 2, seed=1))


def test_no_seed_is_drawn_from_but_its_own():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    oracle_texts(oracle(5, 0), 3, 4, seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_the_three_figures():
    language = oracle(50, 0)
    held_out = oracle_texts(language, 300, 6, seed=2)
    own = nats_per_token(language, list(held_out.numpy()), start=0).estimate
    perfect = oracle_scores(language, language, held_out, seed=3)
    for figure in (perfect.oracle, perfect.test, perfect.own):
        assert figure.estimate == pytest.approx(own, abs=0.12) and figure.low < figure.estimate < figure.high
    cold = oracle_scores(language, language, held_out, seed=3, temperature=0.5)
    # Cooled, it writes what is likely (quality), says little else (entropy), and loses coverage.
    assert cold.oracle.high < perfect.oracle.low and cold.own.high < perfect.own.low
    assert cold.test.low > perfect.test.high
    torch.manual_seed(0)
    generator = LSTM(LSTMConfig(vocabulary_size=50, width=8, layers=1))
    unlearnt = oracle_scores(language, generator, held_out, seed=3)
    texts = oracle_texts(generator, 300, 6, seed=3)
    for figure, model, read in (
        (unlearnt.oracle, language, texts),
        (unlearnt.test, generator, held_out),
        (unlearnt.own, generator, texts),
    ):
        assert figure == nats_per_token(model, list(read.numpy()), start=0)
    assert unlearnt.oracle.low > perfect.oracle.high + 1 and unlearnt.test.low > perfect.test.high
    assert oracle_scores(language, language, held_out, seed=3) == perfect
    assert oracle_scores(language, language, held_out, seed=3, samples=40).test == perfect.test
