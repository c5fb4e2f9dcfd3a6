"""The table that a model has both as its embedding and as its output head, and what an update of the two is to each."""

from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_embedding import EmbeddingUpdate
from trivium.adapters.holder import base_modules
from trivium.nn.head import OutputHead


def sharers(model: nn.Module) -> tuple[str, ...]:
    """Our names of the modules that have the embedding's table, itself first; none where it has a table alone."""
    modules = base_modules(model)
    base = modules.get("embedding")
    if not isinstance(base, nn.Embedding):
        return ()
    heads = [path for path, head in modules.items() if isinstance(head, OutputHead) and head.weight is base.weight]
    return ("embedding", *heads) if heads else ()


class SharedUpdate(nn.Module):
    """An embedding's update E + s (B A)^T as the head that has the same table sees it: of rank R, with A and B changing
    places. Nothing here is trained twice."""

    def __init__(self, theirs: str, table: EmbeddingUpdate, dropout: float) -> None:
        super().__init__()
        self.theirs, self.table, self.scale = theirs, table, table.scale
        self.dropout = nn.Dropout(dropout)
        table.head_goes_without = False

    def factors(self) -> tuple[Float[Tensor, "R D"], Float[Tensor, "V R"]]:
        """The head's A and B."""
        return self.table.B.t(), self.table.A.t()

    def merged(self, weight: Float[Tensor, "V D"]) -> nn.Parameter:
        """The table of both, one parameter."""
        return self.table.merged(weight)

    def unmerge(self) -> None:
        """Forget it."""
        self.table.unmerge()
