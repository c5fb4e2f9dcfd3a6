"""Model folders: ours round trip, those of `transformers` load, and damage is told in full."""

import json
import pathlib
from collections.abc import Callable

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from trivium.checkpoints.folder import MANIFEST
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.errors import CheckpointError, Unsupported, UserError
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.llama import Llama, LlamaConfig
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.nn.positions.rope import Rope

SIZES = {"vocabulary_size": 29, "width": 16, "layers": 2}


def gpt2() -> nn.Module:
    return GPT2(GPT2Config(**SIZES, heads=2, context_tokens=8))


def llama() -> nn.Module:
    rope = Rope(kind="linear", factor=2.0)
    heads = {"heads": 4, "key_value_heads": 2, "head_width": 4}
    config = LlamaConfig(**SIZES, **heads, inner_width=24, context_tokens=8, rope=rope)
    return Llama(config)


def lstm() -> nn.Module:
    return LSTM(LSTMConfig(**SIZES))


MODELS = [gpt2, llama, lstm]
TOKENS = torch.arange(8).reshape(2, 4)


class Tokenizer:
    """Writes one file, as a real one does."""

    bos_id, eos_id, pad_id = None, 3, 4

    def save(self, folder: pathlib.Path) -> None:
        (folder / "tokenizer.json").write_text("{}")


def logits(model: nn.Module) -> torch.Tensor:
    return model.head.logits(model.eval()(TOKENS).hidden)


