"""An adapter of the peft package and ours with the same numbers: outputs, steps and folders, both ways."""

import pathlib
from collections.abc import Callable

import peft
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.adapters.peft_models import TOKENS, ours, own_logits, published_logits, randomise, theirs
from trivium.adapters.attach import adapter_parameters
from trivium.adapters.peft import to_peft
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter


def near(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * max(expected.abs().max().item(), 1))


def step(
    logits: Tensor, parameters: list[nn.Parameter], make: Callable[..., torch.optim.Optimizer], rate: float = 0.05
) -> None:
    optimiser = make(parameters, lr=rate)
    F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
    optimiser.step()
    optimiser.zero_grad()


def wrapped(kind: str, config: peft.PeftConfig) -> peft.PeftModel:
    """The published model with an adapter that has an effect."""
    torch.manual_seed(3)
    published = peft.get_peft_model(theirs(kind), config).double().eval()
    randomise({name: p for name, p in published.named_parameters() if p.requires_grad})
    return published


def followed(kind: str, config: peft.PeftConfig, folder: pathlib.Path) -> tuple[nn.Module, Tensor, peft.PeftModel]:
    """Our model with PEFT's adapter as "a", its logits, and ours opened by PEFT: the two agree at each point, two
    updates between."""
    published = wrapped(kind, config)
    trained = [p for p in published.parameters() if p.requires_grad]
    published.save_pretrained(str(folder / "theirs"))
    model = ours(kind, folder / "base")
    load_adapter(folder / "theirs", model, "a")
    own = list(adapter_parameters(model, "a").values())
    assert sum(p.numel() for p in own) == sum(p.numel() for p in trained)
    for make in (torch.optim.SGD, torch.optim.AdamW):
        expected, found = published_logits(published, kind), own_logits(model, kind)
        near(found, expected)
        step(expected, trained, make)
        step(found, own, make)
        after = peft.get_peft_model_state_dict(published, save_embedding_layers=False)
        tensors = to_peft(model, "a")[1]
        assert tensors.keys() == after.keys()
        for name, tensor in tensors.items():
            near(tensor, after[name])
    with torch.no_grad():
        said = own_logits(model, kind)
    return model, said, opened(kind, model, said, folder / "ours")


def opened(kind: str, model: nn.Module, said: Tensor, folder: pathlib.Path) -> peft.PeftModel:
    """The adapter "a" of ours by way of ``folder``; PEFT answers what we do."""
    save_adapter(folder, model, "a", base="somewhere")
    found = peft.PeftModel.from_pretrained(theirs(kind), str(folder)).eval()
    with torch.no_grad():
        near(published_logits(found, kind), said)
    return found
