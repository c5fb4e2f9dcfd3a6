"""Our XLNet is ``transformers``' XLNet: both streams, the memory, every head; the same weights, both ways.

Theirs is told an order by a matrix for each row (``perm_mask``) and what to predict by another (``target_mapping``).
"""

import json
import pathlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.models.xlnet import SIZES, XLNet, XLNetConfig, weight_map
from trivium.nn.weight_map import export, load_into

SHAPE = {
    "vocab_size": 61,
    "d_model": 24,
    "n_layer": 3,
    "n_head": 4,
    "d_inner": 40,
    "dropout": 0.0,
    "summary_last_dropout": 0.0,
    "mem_len": 7,
}
HEADS = {
    "language": transformers.XLNetLMHeadModel,
    "classification": transformers.XLNetForSequenceClassification,
    "regression": transformers.XLNetForSequenceClassification,
    "tagging": transformers.XLNetForTokenClassification,
    "span": transformers.XLNetForQuestionAnsweringSimple,
    "none": transformers.XLNetModel,
}
LENGTHS = [11, 4, 8]


def pair(head: str = "language", **changes: Any) -> tuple[transformers.PreTrainedModel, XLNet]:
    torch.manual_seed(1)
    if head == "regression":
        changes |= {"problem_type": "regression", "num_labels": 1}
    elif head in ("classification", "tagging"):
        changes["num_labels"] = 3
    config = transformers.XLNetConfig(**{**SHAPE, **changes})
    theirs = HEADS[head](config).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    written = json.loads(config.to_json_string(use_diff=False)) | {"architectures": [HEADS[head].__name__]}
    ours = XLNet(XLNetConfig.from_hf(written)).eval()
    stored = theirs.state_dict()
    load_into(ours, weight_map(ours.config), stored, stored.__getitem__)
    return theirs, ours


def drawn(high: int, *shape: int, seed: int = 2) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def an_order() -> tuple[Tensor, Tensor]:
    """Ranks of three rows of eleven, and four predicted positions in each; no prediction sees nothing."""
    ranks, predicted = torch.zeros(3, 11, dtype=torch.long), torch.tensor([[9, 2, 3, 0], [1, 2, 6, 10], [5, 4, 8, 7]])
    return ranks.scatter(1, predicted, torch.tensor([[2, 4, 1, 3]] * 3)), predicted


def as_theirs(ranks: Tensor, predicted: Tensor) -> dict[str, Tensor]:
    """Theirs forbids: a context position everything predicted, a predicted one itself and what comes after it."""
    forbidden = (ranks[:, None] >= ranks[:, :, None]) & (ranks[:, None] > 0)
    return {"perm_mask": forbidden.float(), "target_mapping": F.one_hot(predicted, ranks.shape[1]).float()}


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def same_gradients(ours: nn.Module, theirs: nn.Module) -> None:
    gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in ours.named_parameters()}
    gradients |= dict.fromkeys(weight_map(ours.config).tied, gradients["embedding.weight"])
    mapped = dict(export(gradients, weight_map(ours.config)))
    for name, parameter in theirs.named_parameters():
        wanted = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert (mapped[name] - wanted).abs().max() <= 1e-4 * wanted.abs().max() + 1e-7, name


@pytest.mark.parametrize("changes", [{}, {"clamp_len": 3}, {"ff_activation": "gelu_new"}, {"ff_activation": "relu"}])
@pytest.mark.parametrize("typed", [True, False])
def test_two_streams_and_a_memory_carried_over_two_segments(changes: dict[str, Any], typed: bool) -> None:
    theirs, ours = pair(**changes)
    ranks, predicted = an_order()
    first, second, targets = drawn(61, 3, 9), drawn(61, 3, 11, seed=3), drawn(61, 3, 4, seed=4)
    types = drawn(3, 3, 11, seed=5) if typed else None
    answer = theirs(first, use_mems=True)
    answer = theirs(
        second, mems=answer.mems, use_mems=True, token_type_ids=types, labels=targets, **as_theirs(ranks, predicted)
    )
    answer.loss.backward()
    state = ours(first, state=ours.new_state(3, 100)).state
    output = ours(second, state=state, ranks=ranks, predicted=predicted, token_types=types)
    close(ours.head.logits(output.hidden), answer.logits)
    total = ours.head.nll_sum(output.hidden, targets)
    assert abs(total / targets.numel() - answer.loss) < 1e-5
    (total / targets.numel()).backward()
    same_gradients(ours, theirs)
    for mine, yours in zip(output.state.layers, answer.mems, strict=True):
        close(mine.hidden, yours.transpose(0, 1))
    assert output.state.lengths.tolist() == [20, 20, 20]


