"""Folders in and out, and everything that is not a model."""

import hashlib
import importlib.util
import json
import pathlib
from typing import Any

import pytest
import torch

import trivium
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.checkpoints.adapter_folder import save_adapter
from trivium.checkpoints.model_folder import save_folder
from trivium.checkpoints.provenance import weights_sha256
from trivium.errors import CheckpointError, ConfigError, StorageError, TokenizerError, Unsupported
from trivium.lm.local import LocalModel
from trivium.nn.quantized import NF4Linear

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return small.byte_tokenizer()


@pytest.fixture
def folder(tmp_path: pathlib.Path, tokenizer: Any) -> pathlib.Path:
    save_folder(tmp_path / "model", small.network("llama", tokenizer.vocabulary_size).float(), tokenizer=tokenizer)
    return tmp_path / "model"


def first_answer(path: pathlib.Path) -> list[int]:
    return trivium.load(path).generate("the cat", max_new_tokens=4)[0].token_ids


def test_what_is_saved_is_loaded(folder: pathlib.Path, tokenizer: Any, tmp_path: pathlib.Path) -> None:
    model = trivium.load(folder)
    ids = torch.tensor([[4, 5, 6]])
    network = small.network("llama", tokenizer.vocabulary_size).float()
    torch.testing.assert_close(model.logits(ids), LocalModel(network, tokenizer).logits(ids), rtol=0, atol=0)
    assert model.generate("a", max_new_tokens=1)[0].settings.eos_ids == (tokenizer.eos_id,)
    model.generation["do_sample"] = True
    trivium.save(model, tmp_path / "again")
    again = trivium.load(tmp_path / "again")
    assert torch.equal(again.logits(ids), model.logits(ids))
    assert again.generate("a", max_new_tokens=1)[0].settings.temperature == 1.0


def test_saving_again_keeps_what_the_model_was_made_from(tmp_path: pathlib.Path, tokenizer: Any) -> None:
    facts = {"objective": "causal", "data": "notes", "data_fingerprint": "ab", "parent": "x/y", "validation_loss": 1.5}
    network = small.network("llama", tokenizer.vocabulary_size).float()
    save_folder(tmp_path / "one", network, tokenizer=tokenizer, metadata=facts)
    trivium.save(trivium.load(tmp_path / "one"), tmp_path / "two")
    first, second = (json.loads((tmp_path / name / "trivium.json").read_text()) for name in ("one", "two"))
    assert second == first
    assert facts.items() <= second.items()
    assert second["tokenizer_sha256"] == hashlib.sha256((tmp_path / "two" / "tokenizer.json").read_bytes()).hexdigest()
    trivium.save(LocalModel(network, tokenizer), tmp_path / "three")
    told = json.loads((tmp_path / "three" / "trivium.json").read_text())
    assert set(told) == {"model_type", "tokenizer_sha256", "versions"}


def test_saving_deletes_nothing_but_an_earlier_save(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model = trivium.load(folder)
    trivium.save(model, folder)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"received: .*thesis: chapter\.txt"):
        trivium.save(model, tmp_path / "thesis")
    with pytest.raises(StorageError, match="current folder"):
        trivium.save(model, ".")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "mine"


def test_the_number_format_is_the_one_asked_for(folder: pathlib.Path) -> None:
    assert trivium.load(folder, dtype="float64").logits(torch.tensor([[1]])).dtype == torch.float64


def test_a_folder_without_a_tokenizer_takes_ids(tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "model", small.network("gpt2", 50))
    model = trivium.load(tmp_path / "model")
    assert model.tokenizer is None
    assert len(model.generate([[1, 2]], max_new_tokens=2)[0].token_ids) == 2


def test_a_run_gives_its_best_checkpoint_else_its_last(
    folder: pathlib.Path, tokenizer: Any, tmp_path: pathlib.Path
) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        trivium.load(run)
    folder.rename(run / "checkpoints" / "step-00000002")
    expected = first_answer(run / "checkpoints" / "step-00000002")
    assert first_answer(run) == expected
    other = small.network("llama", tokenizer.vocabulary_size).float()
    other.embedding.weight.data.mul_(-1)
    save_folder(run / "checkpoints" / "step-00000001", other, tokenizer=tokenizer)
    assert first_answer(run) == expected
    (run / "checkpoints" / "best").symlink_to("step-00000001")
    assert first_answer(run) == first_answer(run / "checkpoints" / "step-00000001") != expected


