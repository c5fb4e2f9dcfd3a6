"""Where adapters sit inside a model: a module of the base, and beside it what each adapter adds to it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from trivium.adapters.adapter_set import Routing
from trivium.errors import Unsupported

Change = Callable[..., Tensor]
"""``change(name, *rows) -> rows``: the last of ``rows`` as the adapter ``name`` has it."""


class Holder(nn.Module, ABC):
    """A module of the base with the parts of any number of adapters, by adapter name in ``updates``.

    It stands in the base module's place, so that the model's code knows nothing of it.
    """

    def __init__(self, base: nn.Module, routing: Routing) -> None:
        super().__init__()
        self.base = base
        self.updates = nn.ModuleDict()
        self.routing = routing

    @abstractmethod
    def merge(self, name: str) -> None:
        """Fold what ``name`` adds into the base, which is kept aside; ``Unsupported`` where that cannot be."""

    @abstractmethod
    def unmerge(self) -> None:
        """Put back, bit for bit, what ``merge`` kept aside."""

    def changed(self, change: Change, *tensors: Tensor) -> Tensor:
        """The last of ``tensors`` (``[B, ...]``, of a ragged step ``[1, N, ...]``), each row as its adapter has it.

        Rows without an adapter, and adapters that add nothing here, leave it as it is.
        """
        routing = self.routing
        if routing.rows is None:
            name = routing.active
            if name is None or name not in self.updates or name == routing.merged:
                return tensors[-1]
            return change(name, *tensors)
        rows = [tensor[0] if routing.ragged else tensor for tensor in tensors]
        assert tensors[0].shape[0] == (1 if routing.ragged else routing.extent), (
            f"{routing.extent} rows are routed, the layer was given {list(tensors[0].shape)}"
        )
        used = {name: index for name, index in routing.rows.items() if name in self.updates}
        if not used:
            return tensors[-1]
        result = rows[-1].clone()  # autograd forbids writing into what a custom Function returned
        for name, index in used.items():
            result.index_copy_(0, index, change(name, *(tensor[index] for tensor in rows)))
        return result.view_as(tensors[-1])


def holders(model: nn.Module, name: str | None = None) -> Iterator[tuple[str, Holder]]:
    """The holders in ``model``, all or those in which the adapter ``name`` has a part, by our names."""
    for path, module in model.named_modules():
        if isinstance(module, Holder) and (name is None or name in module.updates):
            yield path, module


def held(model: nn.Module, path: str, kind: type[Holder], make: Callable[[nn.Module], Holder]) -> Holder:
    """The holder of this kind at ``path``; where there is none yet, ``make`` wraps what stands there.

    ``Unsupported`` where a holder of another kind stands there already.
    """
    module = model.get_submodule(path)
    if isinstance(module, kind):
        return module
    if isinstance(module, Holder):
        raise Unsupported(
            "two kinds of adapters in one place",
            received=f"{kind.__name__} on the {type(module).__name__} at {path}",
            fix="load them on two models",
        )
    made = make(module)
    model.set_submodule(path, made)
    return made
