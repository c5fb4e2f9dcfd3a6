"""Our ModernBERT is ``transformers``' ModernBERT under every head: equal logits, losses and gradients, both ways."""

import json
import pathlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from torch import Tensor

from trivium.errors import ConfigError, Unsupported
from trivium.models.modernbert import SIZES, ModernBert, ModernBertConfig, weight_map
from trivium.nn.weight_map import export, load_into

SHAPE: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 64,
    "local_attention": 6,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")),
}
KINDS = {
    "language": transformers.ModernBertForMaskedLM,
    "classification": transformers.ModernBertForSequenceClassification,
    "regression": transformers.ModernBertForSequenceClassification,
    "tagging": transformers.ModernBertForTokenClassification,
    "span": transformers.ModernBertForQuestionAnswering,
    "none": transformers.ModernBertModel,
}
LABELS = {"classification": ["bad", "good", "neither"], "regression": ["score"], "tagging": ["O", "B-x", "I-x"]}
LENGTHS = [33, 5, 19]  # the window is 7 tokens wide
every_head = pytest.mark.parametrize("head", KINDS)


def labelled(head: str) -> dict[str, Any]:
    """What a ``config.json`` says of the labels of a head."""
    names = LABELS.get(head)
    if names is None:
        return {}
    numbered = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    return numbered | ({"problem_type": "regression"} if head == "regression" else {})


def pair(head: str, **changes: Any) -> tuple[transformers.PreTrainedModel, ModernBert]:
    torch.manual_seed(1)
    config = transformers.ModernBertConfig(**{**SHAPE, **labelled(head), **changes})
    theirs = KINDS[head]._from_config(config, attn_implementation="sdpa").eval()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    ours = ModernBert(ModernBertConfig.from_hf({**config.to_dict(), "architectures": [KINDS[head].__name__]})).eval()
    assert ours.config.head == head
    stored = theirs.state_dict()
    load_into(ours, weight_map(ours.config), stored, stored.__getitem__)
    return theirs, ours


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.tensor(LENGTHS)
    return {
        "tokens": torch.randint(61, (3, 33), generator=generator),
        "lengths": lengths,
        "valid": torch.arange(33) < lengths[:, None],
        "targets": torch.randint(61, (3, 33), generator=generator),
        "places": torch.tensor([23, 1, 7]),
    }


