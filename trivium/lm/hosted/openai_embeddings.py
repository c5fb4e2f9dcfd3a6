"""OpenAI's embeddings (https://platform.openai.com/docs/api-reference/embeddings)."""

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trivium.lm.hosted.failure import MalformedReply, field

TEXTS_AT_ONCE = 64
_LARGEST = 1e15  # of a number: the square of one that is larger is none in fp32, and an int may have any length


def embeddings_body(model: str, texts: Sequence[str]) -> dict[str, Any]:
    """What asks for a vector of each text."""
    return {"model": model, "input": list(texts), "encoding_format": "float"}


def read_vectors(reply: Any, count: int) -> Tensor:
    """``count`` vectors of length 1 from a reply, in the order of the texts. Raises ``MalformedReply``."""
    data = field(reply, "data", kind=list)
    told = [(field(item, "index", kind=int), field(item, "embedding", kind=list)) for item in data]
    rows = sorted(told, key=operator.itemgetter(0))
    if [index for index, _ in rows] != list(range(count)):
        raise MalformedReply(
            "the service does not give one vector for each text",
            received=f"vectors of the texts {[index for index, _ in rows][:20]}",
            expected=f"0 to {count - 1}",
        )
    numbers = [row for _, row in rows]
    width = len(numbers[0])
    if not width or not all(len(row) == width and all(map(_is_number, row)) for row in numbers):
        raise MalformedReply("the service's vectors are not rows of numbers of one length", expected="numbers")
    return torch.nn.functional.normalize(torch.tensor(numbers, dtype=torch.float32), dim=-1)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST
