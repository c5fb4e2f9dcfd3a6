"""Single rows of the token embedding trained beside an adapter, as new tokens need: the other rows stay the base's.

PEFT calls this ``trainable_token_indices``. A head that shares the table gets the rows too, and stays tied.
"""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from trivium.adapters.adapter_set import Placing
from trivium.adapters.holder import base_modules
from trivium.adapters.published import module_name, published
from trivium.adapters.shared_table import sharers
from trivium.adapters.swapped import StandIn, placing, require_swappable
from trivium.errors import ConfigError, Unsupported
from trivium.nn.head import OutputHead


@dataclass(frozen=True, kw_only=True)
class TrainedTokensConfig:
    """Which tokens an adapter has vectors of its own for."""

    tokens: tuple[int, ...] = ()
    """Their ids."""
    head: bool = False
    """Train the same rows of an output head that has a table of its own as well; one that shares the embedding's has
    them in any case."""

    def __post_init__(self) -> None:
        if not self.tokens or len(set(self.tokens)) < len(self.tokens) or min(self.tokens) < 0:
            raise ConfigError("tokens must be different ids, at least one", received=list(self.tokens))


class TrainedRows(StandIn):
    """Rows that stand in the place of those of a table ``[V, D]``: an embedding's, an output head's, or both."""

    tokens: Tensor
    ascending: Tensor
    order: Tensor

    def __init__(self, theirs: str, table: Tensor, tokens: tuple[int, ...], shared_with: str | None = None) -> None:
        super().__init__()
        self.theirs, self.shared_with = theirs, shared_with
        ids = torch.tensor(tokens, device=table.device)
        self.rows = nn.Parameter(table.detach()[ids].clone())
        ascending, order = ids.sort()
        self.register_buffer("tokens", ids, persistent=False)
        self.register_buffer("ascending", ascending, persistent=False)
        self.register_buffer("order", order, persistent=False)
        self._whole: tuple[nn.Parameter, ...] = ()

    def forward(self, base: nn.Module, *given: object) -> Shaped[Tensor, "..."]:
        if isinstance(base, nn.Embedding):
            tokens = given[0]
            assert isinstance(tokens, Tensor)
            return self._embedded(base(tokens), tokens)
        return torch.func.functional_call(base, {"weight": self._table(base)}, given)

    def _embedded(self, vectors: Tensor, tokens: Tensor) -> Tensor:
        """``vectors [..., D]`` but where ``tokens [...]`` are trained ones; the table is not copied for it."""
        place = torch.searchsorted(self.ascending, tokens.contiguous()).clamp(max=len(self.rows) - 1)
        own = self.ascending[place] == tokens
        return torch.where(own[..., None], nn.functional.embedding(self.order[place], self.rows), vectors)

    def _table(self, base: nn.Module) -> Tensor:
        assert isinstance(base.weight, Tensor)
        return base.weight.index_copy(0, self.tokens, self.rows.to(base.weight.dtype))

    def merged(self, base: nn.Module) -> nn.Module:
        """All else is shared with ``base``. Where two modules have these rows, they share the new table."""
        if not self._whole:
            self._whole = (nn.Parameter(self._table(base), requires_grad=False),)
        kept = {id(p): p for p in base.parameters()} | {id(base.weight): self._whole[0]}
        return copy.deepcopy(base, kept)

    def unmerge(self) -> None:
        self._whole = ()


def prepare(model: nn.Module, config: TrainedTokensConfig) -> Placing:
    """Rows of the embedding and of the heads that are meant.

    ``ConfigError`` for ids outside the vocabulary, ``Unsupported`` for a model without such tables, and where adapters
    of another kind stand.
    """
    return placing(model, rows_of(model, config))


def rows_of(model: nn.Module, config: TrainedTokensConfig) -> dict[str, TrainedRows]:
    """By our names of the modules: the rows, not yet in their places; raises as ``prepare``."""
    modules = base_modules(model)
    base = modules.get("embedding")
    if not isinstance(base, nn.Embedding):
        raise Unsupported("trained tokens need a table of token vectors", received=type(model).__name__)
    if max(config.tokens) >= base.num_embeddings:
        raise ConfigError(
            "a token to train is outside the vocabulary",
            received=max(config.tokens),
            expected=f"below {base.num_embeddings}",
            fix="enlarge the embedding of the base first",
        )
    heads = {path: module for path, module in modules.items() if isinstance(module, OutputHead)}
    tied = sharers(model)[1:]
    apart = [path for path in heads if path not in tied] if config.head else []
    if config.head and not apart:
        raise Unsupported(
            "no output head of this model has a table of its own",
            received="head: true",
            fix="leave it out: a head that shares the embedding has the rows in any case",
        )
    other = module_name(model, tied[0]) if tied and f"{tied[0]}.weight" in published(model) else None
    part = TrainedRows(module_name(model, "embedding"), base.weight, config.tokens, other)
    parts = dict.fromkeys(("embedding", *tied), part)
    parts |= {path: TrainedRows(module_name(model, path), heads[path].weight, config.tokens) for path in apart}
    for path in parts:
        require_swappable(model, path)
    return parts
