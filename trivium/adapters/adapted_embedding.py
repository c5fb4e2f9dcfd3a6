"""A table of token vectors under low-rank updates: E + s (B A)^T, A a column a token.

A head that shares the table keeps the base's, as in PEFT, unless it is told to share the update too (`SharedUpdate`).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Routing
from trivium.adapters.holder import Holder, held
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.sites import Site
from trivium.errors import Unsupported
from trivium.nn.linear import linear


class EmbeddingUpdate(nn.Module):
    """scale * B A of shape ``[D, V]``. A begins as zero and B as an embedding does (as the authors' code has it)."""

    def __init__(self, site: Site, config: LoRAConfig, like: Tensor) -> None:
        super().__init__()
        self.theirs, self.head_goes_without = site.theirs, site.tied
        rank, self.scale = config.size(site)
        self.A = nn.Parameter(like.new_zeros(rank, site.width))
        self.B = nn.Parameter(like.new_empty(site.rows, rank))
        nn.init.normal_(self.B)
        self._whole: tuple[nn.Parameter, ...] = ()

    def forward(self, tokens: Int[Tensor, "..."]) -> Float[Tensor, "... D"]:
        """What is added to the vectors of ``tokens``."""
        return linear(nn.functional.embedding(tokens, self.A.t()), self.B * self.scale)

    def merged(self, table: Float[Tensor, "V D"]) -> nn.Parameter:
        """``table`` with the update folded in, in fp32 at least; all who ask until ``unmerge`` get the same one."""
        if not self._whole:
            wide = torch.promote_types(table.dtype, torch.float32)
            change = (self.B.to(wide) @ self.A.to(wide) * self.scale).t()
            self._whole = (nn.Parameter((table.to(wide) + change).to(table.dtype), requires_grad=False),)
        return self._whole[0]

    def unmerge(self) -> None:
        """Forget what ``merged`` made."""
        self._whole = ()


class AdaptedEmbedding(Holder):
    """A frozen embedding and the updates of any number of adapters."""

    def __init__(self, base: nn.Embedding, routing: Routing) -> None:
        super().__init__(base, routing)
        self.base: nn.Embedding = base
        self.unmerged: nn.Embedding | None = None

    @property
    def weight(self) -> Float[Tensor, "V D"]:
        """The base's table: models take its dtype and device for what they make new."""
        return self.base.weight

    def add(self, name: str, update: EmbeddingUpdate) -> None:
        """The part of the adapter ``name``."""
        self.updates[name] = update

    def forward(self, tokens: Int[Tensor, "..."]) -> Float[Tensor, "... D"]:
        return self.changed(self._outputs, tokens, self.base(tokens))

    def _outputs(self, name: str, tokens: Tensor, y: Tensor) -> Tensor:
        return y + self.updates[name](tokens)

    @torch.no_grad()
    def merge(self, name: str) -> None:
        """Fold the update into the table; ``Unsupported`` where the output head has the same one without the update."""
        assert self.unmerged is None
        update = self.updates[name]
        assert isinstance(update, EmbeddingUpdate)
        if update.head_goes_without:
            raise Unsupported(
                "an update of an embedding that the output head shares cannot be merged",
                received=update.theirs,
                expected="the head keeps the table of the base",
                fix="use the adapter unmerged",
            )
        old = self.base.weight
        merged = nn.Embedding(old.shape[0], old.shape[1], device="meta")
        merged.weight = update.merged(old)
        self.base, self.unmerged = merged, self.base

    def unmerge(self) -> None:
        assert self.unmerged is not None
        self.base, self.unmerged = self.unmerged, None
        for update in self.updates.children():
            assert isinstance(update, EmbeddingUpdate)
            update.unmerge()


def adapted_embedding(model: nn.Module, path: str, adapters: AdapterSet) -> AdaptedEmbedding:
    """The embedding at ``path``, wrapped."""

    def wrapped(module: nn.Module) -> Holder:
        assert isinstance(module, nn.Embedding)
        return AdaptedEmbedding(module, adapters.routing)

    layer = held(model, path, AdaptedEmbedding, wrapped)
    assert isinstance(layer, AdaptedEmbedding)
    return layer
