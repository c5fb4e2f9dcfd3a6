"""The pair that ELECTRA is pre-trained as (Clark et al. 2020, sections 2 and 3): a generator and a discriminator.

Both read with the same vectors of tokens, positions and types (section 3.2): the discriminator updates those of the
tokens that it meets, the generator's softmax those of the whole vocabulary. The loss is ``objectives/replaced.py``;
what is published is the discriminator.
"""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from trivium.models.electra import Electra, ElectraConfig, generator_of
from trivium.nn.output import Output

Part = Literal["generator", "discriminator"]


class ElectraPair(nn.Module):
    """A generator and the discriminator that it is made for; as a network it is its discriminator.

    ``config`` is the discriminator's, and so is what is published. ``blocks`` are those of both.
    """

    def __init__(self, config: ElectraConfig, *, generator_share: float = 1 / 4) -> None:
        """``config`` has head "replaced"; ``generator_share`` is the generator's width beside the discriminator's."""
        super().__init__()
        assert config.head == "replaced", f"the discriminator's head is 'replaced', not {config.head!r}"
        self.config = config
        self.discriminator = Electra(config)
        self.generator = Electra(generator_of(config, generator_share), shared=self.discriminator)

    @property
    def blocks(self) -> nn.ModuleList:
        """All blocks, the generator's first: what is recomputed, compiled and sharded one by one, Muon's matrices."""
        return nn.ModuleList([*self.generator.blocks, *self.discriminator.blocks])

    def forward(self, tokens: Tensor | None = None, *, part: Part = "discriminator", **options: Any) -> Output:
        """`Electra.forward` of one of the two.

        Both are called through here: what is sharded is gathered when the outermost network is called.
        """
        return (self.generator if part == "generator" else self.discriminator)(tokens, **options)


def part_of(state: Mapping[str, Tensor], part: Part) -> dict[str, Tensor]:
    """The state dict of one network from that of the pair; the discriminator's is what is published."""
    beginning = f"{part}."
    return {name.removeprefix(beginning): tensor for name, tensor in state.items() if name.startswith(beginning)}