def what_theirs_says(head: str, theirs: nn.Module, row: dict[str, Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
    """What is to be compared of one text, and a loss of it."""
    if head == "regression":
        answer = theirs(**row, labels=labels[:1].float())
        return answer.logits, answer.loss
    if head == "classification":
        answer = theirs(**row, labels=labels[:1])
        return answer.logits, answer.loss
    if head == "span":
        answer = theirs(**row, start_positions=labels[:1], end_positions=labels[1:2])
        return torch.stack([answer.start_logits, answer.end_logits], dim=-1), answer.loss
    said = theirs(**row)[0]
    if head == "tagging":
        return said, F.cross_entropy(said[0], labels[: said.shape[1]], reduction="sum")
    return said, said.square().sum()


def what_ours_says(head: str, ours: XLNet, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The same of all three texts."""
    lengths = torch.tensor(LENGTHS)
    if head == "classification":
        logits = ours.classify(hidden, lengths)
        return logits, F.cross_entropy(logits, labels[:, 0], reduction="sum")
    if head == "regression":
        logits = ours.classify(hidden, lengths)
        return logits, (logits[:, 0] - labels[:, 0]).square().sum()
    if head == "span":
        return ours.span.scores(hidden, lengths), ours.span.nll_sum(hidden, lengths, labels[:, 0], labels[:, 1])
    if head == "tagging":
        words = torch.arange(11).expand(3, 11)
        return ours.tag.scores(hidden, words), ours.tag.nll_sum(hidden, words, lengths, labels)
    said = ours.head.logits(hidden) if head == "language" else hidden
    return said, said[torch.arange(11) < lengths[:, None]].square().sum()


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("head", HEADS)
def test_heads(head: str, typed: bool) -> None:
    """Theirs is given each row by itself: it would take a padding for the last token."""
    theirs, ours = pair(head)
    tokens, labels = drawn(61, 3, 11), drawn(3, 3, 11, seed=4)
    types = drawn(2, 3, 11, seed=3) if typed else None
    hidden = ours(tokens, lengths=torch.tensor(LENGTHS), token_types=types).hidden
    said, loss = what_ours_says(head, ours, hidden, labels)
    wanted_loss = torch.zeros(())
    for b, n in enumerate(LENGTHS):
        row = {"input_ids": tokens[[b], :n]} | ({"token_type_ids": types[[b], :n]} if typed else {})
        wanted, loss_of_row = what_theirs_says(head, theirs, row, labels[b])
        close(said[[b], :n] if said.dim() == 3 else said[[b]], wanted)
        wanted_loss = wanted_loss + loss_of_row
    assert abs(loss - wanted_loss) <= 1e-5 * wanted_loss
    loss.backward()
    wanted_loss.backward()
    same_gradients(ours, theirs)


@pytest.mark.parametrize("head", HEADS)
def test_folder_opens_in_transformers_and_back(head: str, tmp_path: pathlib.Path) -> None:
    _, ours = pair(head, clamp_len=5)
    (tmp_path / "config.json").write_text(json.dumps(ours.config.to_hf()))
    save_file(dict(export(ours.state_dict(), weight_map(ours.config))), tmp_path / "model.safetensors")
    theirs, report = HEADS[head].from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokens = drawn(61, 2, 6)
    hidden, answer = ours(tokens).hidden, theirs.eval()(tokens)
    said = {
        "language": lambda: ours.head.logits(hidden),
        "classification": lambda: ours.classify(hidden),
        "regression": lambda: ours.classify(hidden),
        "tagging": lambda: ours.tag.scores(hidden, torch.arange(6).expand(2, 6)),
        "span": lambda: ours.span.scores(hidden)[..., 0],
        "none": lambda: hidden,
    }
    close(said[head](), answer[0])
    theirs.save_pretrained(tmp_path / "again")
    assert XLNetConfig.from_hf(json.loads((tmp_path / "again" / "config.json").read_text())) == ours.config


def test_an_output_of_its_own(tmp_path: pathlib.Path) -> None:
    theirs, ours = pair(tie_word_embeddings=False)
    tokens = drawn(61, 2, 6)
    assert not torch.equal(ours.head.weight, ours.embedding.weight)
    close(ours.head.logits(ours(tokens).hidden), theirs(tokens).logits)


def test_attention_to_look_at() -> None:
    theirs, ours = pair()
    ranks, predicted = an_order()
    tokens = drawn(61, 3, 11)
    wanted = theirs(tokens, output_attentions=True, **as_theirs(ranks, predicted)).attentions
    collected = ours(tokens, ranks=ranks, predicted=predicted, collect=("attention",)).collected["attention"]
    assert len(collected) == 3
    for mine, (contents, queries) in zip(collected, wanted, strict=True):
        at_places = queries.gather(2, predicted[:, None, :, None].expand(-1, 4, -1, 11))
        torch.testing.assert_close(mine, torch.cat([contents, at_places], dim=2), rtol=0, atol=1e-6)


def test_published_sizes() -> None:
    for size, (width, layers, parameters) in {
        "xlnet-base": (768, 12, 116_750_336),
        "xlnet-large": (1024, 24, 360_300_800),
    }.items():
        with torch.device("meta"):
            model = XLNet(SIZES[size])
        assert (model.config.width, model.config.layers) == (width, layers)
        assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("attn_type", "uni"),
        ("bi_data", True),
        ("same_length", True),
        ("untie_r", False),
        ("reuse_len", 256),
        ("d_head", 7),
        ("ff_activation", "mish"),
        ("summary_type", "mean"),
        ("summary_use_proj", False),
        ("summary_activation", None),
        ("problem_type", "multi_label_classification"),
    ],
)
def test_what_is_not_computed_is_refused(option: str, value: object) -> None:
    with pytest.raises(Unsupported, match=option):
        XLNetConfig.from_hf({**SHAPE, "architectures": ["XLNetForSequenceClassification"], option: value})


def test_other_refusals() -> None:
    for name in ("XLNetForMultipleChoice", "XLNetForQuestionAnswering"):
        with pytest.raises(Unsupported, match="XLNetForQuestionAnsweringSimple"):
            XLNetConfig.from_hf({**SHAPE, "architectures": [name]})
    with pytest.raises(ConfigError, match="multiple of the heads"):
        XLNetConfig(width=10, heads=4)
    theirs, ours = pair()
    stored = theirs.state_dict()
    stored["transformer.layer.1.rel_attn.k"] = stored["transformer.layer.1.rel_attn.k"].reshape(24, 6, 4)
    with pytest.raises(CheckpointError, match=r"layer\.1\.rel_attn\.k"):
        load_into(ours, weight_map(ours.config), stored, stored.__getitem__)