def test_a_tokenizer_with_more_ids_than_the_model_is_refused(tmp_path: pathlib.Path, tokenizer: Any) -> None:
    save_folder(tmp_path / "small", small.network("gpt2", tokenizer.vocabulary_size - 1), tokenizer=tokenizer)
    with pytest.raises(TokenizerError, match="different vocabularies"):
        trivium.load(tmp_path / "small")
    save_folder(tmp_path / "padded", small.network("gpt2", tokenizer.vocabulary_size + 7), tokenizer=tokenizer)
    assert trivium.load(tmp_path / "padded").config.vocabulary_size == tokenizer.vocabulary_size + 7


def test_paths_that_are_no_model(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(StorageError, match="there is no such folder"):
        trivium.load(tmp_path / "nothing")
    with pytest.raises(Unsupported, match=r"does not download models[\s\S]*hf download gpt2-org/gpt2"):
        trivium.load("gpt2-org/gpt2")
    with pytest.raises(CheckpointError, match="this is a file"):
        trivium.load(folder / "config.json")
    with pytest.raises(CheckpointError, match="there is no model in this folder"):
        trivium.load(tmp_path)


def test_a_damaged_generation_config_is_refused(folder: pathlib.Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        trivium.load(folder)
    (folder / "generation_config.json").write_text(json.dumps([1]))
    with pytest.raises(CheckpointError, match="is not a mapping"):
        trivium.load(folder)


def test_what_this_release_has_not(folder: pathlib.Path) -> None:
    with pytest.raises(Unsupported, match="does not quantise so"):
        trivium.load(folder, quantize="int8")


def test_four_bits_are_used_and_not_saved(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model = trivium.load(folder, quantize="nf4")
    ids = torch.tensor([[4, 5, 6]])
    exact = trivium.load(folder).logits(ids)
    assert 0 < (model.logits(ids) - exact).abs().mean() < exact.std()
    assert len(model.generate("a", max_new_tokens=3)[0].token_ids) == 3
    with pytest.raises(Unsupported, match="a quantised model cannot be saved"):
        trivium.save(model, tmp_path / "packed")


def test_adapters_come_with_the_base_and_are_chosen_by_the_call(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A LoRA and a prefix over one base, packed in 4 bits as it is read: each call names its own."""
    for name, config in (
        ("style", LoRAConfig(rank=2, targets=("q_proj", "down_proj"))),
        ("tone", PrefixConfig(tokens=3)),
    ):
        network = trivium.load(folder).network
        attach(network, name, config)
        with torch.no_grad():
            for parameter in adapter_parameters(network, name).values():
                parameter.normal_(std=0.5)
        save_adapter(tmp_path / name, network, name)
    base = trivium.load(folder, quantize="nf4")
    assert any(isinstance(module, NF4Linear) for module in base.network.modules())
    several = trivium.load(folder, quantize="nf4", adapter={"style": tmp_path / "style", "tone": tmp_path / "tone"})
    prompts = ["the cat", "a"]

    def ids(model: LocalModel, **options: Any) -> list[list[int]]:
        return [answer.token_ids for answer in model.generate(prompts, max_new_tokens=8, **options)]

    plain, style, tone = ids(several), ids(several, adapter="style"), ids(several, adapter="tone")
    assert plain == ids(base) and len({str(plain), str(style), str(tone)}) == 3
    assert style == ids(trivium.load(folder, quantize="nf4", adapter=tmp_path / "style"))
    assert tone == ids(trivium.load(folder, quantize="nf4", adapter=tmp_path / "tone"))
    assert (
        "".join(several.stream("a", max_new_tokens=8, adapter="tone"))
        == several.generate("a", max_new_tokens=8, adapter="tone")[0].text
    )
    with pytest.raises(ConfigError, match="no adapter is called 'x'"):
        ids(several, adapter="x")


def test_a_merged_adapter_is_a_plain_model(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    network = trivium.load(folder).network
    attach(network, "style", LoRAConfig(rank=2, targets=("q_proj",)))
    with torch.no_grad():
        for parameter in adapter_parameters(network, "style").values():
            parameter.normal_(std=0.5)
    save_adapter(tmp_path / "style", network, "style")
    model = trivium.load(folder, adapter=tmp_path / "style")
    with pytest.raises(Unsupported, match="merge=True"):
        trivium.save(model, tmp_path / "plain")
    trivium.save(model, tmp_path / "plain", merge=True)
    tokens = torch.tensor([[4, 5, 6]])
    expected = model.logits(tokens)
    torch.testing.assert_close(trivium.load(tmp_path / "plain").logits(tokens), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(trivium.load(folder).logits(tokens), expected, atol=1e-2)
    told = json.loads((tmp_path / "plain" / "trivium.json").read_text())
    assert told["parent"] == str(folder) and told["parent_sha256"] == weights_sha256(folder)
    assert told["adapter"] == str(tmp_path / "style") and told["adapter_sha256"] == weights_sha256(tmp_path / "style")
