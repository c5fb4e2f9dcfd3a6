"""What a convolutional reader sees in every beginning of a text, without reading any beginning twice.

Of a whole text the filters' strongest answers, through a highway layer, are the features that SeqGAN's discriminator
(``models/text_cnn.py``) judges by; LeakGAN's generator is told those of each prefix of what it writes (Guo et al. 2018,
"Leaked Features from D as Guiding Signals"). One token more changes only the windows that end in it:

    n >= h    strongest answer so far, and that to x_{n-h+1} ... x_n
    n < h     the answer to x_1 ... x_n filled up with zeros: the one window that a short row has

for n tokens and a filter of h, so that the last h_max - 1 vectors and the strongest answer of each filter are all that
is carried. An empty text is one window of zeros like every short one: its features are those of relu(b).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.convolution import WindowConvolution
from trivium.nn.highway import Highway


class PrefixFeatures(nn.Module):
    """The trunk of a convolutional discriminator, for a generator to read.

    Its weights are copies of the discriminator's and no one trains them here: they are buffers.
    """

    def __init__(self, vocabulary_size: int, width: int, windows: Sequence[int], filters: Sequence[int]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.filters = tuple(filters)
        pairs = zip(windows, filters, strict=True)
        self.blocks = nn.ModuleList(WindowConvolution(width, count, window) for window, count in pairs)
        self.highway = Highway(sum(filters))
        nn.init.uniform_(self.embedding.weight, -0.25, 0.25)  # as the discriminator begins
        self.width, self.features, self.carried = width, sum(filters), max(windows) - 1
        _freeze(self)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Token vectors, the discriminator's."""
        return self.embedding(tokens)

    def forward(self, tokens: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B F"]:
        """Features of whole texts, which may be empty."""
        valid = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        x = torch.where(valid[:, :, None], self.embed(tokens), 0.0)
        return self.highway(torch.cat([block(x, lengths) for block in self.blocks], dim=-1).amax(1))

    def empty(self, rows: int) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B F"]]:
        """What is carried of ``rows`` texts of which nothing was read: last vectors and strongest answers, both 0."""
        like = self.embedding.weight
        return like.new_zeros(rows, self.carried * self.width), like.new_zeros(rows, self.features)

    def read(
        self,
        x: Float[Tensor, "B T E"],
        before: Int[Tensor, "B"],
        lengths: Int[Tensor, "B"],
        carried: tuple[Float[Tensor, "B _"], Float[Tensor, "B F"]],
    ) -> tuple[Float[Tensor, "B T F"], tuple[Float[Tensor, "B _"], Float[Tensor, "B F"]]]:
        """Features of the text up to and including each of ``lengths`` more tokens, given as vectors ``x``, and what is
        carried on; ``before`` tokens of each row were read. The very first token of a row only starts its text and is
        no part of it: at its place stand the features of an empty text."""
        count = before[:, None] + torch.arange(x.shape[1], device=x.device)  # tokens of the text, its start apart
        x = torch.where((count > 0)[:, :, None], x, 0.0)
        joined = torch.cat([carried[0].unflatten(1, (self.carried, self.width)), x], dim=1)
        opening = self._opening(joined, before)
        answers, strongest = [], []
        for block, so_far in zip(self.blocks, carried[1].split(self.filters, dim=1), strict=True):
            assert isinstance(block, WindowConvolution)
            full = (count >= block.window)[:, :, None]
            ending = block.convolution(joined[:, self.carried + 1 - block.window :].mT).mT.relu()
            ending = torch.where(full, ending, 0.0)  # the least that relu gives
            running = torch.cat([so_far[:, None], ending], dim=1).cummax(1).values
            answers.append(torch.where(full, running[:, 1:], _short_answers(block, opening, count)))
            strongest.append(at(running, lengths[:, None])[:, 0])
        places = lengths[:, None] + torch.arange(self.carried, device=x.device)
        features = self.highway(torch.cat(answers, dim=-1))
        return features, (at(joined, places).flatten(1), torch.cat(strongest, dim=-1))

    def _opening(self, joined: Float[Tensor, "B J E"], before: Int[Tensor, "B"]) -> Float[Tensor, "B _ E"]:
        """The first tokens of each text, as many as the longest window has before it is full; anything where they were
        read too long ago to matter, or are still to come."""
        steps = torch.arange(self.carried, device=joined.device)
        places = self.carried + 1 - before[:, None] + steps  # the start, read first, is no part of the text
        return at(joined, places.clamp(0, joined.shape[1] - 1))


def _short_answers(
    block: WindowConvolution, opening: Float[Tensor, "B N E"], count: Int[Tensor, "B T"]
) -> Float[Tensor, "B T C"]:
    """A filter's answer to the first ``count`` tokens filled up with zeros, where that is less than its window."""
    convolution, taps = block.convolution, block.window - 1
    assert convolution.bias is not None
    each = torch.einsum("bte,cet->btc", opening[:, :taps], convolution.weight[:, :, :taps])
    summed = F.pad(each.cumsum(1), (0, 0, 1, 0)) + convolution.bias  # of 0, 1, ..., window - 1 tokens
    return at(summed, count.clamp(max=taps)).relu()


def at(x: Float[Tensor, "B T W"], places: Int[Tensor, "B P"]) -> Float[Tensor, "B P W"]:
    """The vectors of each row at the given places of it."""
    return x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))


def _freeze(module: nn.Module) -> None:
    """Turns parameters into buffers of the same names: stored and moved with the model, and known to no optimiser."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