def their_answer(theirs: transformers.PreTrainedModel, head: str, data: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the head says at valid positions, and the mean loss as ``transformers`` has it."""
    valid, targets = data["valid"], data["targets"]
    labels = {
        "language": {"labels": targets.masked_fill(~valid, -100)},
        "classification": {"labels": targets[:, 0] % 3},
        "regression": {"labels": targets[:, 0].float()},
        "tagging": {"labels": (targets % 3).masked_fill(~valid, -100)},
    }.get(head, {})
    answer = theirs(input_ids=data["tokens"], attention_mask=valid.long(), **labels)
    if head == "none":
        hidden = answer.last_hidden_state[valid]
        return hidden, hidden.square().mean()
    if head == "span":  # transformers lets answers lie in the padding; ours do not
        scores = torch.stack([answer.start_logits, answer.end_logits], -1)
        places = torch.stack([data["places"], data["places"] + 1], -1)
        return scores[valid], F.cross_entropy(scores.masked_fill(~valid[..., None], -torch.inf), places)
    return (answer.logits if head in ("classification", "regression") else answer.logits[valid]), answer.loss


def our_answer(ours: ModernBert, head: str, data: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    hidden, valid, targets = ours(data["tokens"], lengths=data["lengths"]).hidden, data["valid"], data["targets"]
    words = torch.arange(33).expand(3, 33)
    if head == "language":
        return ours.head.logits(hidden[valid]), ours.head.nll_sum(hidden[valid], targets[valid]) / valid.sum()
    if head == "tagging":
        total = ours.tag.nll_sum(hidden, words, data["lengths"], targets % 3)
        return ours.tag.scores(hidden, words)[valid], total / valid.sum()
    if head == "span":
        total = ours.span.nll_sum(hidden, data["lengths"], data["places"], data["places"] + 1)
        return ours.span.scores(hidden, data["lengths"])[valid], total / 3
    if head == "none":
        return hidden[valid], hidden[valid].square().mean()
    logits = ours.classify(hidden, data["lengths"])
    if head == "regression":
        return logits, F.mse_loss(logits[:, 0], targets[:, 0].float())
    return logits, F.cross_entropy(logits, targets[:, 0] % 3)


@every_head
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_logits_loss_and_gradients(head: str, pooling: str) -> None:
    theirs, ours = pair(head, classifier_pooling=pooling, hidden_activation="gelu" if pooling == "cls" else "silu")
    data = batch()
    (wanted, loss), (logits, our_loss) = their_answer(theirs, head, data), our_answer(ours, head, data)
    assert (logits - wanted).abs().max() / wanted.abs().max() < 1e-5
    torch.testing.assert_close(our_loss, loss, rtol=1e-5, atol=0)
    loss.backward()
    our_loss.backward()
    gradients = {name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, weight_map(ours.config)))
    largest = max(parameter.grad.abs().max() for parameter in theirs.parameters())
    for name, parameter in theirs.named_parameters():
        # What moves all scores of a softmax alike has a gradient of 0 but for rounding.
        scale = max(parameter.grad.abs().max(), 1e-2 * largest)
        assert (mapped[name] - parameter.grad).abs().max() <= 1e-4 * scale, name


@every_head
@pytest.mark.parametrize("tied", [True, False])
def test_folder_opens_in_transformers(head: str, tied: bool, tmp_path: pathlib.Path) -> None:
    _, ours = pair(head, tie_word_embeddings=tied, classifier_dropout=0.3, classifier_pooling="mean")
    (tmp_path / "config.json").write_text(json.dumps(ours.config.to_hf()))
    save_file(dict(export(ours.state_dict(), weight_map(ours.config))), tmp_path / "model.safetensors")
    theirs, report = KINDS[head].from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["missing_keys"]
    data = batch()
    wanted, _ = their_answer(theirs.eval(), head, data)
    assert (our_answer(ours, head, data)[0] - wanted).abs().max() / wanted.abs().max() < 1e-5
    theirs.save_pretrained(tmp_path / "again")
    assert ModernBertConfig.from_hf(json.loads((tmp_path / "again" / "config.json").read_text())) == ours.config


@pytest.mark.parametrize(
    "angles",
    [
        {"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}},
        {"sliding_attention": {"rope_type": "default", "rope_theta": 50.0}},
    ],
    ids=["stretched", "another-base"],
)
def test_angles_of_both_kinds_of_layer(angles: dict[str, Any]) -> None:
    theirs, ours = pair("none", rope_parameters=angles)
    wanted = theirs(input_ids=batch()["tokens"]).last_hidden_state
    assert (ours(batch()["tokens"]).hidden - wanted).abs().max() / wanted.abs().max() < 1e-5


def test_both_spellings_of_a_config() -> None:
    old = {"global_rope_theta": 1000.0, "local_rope_theta": 100.0, "global_attn_every_n_layers": 2}
    read = ModernBertConfig.from_hf({**SHAPE, **old})
    new = transformers.ModernBertConfig(**SHAPE, **old).to_dict()
    assert read == ModernBertConfig.from_hf(new)
    for name in old:
        new.pop(name, None)
    assert read == ModernBertConfig.from_hf({**new, "architectures": None})
    assert (read.global_rope.base, read.local_rope.base, read.global_every_layers) == (1000.0, 100.0, 2)
    assert ModernBertConfig.from_hf({"global_rope_theta": 7.0, "local_rope_theta": None}).local_rope.base == 7.0


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes(size: str) -> None:
    with torch.device("meta"):
        ours = ModernBert(SIZES[size])
        theirs = transformers.ModernBertForMaskedLM(transformers.ModernBertConfig.from_dict(ours.config.to_hf()))
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in theirs.parameters())
    assert count // 1_000_000 == {"modernbert-base": 149, "modernbert-large": 395}[size]


def test_attention_to_look_at() -> None:
    theirs, ours = pair("none")
    theirs.set_attn_implementation("eager")
    data = batch()
    inputs = {"input_ids": data["tokens"], "attention_mask": data["valid"].long()}
    wanted = theirs(**inputs, output_attentions=True).attentions
    collected = ours(data["tokens"], lengths=data["lengths"], collect=("attention",)).collected["attention"]
    for mine, yours in zip(collected, wanted, strict=True):
        for row, length in enumerate(LENGTHS):
            torch.testing.assert_close(mine[row, :, :length], yours[row, :, :length], rtol=0, atol=1e-6)


@pytest.mark.parametrize("head", ["none", "language"])
def test_a_window_is_counted_within_a_document(head: str) -> None:
    _, ours = pair(head)
    ours, data = ours.double(), batch()
    alone = [ours(data["tokens"][[row], :length]).hidden[0] for row, length in enumerate(LENGTHS)]
    packed = torch.cat([data["tokens"][row, :length] for row, length in enumerate(LENGTHS)])[None]
    hidden = ours(packed, segments=torch.repeat_interleave(data["lengths"])[None]).hidden[0]
    torch.testing.assert_close(hidden, torch.cat(alone), rtol=0, atol=1e-10)
    padded = ours(data["tokens"], lengths=data["lengths"]).hidden[data["valid"]]
    torch.testing.assert_close(padded, torch.cat(alone), rtol=0, atol=1e-10)
    looked_at = ours(data["tokens"], lengths=data["lengths"], collect=("attention",)).hidden[data["valid"]]
    torch.testing.assert_close(looked_at, torch.cat(alone), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"norm_bias": True}, "norm_bias"),
        ({"decoder_bias": False}, "decoder_bias"),
        ({"mlp_dropout": 0.1}, "mlp_dropout"),
        ({"classifier_activation": "relu"}, "classifier_activation"),
        ({"hidden_activation": "mish"}, "hidden_activation"),
        ({"layer_types": ["sliding_attention"] * 4, "num_hidden_layers": 4}, "layer_types"),
        ({"rope_parameters": {"rope_theta": 10.0}}, "rope_parameters"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type"),
        ({"architectures": ["ModernBertForMultipleChoice"]}, "ModernBertForMultipleChoice"),
    ],
)
def test_what_cannot_be_computed_is_refused(said: dict[str, Any], name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        ModernBertConfig.from_hf(said)


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="window"):
        ModernBertConfig(local_tokens=0)


@pytest.mark.parametrize("head", ["tagging", "span"])
def test_the_dropout_of_a_head_stands_before_its_output(head: str) -> None:
    theirs, ours = pair(head, classifier_dropout=0.5)
    tokens = torch.arange(1, 41)[None]
    scored = ours.span.scores if head == "span" else lambda hidden: ours.tag.scores(hidden, torch.arange(40)[None])
    hidden = ours(tokens).hidden
    torch.manual_seed(0)
    given = theirs.train()(tokens)
    wanted = given.logits if head == "tagging" else torch.stack([given.start_logits, given.end_logits], dim=-1)
    torch.manual_seed(0)
    torch.testing.assert_close(scored(ours.train()(tokens).hidden), wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(scored(hidden), wanted, atol=1e-2)
