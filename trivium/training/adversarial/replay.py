"""Generated texts of before, so that a discriminator does not forget what it has learnt to tell."""

import torch
from torch import Tensor, nn

from trivium.training.adversarial.texts import Texts


class Replay(nn.Module):
    """The last `room` texts in buffers, which are saved with everything else.

    Half of the texts that a discriminator is given are then old ones, once there are any. An old text comes with the
    source that it was written for, where there are ``sources``.
    """

    tokens: Tensor
    lengths: Tensor
    count: Tensor

    def __init__(self, room: int, longest: int, *, sources: bool = False) -> None:
        """``longest`` is what is kept of a text, and of a source, in tokens."""
        super().__init__()
        self.sources = Replay(room, longest) if sources else None
        self.register_buffer("tokens", torch.zeros(room, longest, dtype=torch.long))
        self.register_buffer("lengths", torch.zeros(room, dtype=torch.long))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def mixed(self, texts: Texts) -> Texts:
        """`texts`, every second one replaced by an old one by chance; all of `texts` are kept for later."""
        room = len(self.lengths)
        if not room:
            return texts
        known = min(int(self.count), room)
        mixed = texts
        if known:
            chosen = torch.randint(known, (len(texts.lengths[1::2]),), device=texts.tokens.device)
            mixed = self._with_old(texts, chosen)
        self._keep(texts)
        return mixed

    def _with_old(self, texts: Texts, chosen: Tensor) -> Texts:
        """Every second text replaced, cut to the width of the others."""
        tokens, lengths = texts.tokens.clone(), texts.lengths.clone()
        width = min(tokens.shape[1], self.tokens.shape[1])
        tokens[1::2, :width], lengths[1::2] = self.tokens[chosen, :width], self.lengths[chosen].clamp(max=width)
        if self.sources is None:
            return Texts(tokens, lengths)
        assert texts.sources is not None, "a replay with sources is of pairs"
        return Texts(tokens, lengths, sources=self.sources._with_old(texts.sources, chosen))

    def _keep(self, texts: Texts) -> None:
        room = len(self.lengths)
        texts = texts.part(max(0, len(texts.lengths) - room), len(texts.lengths))  # a place twice would hold either
        rows = len(texts.lengths)
        places = (int(self.count) + torch.arange(rows, device=texts.tokens.device)) % room
        width = min(texts.tokens.shape[1], self.tokens.shape[1])
        self.tokens[places, :width] = texts.tokens[:, :width]
        self.lengths[places] = texts.lengths.clamp(max=width)
        self.count += rows
        if self.sources is not None:
            assert texts.sources is not None, "a replay with sources is of pairs"
            self.sources._keep(texts.sources)
