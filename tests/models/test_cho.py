"""The encoder-decoder with its context at every step, beyond the contract: the equations of appendix A."""

import torch

from tests.models.equations import gru, read_gru
from trivium.models.cho import SIZES, Cho, ChoConfig


@torch.no_grad()
def test_equations() -> None:
    torch.manual_seed(1)
    model = Cho(ChoConfig(vocabulary_size=11, embedding_width=6, width=5, readout_width=4)).double().eval()
    source, target = [3, 7, 1, 4], [0, 5, 2]
    encoder, decoder = model.blocks
    words = model.embedding.weight
    context = torch.tanh(decoder.context(read_gru(encoder.rnn, words[source])[-1]))
    h = torch.tanh(decoder.start(context))
    wanted = []
    for word in target:
        h = gru(decoder.layers[0].rnn, torch.cat([words[word], context]), h)
        deep = decoder.readout(torch.cat([h, words[word], context]))
        wanted.append(torch.maximum(deep[0::2], deep[1::2]))
    hidden = model(torch.tensor([target]), state=model.encode(torch.tensor([source]))).hidden[0]
    torch.testing.assert_close(hidden, torch.stack(wanted), rtol=0, atol=1e-12)


def test_every_step_depends_on_the_context() -> None:
    """Through the input and the readout, whatever the decoder's state has forgotten."""
    torch.manual_seed(1)
    model = Cho(ChoConfig(vocabulary_size=11, embedding_width=6, width=5, readout_width=4)).double().eval()
    state = model.encode(torch.tensor([[3, 7, 1, 4]]), capacity=4)
    ((context, start),) = state.memory.tensors
    context = context.detach().requires_grad_()
    state.memory.tensors = ((context, start.detach()),)
    for layer in state.layers:
        layer.tensors = tuple(tensor.detach() for tensor in layer.tensors)
    hidden = model(torch.tensor([[0, 5, 2]]), state=state).hidden
    for t in range(3):
        (gradient,) = torch.autograd.grad(hidden[0, t].sum(), context, retain_graph=True)
        assert bool(gradient.abs().min() > 0)


def test_published_size() -> None:
    config = SIZES["cho"]
    shape = (config.vocabulary_size, config.embedding_width, config.width, config.readout_width)
    assert shape == (15000, 100, 1000, 500)
