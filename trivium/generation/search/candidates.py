"""The best of many scores, with ties decided."""

from jaxtyping import Float, Int
from torch import Tensor

from trivium.errors import NonFiniteError


def best(scores: Float[Tensor, "B N"], k: int) -> tuple[Float[Tensor, "B k"], Int[Tensor, "B k"]]:
    """The ``k`` largest of each row (fewer where there are fewer) and their places, the largest first.

    Of equal scores the lower place comes first; ``topk`` alone would choose among them by accident. Raises
    ``NonFiniteError`` where a score is not a number.
    """
    size = scores.shape[-1]
    k = min(k, size)
    # One more than asked for: whether it equals the last one tells of a tie across the border.
    values, places = scores.topk(min(k + 1, size), dim=-1)
    if bool(values.isnan().any()):  # to topk, NaN is the largest number
        raise NonFiniteError("the model's logits are not numbers (NaN or infinite): no token can be chosen")
    least, next_best = values[:, k - 1 : k], values[:, k:]
    # Which of the impossible ones (-inf) are among the k matters to nobody.
    if bool(((least == next_best) & (least > float("-inf"))).any()):
        above, tied = scores > least, scores == least
        room = k - above.sum(-1, keepdim=True)
        places = (above | (tied & (tied.cumsum(-1) <= room))).nonzero()[:, 1].unflatten(0, (-1, k))
    else:
        places = places[:, :k].sort(dim=-1).values
    values, order = scores.gather(-1, places).sort(dim=-1, descending=True, stable=True)
    return values, places.gather(-1, order)
