"""Tensors in safetensors files: written in one pass as they come, read one at a time, never by pickle.

The format: 8 bytes of header length (little endian), a JSON header with the dtype, shape and byte range of each
tensor, then the bytes (https://huggingface.co/docs/safetensors). We write it ourselves because the header can be made
from shapes alone: a model is then streamed to disk without a second copy, hashed on the way, and forced to disk.
"""

import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trivium.checkpoints.folder import FolderWriter
from trivium.errors import CheckpointError, StorageError

_DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_tensors(
    writer: FolderWriter,
    name: str,
    shapes: Iterable[tuple[str, Tensor]],
    tensors: Iterable[tuple[str, Tensor]],
) -> None:
    """Writes one safetensors file. `shapes` tells names, shapes and dtypes ahead (meta tensors will do); `tensors`
    gives the same names in the same order with their values, on any device, each needed only while it is written."""
    writer.write(name, _pieces(list(shapes), tensors))


def write_tensor_dict(writer: FolderWriter, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors that are all at hand."""
    write_tensors(writer, name, tensors.items(), tensors.items())


def _pieces(shapes: list[tuple[str, Tensor]], tensors: Iterable[tuple[str, Tensor]]) -> Iterator[bytes | memoryview]:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in shapes:
        end = offset + tensor.numel() * tensor.element_size()
        kind = _DTYPE_NAMES[tensor.dtype]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    assert len(header) == len(shapes) + 1, "two tensors have the same name"
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the bytes of the tensors begin at a multiple of 8
    yield len(text).to_bytes(8, "little") + text
    for (expected, shape), (name, tensor) in zip(shapes, tensors, strict=True):
        described, given = (expected, shape.shape, shape.dtype), (name, tensor.shape, tensor.dtype)
        assert described == given, (described, given)
        if tensor.numel():
            # Viewed as bytes: NumPy has no bfloat16.
            yield tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


class TensorFile:
    """The tensors of one safetensors file, read when asked for. Raises `CheckpointError` where it is not one."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        if not path.is_file():
            raise CheckpointError(f"{path.name} is missing", received=path.parent, fix="copy the folder again")
        try:
            self._file = safe_open(path, framework="pt", device="cpu")
        except SafetensorError as error:
            raise self._damaged(error) from error
        except OSError as error:
            raise StorageError(f"{path} cannot be read", received=error, fix="check its permissions") from error
        self.names: tuple[str, ...] = tuple(self._file.keys())

    def read(self, name: str) -> Tensor:
        """One tensor, in the dtype it was saved in."""
        try:
            return self._file.get_tensor(name)
        except SafetensorError as error:
            raise self._damaged(error) from error

    def read_all(self) -> dict[str, Tensor]:
        """Every tensor by name."""
        return {name: self.read(name) for name in self.names}

    def _damaged(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"{self.path} is not a whole safetensors file",
            received=f"{error} ({self.path.stat().st_size} bytes)",
            fix="the file is truncated or damaged: copy or download it again, or use an earlier checkpoint",
        )
