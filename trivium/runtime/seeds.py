"""One seed for all chance, and its states as tensors and JSON, so that a run goes on as if never stopped."""

import random
from typing import Any

import numpy
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch on every device. `seed` is at least 0; two processes of one run add their rank."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of all generators: torch's as uint8 tensors by name, Python's and NumPy's as JSON."""
    tensors = {"rng.cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            tensors[f"rng.cuda.{index}"] = torch.cuda.get_rng_state(index)
    version, words, gauss = random.getstate()
    numpys: Any = numpy.random.get_state(legacy=True)  # a tuple of which the stubs know nothing
    _, keys, position, has_gauss, cached = numpys
    facts = {
        "python": {"version": version, "words": list(words), "gauss": gauss},
        "numpy": {"keys": keys.tolist(), "position": position, "has_gauss": has_gauss, "cached": cached},
    }
    return tensors, facts


def restore(tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Puts back what `capture` gave. States of CUDA devices that are not here are left aside."""
    torch.set_rng_state(tensors["rng.cpu"].cpu())
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            if f"rng.cuda.{index}" in tensors:
                torch.cuda.set_rng_state(tensors[f"rng.cuda.{index}"].cpu(), index)
    python = facts["python"]
    random.setstate((python["version"], tuple(python["words"]), python["gauss"]))
    state = facts["numpy"]
    keys = numpy.array(state["keys"], dtype=numpy.uint32)
    numpy.random.set_state(("MT19937", keys, state["position"], state["has_gauss"], state["cached"]))
