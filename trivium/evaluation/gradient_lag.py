"""How far back a recurrent network learns: the gradient of a loss at what was carried k tokens before.

    g_k = | d loss_t / d s_{t-k} |,    s = h, and of an LSTM (h, c)

Back-propagation through time multiplies the gradient by one Jacobian a token (Pascanu, Mikolov and Bengio 2013,
"On the difficulty of training recurrent neural networks", equations 3 to 5):

    d loss_t / d theta = sum_k  d loss_t / d s_t  (prod_{i=t-k+1..t}  d s_i / d s_{i-1})  d+ s_{t-k} / d theta

so that g_k falls or grows like the power k of one number: it vanishes or explodes (Bengio, Simard and Frasconi 1994),
and what stands k tokens back is not learned from, or upsets everything. The state is taken and not, say, the embedding:
the product above is of states, an embedding has the input's matrix and the gates before it, and what an LSTM carries
far is c, not h.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, DataError
from trivium.nn.output import Output
from trivium.nn.state import RecurrentState, State

_ROWS = 32


@dataclass(frozen=True, kw_only=True)
class GradientByLag:
    """The norms that were found."""

    norms: np.ndarray
    """g_k in nats, float64 [layers, lags + 1, positions]; index k of the second is k tokens back."""

    @property
    def mean(self) -> np.ndarray:
        """Over the positions, [layers, lags + 1]."""
        return self.norms.mean(-1)

    def quantile(self, share: float) -> np.ndarray:
        """What ``share`` of the positions do not exceed, [layers, lags + 1]."""
        return np.quantile(self.norms, share, axis=-1)

    @property
    def factor(self) -> np.ndarray:
        """What a token more multiplies the median by, on average from one token back to the furthest, [layers]; 0 where
        the furthest is too small for a number."""
        median = np.median(self.norms, axis=-1)
        tokens = max(median.shape[1] - 2, 1)
        return np.divide(median[:, -1], median[:, 1], out=np.zeros(len(median)), where=median[:, 1] > 0) ** (1 / tokens)


def spread_windows(store: TokenStore, count: int, tokens: int) -> Int[Tensor, "N T"]:
    """At most ``count`` windows of ``tokens`` of a text, from its beginning to its end, none over another.

    Documents stand one after the other, as a recurrent network is trained on them. Raises ``DataError`` where the text
    is shorter than one window.
    """
    if store.num_tokens < tokens:
        raise DataError("the text is too short", received=f"{store.num_tokens} tokens", expected=f"{tokens} or more")
    count = min(count, store.num_tokens // tokens)
    starts = np.linspace(0, store.num_tokens - tokens, count).astype(np.int64)
    return torch.from_numpy(store.gather(starts[:, None] + np.arange(tokens)))


def gradient_by_lag(model: nn.Module, windows: Int[Tensor, "N T"], *, lags: int) -> GradientByLag:
    """Of the loss at each window's last token, up to ``lags`` tokens back, in every layer of a recurrent network.

    A window is what is read first, only to get into the text, then ``lags`` + 1 tokens that are traced, then the token
    that is to be predicted. Windows are rows that know nothing of each other, so that one backward pass gives the whole
    curve of all of them. Along a row the network is called token by token: a kernel that reads many tokens at once
    shows nothing of the gradients that go through the states between them.

    Raises ``ConfigError`` where a window has not so many tokens.
    """
    if lags < 1 or windows.shape[1] < lags + 2:
        raise ConfigError(
            "the gradient cannot be followed so far",
            received=f"lags={lags} in windows of {windows.shape[1]} tokens",
            expected="at least 1 lag, and windows of two tokens more than lags",
        )
    device = next(model.parameters()).device
    model.eval()
    # cuDNN goes back through recurrent layers only while they train; with dropout there would be other figures.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        norms = [_norms(model, part.to(device), lags) for part in windows.split(_ROWS)]
    return GradientByLag(norms=torch.cat(norms, dim=-1).cpu().numpy())


def _norms(model: nn.Module, windows: Int[Tensor, "B T"], lags: int) -> Float[Tensor, "L K B"]:
    rows, length = windows.shape
    context, traced, target = windows.split([length - lags - 2, lags + 1, 1], dim=1)
    state = model.new_state(rows, length)
    if context.shape[1]:
        with torch.no_grad():
            state = model(context, state=state).state
    state, outputs = _followed(state), []
    for token in traced.split(1, dim=1):
        outputs.append(model(token, state=state, collect=("hidden",)))
        state = outputs[-1].state
    loss = model.head.nll_sum(outputs[-1].hidden, target)
    steps = [_handed_on(output) for output in outputs]
    flat = [tensor for layers in steps for tensors in layers for tensor in tensors]
    found = iter(torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True))
    backwards = [[_norm([next(found) for _ in tensors]) for tensors in layers] for layers in steps][::-1]
    return torch.stack([torch.stack(norms) for norms in zip(*backwards, strict=True)])


def _handed_on(output: Output) -> list[list[Tensor]]:
    """What each layer gave at one token: h to the layer above, then all that it carries to the next token, h again."""
    assert output.state is not None
    layers = zip(output.collected["hidden"][1:], output.state.layers, strict=True)
    return [[out, *_tensors(carried)] for out, carried in layers]


def _followed(state: State) -> State:
    """The state as the beginning of what is differentiated, whether or not the weights are being trained."""
    state = state.detach()
    for layer in state.layers:
        for tensor in _tensors(layer):
            tensor.requires_grad_()
    return state


def _tensors(layer: object) -> tuple[Tensor, ...]:
    assert isinstance(layer, RecurrentState), "only a recurrent network carries everything in one state"
    return layer.tensors


def _norm(gradients: list[Tensor]) -> Float[Tensor, "B"]:
    """Of the gradient at (h, c), given that at h as put out, at h as carried, and at c. In float64: the square of a
    vanishing number is no float32."""
    out, carried, *cell = (gradient.double() for gradient in gradients)
    parts = [out.squeeze(1) + carried, *cell]
    return torch.cat(parts, dim=-1).norm(dim=-1)