def edit(path: pathlib.Path, **changes: object) -> None:
    """Changes a JSON file on purpose, and says so by removing the manifest."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (path.parent / MANIFEST).unlink(missing_ok=True)


@pytest.mark.parametrize("make", MODELS)
def test_round_trip_to_the_last_bit(make: Callable[[], nn.Module], tmp_path: pathlib.Path) -> None:
    model = make()
    metadata = {"objective": "causal", "data_fingerprint": "abc", "parent": None, "validation_loss": 1.25}
    save_folder(tmp_path / "m", model, tokenizer=Tokenizer(), generation={"temperature": 0.7}, metadata=metadata)
    loaded = load_model(tmp_path / "m")
    assert loaded.config == model.config
    assert not loaded.training
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
    files = {path.name for path in (tmp_path / "m").iterdir()}
    named = {"config.json", "model.safetensors", "generation_config.json", "tokenizer.json", "README.md"}
    assert files == named | {"trivium.json", MANIFEST}
    generation = json.loads((tmp_path / "m" / "generation_config.json").read_text())
    assert generation == {"eos_token_id": 3, "pad_token_id": 4, "temperature": 0.7}
    facts = json.loads((tmp_path / "m" / "trivium.json").read_text())
    assert facts["objective"] == "causal"
    assert facts["versions"]["torch"] == str(torch.__version__)
    card = (tmp_path / "m" / "README.md").read_text()
    assert "validation loss: 1.2500" in card
    assert f"{sum(p.numel() for p in model.parameters()):,}" in card


@pytest.mark.parametrize("make", [gpt2, llama])
def test_transformers_opens_it_and_we_open_theirs(make: Callable[[], nn.Module], tmp_path: pathlib.Path) -> None:
    model = make()
    save_folder(tmp_path / "ours", model)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(TOKENS).logits, logits(model), rtol=0, atol=1e-5)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="5KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").is_file()
    assert torch.equal(logits(load_model(tmp_path / "theirs")), logits(model))


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_both_spellings_of_the_dtype(name: str, tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "m", llama(), dtype=torch.bfloat16)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["dtype"] == config["torch_dtype"] == "bfloat16"
    del config["dtype"], config["torch_dtype"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config | {name: "bfloat16"}))
    (tmp_path / "m" / MANIFEST).unlink()
    assert load_model(tmp_path / "m", dtype=None).embedding.weight.dtype == torch.bfloat16
    assert load_model(tmp_path / "m").embedding.weight.dtype == torch.float32


def test_both_spellings_of_the_rope_scaling(tmp_path: pathlib.Path) -> None:
    model = llama()
    save_folder(tmp_path / "m", model)
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    parameters = config.pop("rope_parameters")
    path.write_text(
        json.dumps(
            config | {"rope_theta": parameters["rope_theta"], "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
        )
    )
    (tmp_path / "m" / MANIFEST).unlink()
    assert load_model(tmp_path / "m").config == model.config


def test_a_body_saved_without_its_head(tmp_path: pathlib.Path) -> None:
    model = gpt2()
    save_folder(tmp_path / "m", model)
    path = tmp_path / "m" / "model.safetensors"
    save_file({name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}, path)
    (tmp_path / "m" / MANIFEST).unlink()
    assert torch.equal(logits(load_model(tmp_path / "m")), logits(model))


def test_missing_extra_and_misshapen_tensors_are_all_listed(tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "m", gpt2())
    path = tmp_path / "m" / "model.safetensors"
    tensors = load_file(path)
    (tmp_path / "m" / MANIFEST).unlink()
    names = sorted(tensors)
    save_file({name: tensors[name] for name in names[2:]} | {"odd": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError) as error:
        load_model(tmp_path / "m")
    for expected in (f"missing: {names[0]}", f"missing: {names[1]}", "unexpected: odd"):
        assert expected in str(error.value)
    bias, matrix = "transformer.h.0.attn.c_attn.bias", "transformer.h.1.attn.c_attn.weight"
    save_file(tensors | {bias: torch.zeros(3), matrix: torch.zeros(2)}, path)
    with pytest.raises(CheckpointError) as error:
        load_model(tmp_path / "m")
    assert f"{bias}: [3], the model has [48]" in str(error.value)
    assert f"{matrix}: [2] do not fit" in str(error.value)


def test_an_unknown_architecture_lists_the_known_ones(tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "m", gpt2())
    edit(tmp_path / "m" / "config.json", model_type="gpt9")
    with pytest.raises(Unsupported) as error:
        load_model(tmp_path / "m")
    assert "gpt9" in str(error.value)
    assert "gpt2, " in str(error.value)
    assert "did you mean" in str(error.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "{", "cannot be read as JSON"),
        ("config.json", "[]", "which architecture"),
        ("config.json", '{"model_type": 3}', "which architecture"),
        ("config.json", '{"model_type": "gpt2", "n_embd": "wide"}', "does not describe a gpt2"),
        ("config.json", '{"model_type": "gpt2", "n_embd": -16, "n_head": 2}', "does not describe a gpt2"),
        ("model.safetensors", "", "not a whole safetensors file"),
    ],
)
def test_damage_is_told(file: str, content: str, message: str, tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "m", gpt2())
    (tmp_path / "m" / MANIFEST).unlink()
    (tmp_path / "m" / file).write_text(content)
    with pytest.raises(UserError, match=message):
        load_model(tmp_path / "m")


def test_a_folder_that_was_altered_is_refused(tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "m", gpt2())
    path = tmp_path / "m" / "model.safetensors"
    altered = bytearray(path.read_bytes())
    altered[-5] ^= 1
    path.write_bytes(altered)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: the content has changed"):
        load_model(tmp_path / "m")


def test_a_pickle_is_never_opened(tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "m", gpt2())
    (tmp_path / "m" / MANIFEST).unlink()
    (tmp_path / "m" / "model.safetensors").rename(tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="a pickle can run code"):
        load_model(tmp_path / "m")
    with pytest.raises(CheckpointError, match="no model in this folder"):
        load_model(tmp_path)


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/passwd", "absent.safetensors"])
def test_an_index_does_not_lead_out_of_the_folder(file: str, tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "m", gpt2())
    (tmp_path / "m" / MANIFEST).unlink()
    weights = tmp_path / "m" / "model.safetensors"
    weights.rename(tmp_path / "model.safetensors")
    index = {"weight_map": {"transformer.wte.weight": file}}
    (tmp_path / "m" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="not in the folder"):
        load_model(tmp_path / "m")


def test_a_tensor_missing_from_its_shard_is_named(tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "m", gpt2())
    (tmp_path / "m" / MANIFEST).unlink()
    (tmp_path / "m" / "model.safetensors").rename(tmp_path / "m" / "one.safetensors")
    index = {"weight_map": {"nowhere": "one.safetensors"}}
    (tmp_path / "m" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="nowhere"):
        load_model(tmp_path / "m")
