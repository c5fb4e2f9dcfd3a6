"""Our BERT is ``transformers``' BERT: the same weights give the same logits and gradients, both ways."""

import json
import pathlib

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

from trivium.errors import ConfigError, Unsupported
from trivium.models.bert import SIZES, Bert, BertConfig, weight_map
from trivium.nn.weight_map import export, load_into

SHAPE = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
KINDS = {"MaskedLM": transformers.BertForMaskedLM, "PreTraining": transformers.BertForPreTraining}


def pair(kind: str, **changes: object) -> tuple[transformers.PreTrainedModel, Bert]:
    torch.manual_seed(1)
    theirs = KINDS[kind](transformers.BertConfig(**{**SHAPE, **changes})).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    config = BertConfig.from_hf({**SHAPE, **changes, "architectures": [f"BertFor{kind}"]})
    ours = Bert(config).eval()
    stored = theirs.state_dict()
    load_into(ours, weight_map(config), stored, stored.__getitem__)
    return theirs, ours


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(61, (3, 17), generator=generator)
    lengths = torch.tensor([17, 5, 9])
    valid = torch.arange(17) < lengths[:, None]
    types = (torch.arange(17) > 3).long().expand(3, 17)
    targets = torch.randint(61, (3, 17), generator=generator)
    return {"tokens": tokens, "lengths": lengths, "valid": valid, "types": types, "targets": targets}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_logits_and_gradients(kind: str, activation: str) -> None:
    theirs, ours = pair(kind, hidden_act=activation)
    data = batch()
    inputs = {"input_ids": data["tokens"], "attention_mask": data["valid"].long(), "token_type_ids": data["types"]}
    answer = theirs(**inputs)
    all_wanted = answer.logits if kind == "MaskedLM" else answer.prediction_logits
    wanted = all_wanted[data["valid"]]
    hidden = ours(data["tokens"], lengths=data["lengths"], token_types=data["types"]).hidden
    logits = ours.head.logits(hidden[data["valid"]])
    assert (logits - wanted).abs().max() / wanted.abs().max() < 1e-5
    targets = data["targets"][data["valid"]]
    loss, our_loss = (
        F.cross_entropy(wanted, targets, reduction="sum"),
        ours.head.nll_sum(hidden[data["valid"]], targets),
    )
    if kind == "PreTraining":
        follows = ours.next_sentence(hidden)
        torch.testing.assert_close(follows, answer.seq_relationship_logits, rtol=0, atol=1e-5)
        loss, our_loss = loss + answer.seq_relationship_logits[:, 0].sum(), our_loss + follows[:, 0].sum()
    loss.backward()
    our_loss.backward()
    gradients = {name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, weight_map(ours.config)))
    for name, parameter in theirs.named_parameters():
        # A key's bias moves all scores of a query alike: its gradient is 0 but for rounding.
        scale = 1.0 if name.endswith("key.bias") else parameter.grad.abs().max()
        assert (mapped[name] - parameter.grad).abs().max() <= 1e-4 * scale, name


def test_token_types_are_the_first_where_not_given() -> None:
    theirs, ours = pair("MaskedLM")
    tokens = batch()["tokens"]
    wanted = theirs(input_ids=tokens).logits
    assert (ours.head.logits(ours(tokens).hidden) - wanted).abs().max() / wanted.abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_folder_opens_in_transformers(kind: str, tied: bool, tmp_path: pathlib.Path) -> None:
    _, ours = pair(kind, tie_word_embeddings=tied)
    (tmp_path / "config.json").write_text(json.dumps(ours.config.to_hf()))
    stored = dict(export(ours.state_dict(), weight_map(ours.config)))
    save_file(stored, tmp_path / "model.safetensors")
    theirs, report = KINDS[kind].from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    answer = theirs.eval()(input_ids=batch()["tokens"])
    wanted = answer.logits if kind == "MaskedLM" else answer.prediction_logits
    assert (ours.head.logits(ours(batch()["tokens"]).hidden) - wanted).abs().max() / wanted.abs().max() < 1e-5
    theirs.save_pretrained(tmp_path / "again")
    assert BertConfig.from_hf(json.loads((tmp_path / "again" / "config.json").read_text())) == ours.config


def test_a_pre_training_file_opens_without_its_second_task() -> None:
    theirs, ours = pair("PreTraining")
    config = BertConfig.from_hf({**SHAPE, "architectures": ["BertForMaskedLM"]})
    model, stored = Bert(config).eval(), theirs.state_dict()
    load_into(model, weight_map(config), stored, stored.__getitem__)
    assert torch.equal(model(batch()["tokens"]).hidden, ours(batch()["tokens"]).hidden)


def test_attention_to_look_at() -> None:
    theirs, ours = pair("MaskedLM")
    theirs.set_attn_implementation("eager")
    data = batch()
    inputs = {"input_ids": data["tokens"], "attention_mask": data["valid"].long()}
    wanted = theirs(**inputs, output_attentions=True).attentions
    collected = ours(data["tokens"], lengths=data["lengths"], collect=("attention",)).collected["attention"]
    for mine, yours in zip(collected, wanted, strict=True):
        torch.testing.assert_close(mine, yours, rtol=0, atol=1e-6)


def test_published_sizes() -> None:
    with torch.device("meta"):
        model = Bert(SIZES["bert-base"])
    assert sum(p.numel() for p in model.parameters()) == 109_514_298


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(Unsupported, match="position_embedding_type"):
        BertConfig.from_hf({"position_embedding_type": "relative_key"})
    with pytest.raises(Unsupported, match="as a decoder"):
        BertConfig.from_hf({"is_decoder": True})
    with pytest.raises(Unsupported, match="hidden_act"):
        BertConfig.from_hf({"hidden_act": "mish"})
    with pytest.raises(ConfigError, match="do not divide"):
        BertConfig(width=10, heads=4)
    model = Bert(BertConfig.from_hf(SHAPE))
    with pytest.raises(ConfigError, match="longer than the model's learned positions"):
        model(torch.zeros(1, 21, dtype=torch.long))
