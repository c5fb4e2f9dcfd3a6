"""AWD-LSTM beyond the contract: what is random while training, what is not in evaluation, penalties, sizes."""

import pytest
import torch

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.models.awd_lstm import AWDLSTM, SIZES, AWDLSTMConfig
from trivium.objectives.causal import causal

STILL = {"dropout": 0.0, "input_dropout": 0.0, "hidden_dropout": 0.0, "embedding_dropout": 0.0, "weight_dropout": 0.0}
RATES = sorted(STILL)
TOKENS = torch.randint(19, (3, 11), generator=torch.Generator().manual_seed(0))


def build(**fields) -> AWDLSTM:
    torch.manual_seed(1)
    return AWDLSTM(AWDLSTMConfig(**({"vocabulary_size": 19, "width": 8, "layers": 2} | STILL | fields)))


def whole(tokens: torch.Tensor) -> CausalBatch:
    inputs = tokens[:, :-1]
    lengths = torch.full((tokens.shape[0],), inputs.shape[1])
    return CausalBatch(inputs, tokens[:, 1:], torch.ones_like(inputs, dtype=torch.bool), lengths)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("rate", RATES)
def test_training_passes_differ_and_evaluations_agree(rate: str, tied: bool) -> None:
    """Each rate by itself, on an untied and on a tied model; trained in between, evaluation sees the new weights."""
    model = build(tied=tied, **{rate: 0.5})
    assert not torch.equal(model(TOKENS).hidden, model(TOKENS).hidden)
    model.eval()
    first = model(TOKENS).hidden
    assert torch.equal(first, model(TOKENS).hidden)
    still = build(tied=tied).eval()
    assert torch.equal(first, still(TOKENS).hidden)  # the rate is no part of what is evaluated
    optimiser = torch.optim.SGD(model.train().parameters(), lr=0.1)
    causal(model, whole(TOKENS)).total.backward()
    optimiser.step()
    assert not torch.allclose(first, model.eval()(TOKENS).hidden)


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_reach_the_raw_recurrent_weights(tied: bool) -> None:
    model = build(tied=tied, weight_dropout=0.5)
    names = [name for name, _ in model.named_parameters()]
    assert sum("weight_hh" in name for name in names) == 2
    assert not any("raw" in name for name in names)
    causal(model, whole(TOKENS)).total.backward()
    for block in model.blocks:
        gradient = block.rnn.weight_hh_l0.grad
        assert 0.3 < gradient.eq(0).float().mean() < 0.7  # dropped weights get none from this pass
    assert list(model.state_dict()) == list(build(tied=tied).state_dict())


def test_weights_are_dropped_for_all_time_steps_at_once() -> None:
    """A pass in two pieces from the same random state is one long pass: the masks do not depend on the length."""
    model = build(weight_dropout=0.5).double()
    torch.manual_seed(5)
    long = model(TOKENS).hidden
    state, pieces = model.new_state(3, 0), []
    for piece in TOKENS.split(4, dim=1):
        torch.manual_seed(5)
        output = model(piece, state=state)
        state = output.state
        pieces.append(output.hidden)
    torch.testing.assert_close(torch.cat(pieces, 1), long, rtol=0, atol=1e-12)


def test_penalties_are_those_of_the_paper() -> None:
    alpha, beta = 2.0, 1.0
    model = build(activation_regularisation=alpha, temporal_activation_regularisation=beta).double()
    loss = causal(model, whole(TOKENS))
    h = model(TOKENS[:, :-1]).hidden
    torch.testing.assert_close(loss.auxiliary["activation"] / loss.count, alpha * h.pow(2).mean())
    wanted = beta * (h[:, 1:] - h[:, :-1]).pow(2).mean() * 9 / 10  # a mean over tokens, of which the first has no other
    torch.testing.assert_close(loss.auxiliary["temporal_activation"] / loss.count, wanted)
    assert causal(model.eval(), whole(TOKENS)).auxiliary == {}
    none = build(activation_regularisation=0.0, temporal_activation_regularisation=0.0)
    assert none(TOKENS).auxiliary == {}


def test_penalties_of_padded_and_packed_texts_are_those_of_each_alone() -> None:
    model = build().double()
    lengths = [5, 2, 8]
    alone = [model(TOKENS[[b], :n]).auxiliary for b, n in enumerate(lengths)]
    padded = model(TOKENS, lengths=torch.tensor(lengths)).auxiliary
    packed = torch.cat([*(TOKENS[b, :n] for b, n in enumerate(lengths)), TOKENS[0, :2]])[None]
    segments = torch.cat([torch.repeat_interleave(torch.tensor(lengths)), torch.tensor([-1, -1])])[None]
    for found in (padded, model(packed, segments=segments).auxiliary):
        for name in ("activation", "temporal_activation"):
            torch.testing.assert_close(found[name], sum(one[name] for one in alone), rtol=0, atol=1e-10)


def test_published_sizes() -> None:
    """24M parameters on the Penn Treebank, as the authors' program counts them, and 33M on WikiText-2."""
    with torch.device("meta"):
        counts = {name: sum(p.numel() for p in AWDLSTM(config).parameters()) for name, config in SIZES.items()}
    assert counts == {"awd-lstm-ptb": 24_221_600, "awd-lstm-wikitext2": 33_556_078}


def test_unknown_field() -> None:
    assert AWDLSTMConfig.from_hf({"model_type": "trivium-awd-lstm", "width": 9}).layers == 3
    with pytest.raises(ConfigError, match="did you mean weight_dropout"):
        AWDLSTMConfig.from_hf({"model_type": "trivium-awd-lstm", "weigth_dropout": 0.1})
