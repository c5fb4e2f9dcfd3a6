"""Where adapters sit inside a model: a module of the base, and beside it what each adapter adds to it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from trivium.adapters.adapter_set import Routing
from trivium.errors import Unsupported
from trivium.nn.unpad import packed_rows

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
        places, packed = whose(routing, tensors[0])
        return self.changed_rows(
            change, {name: index for name, index in places.items() if name in self.updates}, packed, *tensors
        )

    def changed_rows(self, change: Change, places: dict[str, Tensor], packed: bool, *tensors: Tensor) -> Tensor:
        """As ``changed``, where the adapter ``name`` has the rows ``places[name]``; ``packed``: of the only row."""
        used = {name: index for name, index in places.items() if index.shape[0]}
        if not used:
            return tensors[-1]
        rows = [tensor[0] if packed else tensor for tensor in tensors]
        adapted = sum(index.shape[0] for index in used.values())
        if adapted == rows[-1].shape[0] and len(used) == 1:
            return change(next(iter(used)), *tensors)
        # A copy: autograd forbids writing into what a custom Function returned.
        result = torch.empty_like(rows[-1]) if adapted == rows[-1].shape[0] else rows[-1].clone()
        for name, index in used.items():
            result.index_copy_(0, index, change(name, *(tensor[index] for tensor in rows)))
        return result.view_as(tensors[-1])


def whose(routing: Routing, given: Tensor) -> tuple[dict[str, Tensor], bool]:
    """Which rows of ``given`` (vectors ``[..., D]``, or token ids) each routed adapter has; true where they are tokens
    of ``[1, N]``.

    ``Unsupported`` for a tensor whose rows are not those that were routed.
    """
    assert routing.rows is not None
    shape = given.shape[:-1] if given.is_floating_point() else given.shape
    if not routing.ragged and shape[0] == routing.extent:
        return routing.rows, False
    if len(shape) > 1 and shape[0] == 1:
        if routing.ragged and shape[1] == routing.extent:
            return routing.rows, True
        owners = packed_rows.get()  # an encoder has packed the rows to compute no padding
        if not routing.ragged and owners is not None and owners.shape[0] == shape[1]:
            return {name: torch.isin(owners, index).nonzero()[:, 0] for name, index in routing.rows.items()}, True
    raise Unsupported(
        "a layer under adapters that sees other rows than those that were routed",
        received=f"{list(given.shape)}",
        expected=f"{routing.extent} {'tokens in one row' if routing.ragged else 'rows'}",
        fix="route as many rows as the batch has, or give all rows one adapter: activate(model, name)",
    )


def holders(model: nn.Module, name: str | None = None) -> Iterator[tuple[str, Holder]]:
    """The holders in ``model``, all or those in which the adapter ``name`` has a part, by where they stand; one that
    stands inside another comes after it."""
    for path, module in model.named_modules():
        if isinstance(module, Holder) and (name is None or name in module.updates):
            yield path, module


def held(model: nn.Module, path: str, kind: type[Holder], make: Callable[[nn.Module], Holder]) -> Holder:
    """The holder of this kind at ``path``; where there is none yet, ``make`` wraps what stands there.

    ``Unsupported`` as ``require_place``.
    """
    require_place(model, path, kind)
    stands = standing(model, path)
    module = model.get_submodule(stands)
    if isinstance(module, kind):
        return module
    made = make(module)
    model.set_submodule(stands, made)
    return made


def require_place(model: nn.Module, path: str, kind: type[Holder]) -> None:
    """``Unsupported`` where a holder of another kind stands at ``path``."""
    module = model.get_submodule(standing(model, path))
    if isinstance(module, Holder) and not isinstance(module, kind):
        raise Unsupported(
            "two kinds of adapters in one place",
            received=f"{kind.__name__} on the {type(module).__name__} at {path}",
            fix="load them on two models",
        )


def base_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of the base by our names, as if no adapter were there."""
    found: dict[str, nn.Module] = {}

    def visit(name: str, module: nn.Module) -> None:
        while isinstance(module, Holder):
            module = module.base
        found[name] = module
        for child, inner in module.named_children():
            visit(f"{name}.{child}" if name else child, inner)

    visit("", model)
    return found


def standing(model: nn.Module, path: str) -> str:
    """Where the module that is called ``path`` in the base stands now: holders on the way have it in their base."""
    module, steps = model, []
    for step in path.split("."):
        while isinstance(module, Holder):
            module = module.base
            steps.append("base")
        module = module.get_submodule(step)
        steps.append(step)
    return ".".join(steps)
