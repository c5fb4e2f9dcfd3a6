"""Adapters that bring a head of scores: PEFT's folders of ``task_type`` SEQ_CLS, both ways, and on a base of others."""

import json
import pathlib
from typing import Any

import peft
import pytest
import torch
import transformers

from tests.adapters.peft_models import TOKENS, randomise
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.extended import ExtendedIA3Config, ExtendedLoRAConfig
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.routing import using
from trivium.adapters.sites import ALL_LINEAR
from trivium.adapters.trained_copy import TrainedCopyConfig
from trivium.checkpoints.adapter_folder import load_beside_scores, save_adapter, scores_of
from trivium.checkpoints.model_folder import load_model
from trivium.errors import CheckpointError
from trivium.lm.load import load, purpose_of
from trivium.models.scored import with_scores

COPY = TrainedCopyConfig(modules=("score",))
OURS = {
    "lora": ExtendedLoRAConfig(update=LoRAConfig(rank=2, targets=ALL_LINEAR, exclude=("score",)), copies=COPY),
    "dora": ExtendedLoRAConfig(update=LoRAConfig(rank=2, targets=("q_proj",), decomposed=True), copies=COPY),
    "ia3": ExtendedIA3Config(update=IA3Config(targets=("k_proj", "v_proj"), feedforward=()), copies=COPY),
}
THEIRS = {
    "lora": peft.LoraConfig(task_type="SEQ_CLS", r=3, lora_alpha=5, target_modules="all-linear"),
    "rslora": peft.LoraConfig(task_type="SEQ_CLS", r=3, use_rslora=True, target_modules=["q_proj"]),
    "ia3": peft.IA3Config(task_type="SEQ_CLS", target_modules=["k_proj"], feedforward_modules=[]),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A language model that ``transformers`` saved."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    shape: dict[str, Any] = {"vocab_size": 29, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(**shape, intermediate_size=24, pad_token_id=28, tie_word_embeddings=False)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def theirs_on(base: pathlib.Path, scores: int) -> transformers.PreTrainedModel:
    return transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=scores).eval()


def ours_of(network: torch.nn.Module) -> torch.Tensor:
    lengths = torch.tensor([7, 7])
    return network.classify(network(TOKENS, lengths=lengths).hidden, lengths)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", THEIRS)
def test_what_peft_saves_opens_here(label: str, base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    theirs = peft.get_peft_model(theirs_on(base, 1), THEIRS[label]).eval()
    randomise({name: p for name, p in theirs.named_parameters() if p.requires_grad})
    theirs.save_pretrained(tmp_path / "reward")
    options = json.loads((tmp_path / "reward" / "adapter_config.json").read_text())
    assert "score" in options["modules_to_save"]
    model = load(base, adapter=tmp_path / "reward")
    assert model.purpose == "regression"
    torch.testing.assert_close(ours_of(model.network), theirs(input_ids=TOKENS).logits, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", OURS)
def test_peft_opens_what_is_saved_here(label: str, base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    network = with_scores(load_model(base), ("helpful", "harmless"))
    attach(network, "own", OURS[label])
    randomise(adapter_parameters(network, "own"))
    expected = ours_of(network)
    save_adapter(tmp_path / "reward", network, "own", base=str(base))
    assert json.loads((tmp_path / "reward" / "adapter_config.json").read_text())["task_type"] == "SEQ_CLS"
    theirs = peft.PeftModel.from_pretrained(theirs_on(base, 2), tmp_path / "reward").eval()
    torch.testing.assert_close(theirs(input_ids=TOKENS).logits, expected, rtol=0, atol=1e-5)
    assert purpose_of(tmp_path / "reward") == "regression"
    opened = load(tmp_path / "reward")
    assert opened.capabilities == frozenset()  # without a tokenizer there are no texts to score
    torch.testing.assert_close(ours_of(opened.network), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_on_a_base_that_others_use_too(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Another adapter answers as before, and the scores are those of the reward model by itself."""
    alone = with_scores(load_model(base))
    attach(alone, "own", OURS["lora"])
    randomise(adapter_parameters(alone, "own"))
    save_adapter(tmp_path / "reward", alone, "own", base=str(base))
    network = load_model(base)
    attach(network, "policy", LoRAConfig(rank=2, targets=("q_proj",)))
    randomise(adapter_parameters(network, "policy"))
    before = network.head(network(TOKENS).hidden)
    weight = load_beside_scores(tmp_path / "reward", network, "reward")
    with using(network, "reward"):
        scores = network(TOKENS).hidden[:, -1] @ weight.T
    torch.testing.assert_close(scores, ours_of(alone), rtol=0, atol=1e-6)
    with using(network, "policy"):
        assert torch.equal(network.head(network(TOKENS).hidden), before)


def test_an_adapter_without_scores_is_refused(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    network = load_model(base)
    attach(network, "policy", LoRAConfig(rank=2, targets=("q_proj",)))
    save_adapter(tmp_path / "policy", network, "policy", base=str(base))
    assert scores_of(tmp_path / "policy") is None
    with pytest.raises(CheckpointError, match="no head of scores"):
        load_beside_scores(tmp_path / "policy", network, "reward")
    assert list(adapters_of(network).configs) == ["policy"]
