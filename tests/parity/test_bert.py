"""Our BERT is ``transformers``' BERT: the same weights give the same logits, losses and gradients, both ways."""

import json
import pathlib

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.parity.encoder_heads import (
    HEADS,
    LENGTHS,
    LONGEST,
    SHAPE,
    Family,
    batch,
    check_logits_loss_and_gradients,
    check_round_trip,
)
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.models.bert import SIZES, Bert, BertConfig, weight_map
from trivium.nn.weight_map import load_into

BERT = Family("Bert", "bert")


@pytest.mark.parametrize("head", HEADS)
def test_logits_loss_and_gradients(head: str) -> None:
    check_logits_loss_and_gradients(*BERT.pair(head), head)


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_other_non_linearities(activation: str) -> None:
    check_logits_loss_and_gradients(*BERT.pair("language", hidden_act=activation), "language")


@pytest.mark.parametrize("head", HEADS)
def test_folders_open_in_both(head: str, tmp_path: pathlib.Path) -> None:
    check_round_trip(*BERT.pair(head), tmp_path)


@pytest.mark.parametrize("head", ["language", "pretraining"])
def test_folders_open_in_both_untied(head: str, tmp_path: pathlib.Path) -> None:
    check_round_trip(*BERT.pair(head, tie_word_embeddings=False), tmp_path)


def test_several_numbers_for_a_text(tmp_path: pathlib.Path) -> None:
    config = BertConfig.from_hf({**SHAPE, "architectures": ["BertForSequenceClassification"], "num_labels": 1})
    assert config.head == "regression"  # transformers takes one output for a number
    ours = Bert(BertConfig(**{**shape(), "head": "regression", "labels": ("valence", "arousal")})).eval()
    save_folder(tmp_path, ours)
    theirs = transformers.BertForSequenceClassification.from_pretrained(tmp_path).eval()
    labels = torch.tensor([[0.5, 1.0], [-1.0, 0.0], [2.0, 3.0]])
    numbers = ours.classify(ours(batch()["tokens"]).hidden)
    wanted = theirs(input_ids=batch()["tokens"], labels=labels).loss
    torch.testing.assert_close(torch.nn.functional.mse_loss(numbers, labels), wanted)


def shape() -> dict[str, object]:
    return {"vocabulary_size": 61, "width": 24, "layers": 2, "heads": 4, "inner_width": 40, "context_tokens": 20}


def test_token_types_are_the_first_where_not_given() -> None:
    theirs, ours = BERT.pair("language")
    tokens = batch()["tokens"]
    wanted = theirs(input_ids=tokens).logits
    assert (ours.head.logits(ours(tokens).hidden) - wanted).abs().max() / wanted.abs().max() < 1e-5


def test_a_pre_training_file_opens_without_its_second_task() -> None:
    theirs, ours = BERT.pair("pretraining")
    config = BertConfig.from_hf({**SHAPE, "architectures": ["BertForMaskedLM"]})
    model, stored = Bert(config).eval(), theirs.state_dict()
    load_into(model, weight_map(config), stored, stored.__getitem__)
    assert torch.equal(model(batch()["tokens"]).hidden, ours(batch()["tokens"]).hidden)


