"""Several processes, one model: every process holds all of it (DDP), or a share of it (FSDP2).

Both keep the law of one process: the same global batch gives the same update. A process takes its share of the batch,
losses are sums, and gradients are summed over processes and divided once by the count of all (see `gradients`).

    replicate(model)      each process holds the whole model; gradients are summed in buckets after the backward pass
    shard(model)          parameters, gradients and moments are cut in as many pieces (Zhao et al. 2023; per block)

Both gather whole tensors for a checkpoint, which therefore loads with any number of processes.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from trivium.errors import Unsupported
from trivium.runtime.processes import place

# What an encoder-decoder and its blocks compute outside `forward`: gathered before these calls too.
_OTHER_CALLS = ("encode", "read", "read_source")


def replicate(model: nn.Module) -> None:
    """Gives every process the first one's weights and buffers."""
    if dist.is_initialized():
        for tensor in [*model.parameters(), *model.buffers()]:
            dist.broadcast(tensor.detach(), src=0)


def shard(model: nn.Module, mesh: DeviceMesh | None = None) -> None:
    """Shards `model` over all processes: each block by itself, the rest (embeddings, norm, head) together.

    The rest stays gathered from the forward pass to the end of the backward pass, so an objective may call
    `model.head` outside `model.forward`. Apply after activation checkpointing and compiling, before the optimiser is
    built. Raises `Unsupported` outside a process group.
    """
    if not dist.is_initialized():
        raise Unsupported(
            "a model is sharded over several processes",
            received="one process",
            fix="start with: torchrun --nproc-per-node 2 ...",
        )
    replicate(model)
    device = next(model.parameters()).device
    mesh = mesh or init_device_mesh(device.type, (dist.get_world_size(),))
    for block in model.blocks.children():
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            for name in _OTHER_CALLS:
                if callable(getattr(type(module), name, None)):
                    register_fsdp_forward_method(module, name)
            # Sums, not means: the division by the true count comes later. Gloo has no other reduction to sum with.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def reshard(model: nn.Module) -> None:
    """Drops gathered parameters after a forward pass without a backward one; nothing for a whole model."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sharded tensors put together, on the first process; every process calls it with the same names.

    Elsewhere than on the first process the dict is empty.
    """
    gathered = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if place().is_first:
            gathered[name] = full.detach()
    return gathered


def gather_rows(tensor: Tensor) -> Tensor:
    """The rows of all processes, in their order, on each of them; every process has as many."""
    if not dist.is_initialized():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def own_rows(tensor: Tensor) -> Tensor:
    """This process's share of the rows that `gather_rows` put together, over any number of processes."""
    here = place()
    assert tensor.shape[0] % here.world == 0, f"{tensor.shape[0]} rows cannot be shared by {here.world} processes"
    share = tensor.shape[0] // here.world
    return tensor[here.rank * share : (here.rank + 1) * share]


def gather_bytes(data: bytes, device: torch.device) -> list[bytes]:
    """What every process holds, in their order, on each of them. Bytes, because objects would travel as pickles."""
    if not dist.is_initialized():
        return [data]
    own = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    sizes = gather_rows(torch.tensor([len(data)], device=device)).tolist()
    padded = torch.zeros(1, max(sizes), dtype=torch.uint8, device=device)
    padded[0, : len(data)] = own.to(device)
    return [row[:size].cpu().numpy().tobytes() for row, size in zip(gather_rows(padded), sizes, strict=True)]
