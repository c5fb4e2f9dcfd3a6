"""Computing with floating numbers that have a shape and no value, so that a network of any size fits anywhere.

Whole numbers and truth values (ids, lengths, masks, which text a token belongs to) are real, because what is computed
depends on them, and so are short tables of constants. Where whole numbers would come out of floating ones, such as the
experts that a router chooses, they are made up: spread evenly over what there is to choose from.
"""

import functools
import sys
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from trivium.planning.kernels import result_of, scratch_bytes
from trivium.planning.ledger import Ledger
from trivium.planning.operations import operations_of

_DECIDING = 2**20
"""Elements of whole numbers up to which something may depend on them; longer ones are codes of packed weights."""
_SHORT = 1024
"""Floating numbers that are real where they come of no tensor without data."""
_INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default)
_READ = torch.ops.aten._local_scalar_dense.default
_DEVICE = torch.ops.prim.device.default


class Weightless(TorchDispatchMode):
    """While entered, every floating tensor that is made is without data. Tensors from outside stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        """What the tensors take that were made so far."""
        self.operations = 0
        """Of matrix products and attention so far."""
        self._shapes = FakeTensorMode(allow_non_fake_inputs=True)
        self._addresses = _Addresses()

    def __enter__(self) -> Self:
        super().__enter__()
        self._addresses.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._addresses.__exit__(*error)
        super().__exit__(*error)
        _forget()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is _DEVICE:  # two of three calls
            return func(*args)
        result = result_of(func, args, self._computed(func, args, kwargs))
        self.ledger.note(result)
        self.ledger.note_passing(scratch_bytes(func, args))
        self.operations += operations_of(func, args, kwargs, result)
        return result

    def _computed(self, func: Any, args: tuple, kwargs: dict) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        without_data = [tensor for tensor in tensors if isinstance(tensor, FakeTensor)]
        if tensors and not without_data:
            known = {id(tensor) for tensor in tensors}
            return tree_map(lambda leaf: self._emptied(leaf, known), func(*args, **kwargs))
        if func is _READ:
            return _read(without_data[0])
        if func in _INDEXING:
            args = (args[0], _as_numbers(args[1]), *args[2:])
        with self._shapes:
            result = func(*args, **kwargs)
        if not tensors:
            made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
            return func(*args, **kwargs) if any(_has_values(tensor) for tensor in made) else result
        bound = max((tensor.shape[-1] for tensor in without_data if tensor.ndim), default=1)
        known = {id(tensor) for tensor in tensors}
        return tree_map(lambda leaf: _made_up(leaf, bound) if _is_new(leaf, known) else leaf, result)

    def _emptied(self, leaf: Any, known: set[int]) -> Any:
        """What came of real tensors, without its values where nothing depends on them."""
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point() or id(leaf) in known or _has_values(leaf):
            return leaf
        with self._shapes:
            return torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device=leaf.device)


class _Addresses(TorchFunctionMode):
    """Gives what has no data an address too, by which code can tell whether two tensors are one."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is Tensor.data_ptr and isinstance(args[0], FakeTensor):
            return args[0].untyped_storage()._cdata + args[0].storage_offset() * args[0].itemsize
        return func(*args, **(kwargs or {}))


def take_place(network: nn.Module) -> None:
    """Gives a network that was built on the meta device the tensors of a rehearsal; shared ones stay shared."""
    placed: dict[int, Tensor] = {}

    def like(old: Tensor) -> Tensor:
        if id(old) not in placed:
            new = torch.zeros(old.shape, dtype=old.dtype)
            placed[id(old)] = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
        return placed[id(old)]

    for module in network.modules():
        places: tuple[Any, ...] = (module._parameters, module._buffers)
        for tensors in places:
            tensors.update({name: like(old) for name, old in tensors.items() if old is not None})


def _is_new(leaf: Any, known: set[int]) -> bool:
    return isinstance(leaf, FakeTensor) and id(leaf) not in known and _decides(leaf)


def _has_values(tensor: Tensor) -> bool:
    """Whether a tensor that comes of no tensor without data has values."""
    return _decides(tensor) or (tensor.is_floating_point() and tensor.numel() <= _SHORT)


def _decides(tensor: Tensor) -> bool:
    """Whether what is computed may depend on its values."""
    number = tensor.dtype in (torch.int64, torch.bool)
    return number and tensor.numel() <= _DECIDING


def _made_up(like: Tensor, bound: int) -> Tensor:
    """Real numbers in the place of those that nobody knows: 0, 1, ... below ``bound``, again and again; or all true."""
    if like.dtype == torch.bool:
        return torch.ones(like.shape, dtype=torch.bool)
    return (torch.arange(like.numel(), dtype=like.dtype) % max(1, bound)).view(like.shape)


def _read(tensor: Tensor) -> float | int | bool:
    """What Python is told of a number without a value."""
    return 1.0 if tensor.is_floating_point() else tensor.dtype != torch.bool and 1


def _as_numbers(indices: list[Tensor | None]) -> list[Tensor | None]:
    """Masks among the indices as the numbers of the places that they choose: how many that are must be known."""
    found: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype == torch.bool and not isinstance(index, FakeTensor):
            found += index.nonzero(as_tuple=True)
        else:
            found.append(index)
    return found


def _forget() -> None:
    """Empties the caches of our functions: what they keep from call to call may have no data now."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == __name__.partition(".")[0]:
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
