"""Generated texts of before, so that a discriminator does not forget what it has learnt to tell."""

import torch
from torch import Tensor, nn

from trivium.training.adversarial.texts import Texts


class Replay(nn.Module):
    """The last `room` texts in buffers, which are saved with everything else.

    Half of the texts that a discriminator is given are then old ones, once there are any.
    """

    tokens: Tensor
    lengths: Tensor
    count: Tensor

    def __init__(self, room: int, longest: int) -> None:
        super().__init__()
        self.register_buffer("tokens", torch.zeros(room, longest, dtype=torch.long))
        self.register_buffer("lengths", torch.zeros(room, dtype=torch.long))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def mixed(self, texts: Texts) -> Texts:
        """`texts`, every second one replaced by an old one by chance; all of `texts` are kept for later."""
        room = len(self.lengths)
        if not room:
            return texts
        known = min(int(self.count), room)
        tokens, lengths = texts.tokens.clone(), texts.lengths.clone()
        if known:
            chosen = torch.randint(known, (len(lengths[1::2]),), device=tokens.device)
            width = min(tokens.shape[1], self.tokens.shape[1])
            tokens[1::2, :width], lengths[1::2] = self.tokens[chosen, :width], self.lengths[chosen].clamp(max=width)
        self._keep(texts)
        return Texts(tokens, lengths)

    def _keep(self, texts: Texts) -> None:
        room = len(self.lengths)
        texts = texts.part(max(0, len(texts.lengths) - room), len(texts.lengths))  # a place twice would hold either
        rows = len(texts.lengths)
        places = (int(self.count) + torch.arange(rows, device=texts.tokens.device)) % room
        width = min(texts.tokens.shape[1], self.tokens.shape[1])
        self.tokens[places, :width] = texts.tokens[:, :width]
        self.lengths[places] = texts.lengths.clamp(max=width)
        self.count += rows