def rewrite(folder: pathlib.Path, tensors: dict[str, torch.Tensor]) -> None:
    """Other weights for a folder of theirs."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


@pytest.mark.parametrize("prefix", ["", "bert."])
@pytest.mark.parametrize("pooler", [True, False])
def test_a_bare_body_with_and_without_its_name_and_its_pooler(
    prefix: str, pooler: bool, tmp_path: pathlib.Path
) -> None:
    torch.manual_seed(1)
    theirs = transformers.BertModel(transformers.BertConfig(**SHAPE), add_pooling_layer=pooler).eval()
    theirs.save_pretrained(tmp_path)
    rewrite(tmp_path, {prefix + name: tensor for name, tensor in load_file(tmp_path / "model.safetensors").items()})
    ours = load_model(tmp_path)
    assert (ours.config.head, ours.config.pooler, ours.pooler is not None) == ("none", pooler, pooler)
    wanted = theirs(input_ids=batch()["tokens"])
    torch.testing.assert_close(ours(batch()["tokens"]).hidden, wanted.last_hidden_state, rtol=0, atol=1e-5)
    save_folder(tmp_path / "again", ours)
    assert load_model(tmp_path / "again").config == ours.config
    if pooler:
        pooled = ours.pooler(ours(batch()["tokens"]).hidden[:, 0])
        torch.testing.assert_close(pooled, wanted.pooler_output, rtol=0, atol=1e-5)


def test_half_a_pooler_is_not_a_pooler(tmp_path: pathlib.Path) -> None:
    theirs, _ = BERT.pair("none")
    theirs.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["pooler.dense.bias"]
    rewrite(tmp_path, tensors)
    with pytest.raises(CheckpointError, match=r"missing: pooler\.dense\.bias"):
        load_model(tmp_path)


def test_a_file_of_the_first_release_opens(tmp_path: pathlib.Path) -> None:
    """Its norms have a gamma and a beta, and beside the head of tokens stand the pooler and the second task."""
    theirs, _ = BERT.pair("pretraining")
    theirs.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertForMaskedLM"]}))
    old = {".weight": ".gamma", ".bias": ".beta"}
    tensors = {}
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        body, dot, kind = name.rpartition(".")
        tensors[body + old[dot + kind] if body.endswith("LayerNorm") else name] = tensor
    rewrite(tmp_path, tensors)
    ours = load_model(tmp_path)
    wanted = theirs(input_ids=batch()["tokens"]).prediction_logits
    assert (ours.head.logits(ours(batch()["tokens"]).hidden) - wanted).abs().max() / wanted.abs().max() < 1e-5
    rewrite(tmp_path, tensors | {"bert.embeddings.LayerNorm.weight": torch.ones(24)})  # which of the two is meant?
    with pytest.raises(CheckpointError, match=r"unexpected: bert\.embeddings\.LayerNorm\.gamma"):
        load_model(tmp_path)


def test_attention_to_look_at() -> None:
    theirs, ours = BERT.pair("language")
    theirs.set_attn_implementation("eager")
    data, valid = batch(), torch.arange(LONGEST) < LENGTHS[:, None]
    inputs = {"input_ids": data["tokens"], "attention_mask": valid.long()}
    wanted = theirs(**inputs, output_attentions=True).attentions
    collected = ours(data["tokens"], lengths=LENGTHS, collect=("attention",)).collected["attention"]
    for mine, yours in zip(collected, wanted, strict=True):
        torch.testing.assert_close(mine, yours, rtol=0, atol=1e-6)


def test_published_sizes() -> None:
    with torch.device("meta"):
        model = Bert(SIZES["bert-base"])
    assert sum(p.numel() for p in model.parameters()) == 109_514_298


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(Unsupported, match="position_embedding_type"):
        BertConfig.from_hf({"position_embedding_type": "relative_key"})
    with pytest.raises(Unsupported, match="is_decoder"):
        BertConfig.from_hf({"is_decoder": True})
    with pytest.raises(Unsupported, match="hidden_act"):
        BertConfig.from_hf({"hidden_act": "mish"})
    with pytest.raises(Unsupported, match="pruned_heads"):
        BertConfig.from_hf({"pruned_heads": {"0": [1]}})
    with pytest.raises(Unsupported, match="BertForMultipleChoice"):
        BertConfig.from_hf({"architectures": ["BertForMultipleChoice"]})
    with pytest.raises(ConfigError, match="do not divide"):
        BertConfig(width=10, heads=4)
    model = Bert(BertConfig.from_hf(SHAPE))
    with pytest.raises(ConfigError, match="longer than the model's learned positions"):
        model(torch.zeros(1, 21, dtype=torch.long))
    with pytest.raises(ConfigError, match="longer than the model's learned positions"):  # packed as well
        model(torch.zeros(2, 21, dtype=torch.long), lengths=torch.tensor([21, 3]))
