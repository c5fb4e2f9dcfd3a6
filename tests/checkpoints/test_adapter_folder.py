"""The folder of an adapter: what stands in it, what it says of its base, and what is refused."""

import json
import pathlib

import pytest
import torch

from trivium import tokenizers
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.lora import LoRAConfig
from trivium.checkpoints.adapter_folder import check_base, load_adapter, save_adapter, write_adapter
from trivium.checkpoints.folder import new_folder, verify_folder
from trivium.checkpoints.model_folder import save_folder
from trivium.checkpoints.provenance import parent_facts, weights_sha256
from trivium.errors import CheckpointError
from trivium.models.llama import Llama, LlamaConfig
from trivium.nn.quantized import quantise_linears


def network(seed: int = 1) -> Llama:
    torch.manual_seed(seed)
    return Llama(LlamaConfig(vocabulary_size=32, width=16, layers=1, heads=2, inner_width=24))


@pytest.fixture
def base(tmp_path: pathlib.Path) -> pathlib.Path:
    save_folder(tmp_path / "base", network())
    return tmp_path / "base"


def adapted() -> Llama:
    model = network()
    attach(model, "mine", LoRAConfig(rank=2))
    return model


def test_a_folder_says_which_weights_it_was_made_for(base: pathlib.Path, tmp_path: pathlib.Path):
    save_adapter(tmp_path / "adapter", adapted(), "mine", base=str(base))
    verify_folder(tmp_path / "adapter")
    told = json.loads((tmp_path / "adapter" / "trivium.json").read_text())
    assert told["parent"] == str(base) and told["parent_sha256"] == weights_sha256(base)
    check_base(tmp_path / "adapter", base)
    save_folder(tmp_path / "other", network(2))
    with pytest.raises(CheckpointError, match=r"made for other weights[\s\S]*base, with weights of[\s\S]*any_base"):
        check_base(tmp_path / "adapter", tmp_path / "other")


def test_one_that_says_nothing_of_its_base_is_taken_at_its_word(base: pathlib.Path, tmp_path: pathlib.Path):
    save_adapter(tmp_path / "adapter", adapted(), "mine")
    check_base(tmp_path / "adapter", base)
    assert "parent" not in json.loads((tmp_path / "adapter" / "trivium.json").read_text())


def test_the_card_counts_the_adapter_and_its_base_packed_or_not(tmp_path: pathlib.Path):
    own = sum(p.numel() for p in adapter_parameters(adapted(), "mine").values())
    whole = sum(p.numel() for p in network().parameters())
    packed = network()
    quantise_linears(packed)
    attach(packed, "mine", LoRAConfig(rank=2))
    for name, model in (("plain", adapted()), ("packed", packed)):
        save_adapter(tmp_path / name, model, "mine")
        card = (tmp_path / name / "README.md").read_text()
        assert f"- parameters: {own:,} on {whole:,} of the base ({own / whole:.2%})" in card
        assert card.startswith("---\nlibrary_name: peft")


def test_a_run_puts_beside_it_what_it_needs_to_write(base: pathlib.Path, tmp_path: pathlib.Path):
    tokenizer = tokenizers.train(["a b c"], kind="character", vocabulary_size=None)
    with new_folder(tmp_path / "adapter") as writer:
        write_adapter(
            writer,
            adapted(),
            "mine",
            base=str(base),
            metadata={**parent_facts(base), "method": "lora"},
            tokenizer=tokenizer,
            generation={"eos_token_id": [1, 2]},
        )
    verify_folder(tmp_path / "adapter")
    generation = json.loads((tmp_path / "adapter" / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [1, 2]
    assert tokenizers.load(tmp_path / "adapter").encode("a b") == tokenizer.encode("a b")
    told = json.loads((tmp_path / "adapter" / "trivium.json").read_text())
    assert told["method"] == "lora" and told["tokenizer_sha256"] and told["versions"]


def test_damage_and_absence_are_told(tmp_path: pathlib.Path):
    save_adapter(tmp_path / "adapter", adapted(), "mine")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
        load_adapter(tmp_path / "adapter", network(), "mine")
    with pytest.raises(CheckpointError, match="no adapter in this folder"):
        load_adapter(tmp_path, network(), "mine")
