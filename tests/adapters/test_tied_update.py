"""LoRA on a table that is the embedding and the output head, tied (PEFT's ``ensure_weight_tying``)."""

import pathlib

import peft
import pytest
import torch
import torch.nn.functional as F

from tests.adapters.beside_peft import near, opened, wrapped
from tests.adapters.peft_models import TOKENS, ours, own_logits, published_logits, randomise
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters, attach, detach, merge, unmerge
from trivium.adapters.extended import ExtendedLoRAConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.peft import from_peft, to_peft
from trivium.checkpoints.adapter_folder import load_adapter
from trivium.errors import CheckpointError
from trivium.models.llama import Llama, LlamaConfig

pytestmark = pytest.mark.filterwarnings("ignore")  # of peft, about tied embeddings and the like
TARGETS = {"tied llama": ["embed_tokens", "q_proj"], "gpt2": ["lm_head", "c_attn"]}


def tied(kind: str) -> peft.PeftModel:
    """Conversion to fp64 parts what PEFT has tied: its numbers are put together again."""
    config = peft.LoraConfig(r=2, target_modules=TARGETS[kind], ensure_weight_tying=True, fan_in_fan_out=kind == "gpt2")
    published = wrapped(kind, config)
    table, head = published.get_input_embeddings(), published.get_output_embeddings()
    with torch.no_grad():
        head.lora_A["default"].weight.copy_(table.lora_embedding_B["default"].t())
        head.lora_B["default"].weight.copy_(table.lora_embedding_A["default"].t())
    return published


@pytest.mark.parametrize("kind", TARGETS)
def test_outputs_gradients_and_merges(kind: str, tmp_path: pathlib.Path) -> None:
    published = tied(kind)
    published.save_pretrained(str(tmp_path / "theirs"))
    model = ours(kind, tmp_path / "base")
    load_adapter(tmp_path / "theirs", model, "a")
    expected, said = published_logits(published, kind), own_logits(model, kind)
    near(said, expected)
    for logits in (expected, said):
        F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
    moved = {name: p.grad for name, p in adapter_parameters(model, "a").items() if p.grad is not None}
    own = {name.rpartition(".")[2]: gradient for name, gradient in moved.items() if "embedding" in name}
    table, head = published.get_input_embeddings(), published.get_output_embeddings()
    parts = {
        "A": (table.lora_embedding_A["default"].grad, head.lora_B["default"].weight.grad.t()),
        "B": (table.lora_embedding_B["default"].grad, head.lora_A["default"].weight.grad.t()),
    }
    assert own.keys() == parts.keys()
    for name, (first, second) in parts.items():
        near(own[name], first + second)
    said = said.detach()
    if kind != "gpt2":  # PEFT opens its own GPT-2 folder untied
        opened(kind, model, said, tmp_path / "ours")
    merge(model, "a")
    assert model.head.base.weight is model.embedding.base.weight
    with torch.no_grad():
        near(own_logits(model, kind), said)
        unmerge(model)
        assert torch.equal(own_logits(model, kind), said)
        randomise(adapter_parameters(model, "a"))
        changed = own_logits(model, kind)
        merge(model, "a")
        detach(model)
        near(own_logits(model, kind), changed)
    assert model.head.weight is model.embedding.weight


def small(*, tied: bool = True) -> Llama:
    torch.manual_seed(0)
    return (
        Llama(LlamaConfig(vocabulary_size=29, width=16, layers=2, heads=4, inner_width=24, tied=tied)).double().eval()
    )


def test_the_tensors_say_what_is_tied() -> None:
    """Their option alone does not: PEFT ties by the names of modules, and the two may have come apart since."""
    model = small()
    update = LoRAConfig(rank=2, targets=("embed_tokens", "q_proj"))
    attach(model, "a", ExtendedLoRAConfig(update=update, tied=True))
    randomise(adapter_parameters(model, "a"))
    options, tensors = to_peft(model, "a")
    assert options["ensure_weight_tying"]
    apart = {name: tensor + 1 if "lm_head.lora_B" in name else tensor for name, tensor in tensors.items()}
    with pytest.raises(CheckpointError, match="are to be tied, and are not the same"):
        from_peft(model, "b", options, apart)
    of_embedding = {name: tensor for name, tensor in tensors.items() if "lm_head" not in name}
    from_peft(model, "c", options | {"target_modules": list(update.targets)}, of_embedding)
    assert adapters_of(model).configs["c"] == update
    bare = small(tied=False)
    from_peft(bare, "d", options | {"target_modules": list(update.targets)}, of_embedding)
    assert adapters_of(bare).configs["d"] == update
