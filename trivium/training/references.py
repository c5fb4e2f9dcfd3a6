"""What a policy is held near: a frozen copy of it, or the same network with another adapter, or with none.

reference = copied(model)                   # all of the model is trained: the reference is a second model
reference = without_adapters(model)         # a new adapter is trained: the reference is the base itself
reference = with_adapter(model, "begun")    # an adapter is trained further: see `adapters.clone.clone_frozen`
with reference() as network: ...
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import nn

from trivium.adapters.routing import bare, using

Reference = Callable[[], AbstractContextManager[nn.Module]]
"""Inside the context, the network it gives is the reference."""


def copied(model: nn.Module) -> Reference:
    """What ``model`` is now, as a model of its own; nothing of it is trained."""
    return separate(copy.deepcopy(model))


def separate(model: nn.Module) -> Reference:
    """Another model, which is frozen."""
    frozen = model.eval().requires_grad_(False)
    return lambda: nullcontext(frozen)


def without_adapters(model: nn.Module) -> Reference:
    """The base of ``model``: right where its adapter is new and changes nothing yet."""

    @contextmanager
    def context() -> Iterator[nn.Module]:
        with bare(model):
            yield model

    return context


def with_adapter(model: nn.Module, name: str) -> Reference:
    """``model`` with the adapter ``name``."""

    @contextmanager
    def context() -> Iterator[nn.Module]:
        with using(model, name):
            yield model

    return context
