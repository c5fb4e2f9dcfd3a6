"""A saved body under a new head: all of it is taken, the head is new, and what does not fit is refused."""

import json
import pathlib

import pytest
import torch

from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.checkpoints.transplant import HEADS, heads_of, with_head
from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.models import ARCHITECTURES
from trivium.models.bert import Bert, BertConfig
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.t5 import T5, T5Config

SHAPE = {"vocabulary_size": 20, "width": 16, "layers": 2, "heads": 2, "inner_width": 24, "context_tokens": 12}


@pytest.fixture
def saved(tmp_path: pathlib.Path) -> pathlib.Path:
    torch.manual_seed(0)
    save_folder(tmp_path / "bert", Bert(BertConfig(**SHAPE)))
    return tmp_path / "bert"


@pytest.mark.parametrize(
    ("head", "labels"),
    [
        ("classification", ("no", "yes")),
        ("regression", ("score",)),
        ("tagging", ("O", "B-x")),
        ("span", ()),
        ("none", ()),
    ],
)
def test_every_tensor_of_the_body_is_the_saved_one(saved: pathlib.Path, head: str, labels: tuple[str, ...]):
    before = load_model(saved).state_dict()
    network = with_head(saved, head, labels)
    assert (network.config.head, network.config.labels, network.training) == (head, labels, False)
    found = network.state_dict()
    new = {name.split(".")[0] for name in found if name not in before}
    assert new <= HEADS | {"pooler"} and (head == "none") == (new == set())
    assert all(tensor.equal(before[name]) for name, tensor in found.items() if name in before)
    lost = {name.split(".")[0] for name in before if name not in found}
    assert lost == {"head"}


def test_the_hidden_states_are_those_of_the_saved_model(saved: pathlib.Path):
    tokens, lengths = torch.randint(20, (3, 9)), torch.tensor([9, 4, 6])
    expected = load_model(saved)(tokens, lengths=lengths).hidden
    assert with_head(saved, "tagging", ("O", "X"))(tokens, lengths=lengths).hidden.equal(expected)


def test_fresh_keeps_the_shape_and_nothing_else(saved: pathlib.Path):
    torch.manual_seed(5)
    based = with_head(saved, "span", ())
    torch.manual_seed(5)
    fresh = with_head(saved, "span", (), fresh=True)
    assert based.config == fresh.config
    ours, theirs = based.state_dict(), fresh.state_dict()
    assert {name for name in ours if ours[name].equal(theirs[name])} >= {"span.output.weight", "span.output.bias"}
    assert not ours["embedding.weight"].equal(theirs["embedding.weight"])
    assert not ours["blocks.1.attention.qkv.weight"].equal(theirs["blocks.1.attention.qkv.weight"])


def test_a_classifier_is_given_a_new_head_of_its_kind(saved: pathlib.Path, tmp_path: pathlib.Path):
    torch.manual_seed(1)
    first = with_head(saved, "classification", ("a", "b"), dropout=0.3)
    assert first.config.dropout == 0.3
    save_folder(tmp_path / "first", first)
    second = with_head(tmp_path / "first", "classification", ("c", "d"))
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours["pooler.linear.weight"].equal(theirs["pooler.linear.weight"])
    assert not ours["classify.output.weight"].equal(theirs["classify.output.weight"])


def test_the_pooler_is_taken_from_a_file_whose_own_head_does_not_stand_on_it(tmp_path: pathlib.Path):
    """As in bert-base-uncased: a masked model by its config.json, whose file holds all that was pre-trained."""
    torch.manual_seed(2)
    whole = Bert(BertConfig(**SHAPE, head="pretraining"))
    save_folder(tmp_path / "bert", whole)
    config = json.loads((tmp_path / "bert" / "config.json").read_text())
    (tmp_path / "bert" / "config.json").write_text(json.dumps(config | {"architectures": ["BertForMaskedLM"]}))
    (tmp_path / "bert" / "manifest.json").unlink()
    assert load_model(tmp_path / "bert").state_dict().keys().isdisjoint({"pooler.linear.weight"})
    network = with_head(tmp_path / "bert", "classification", ("a", "b"))
    for kind in ("weight", "bias"):
        name = f"pooler.linear.{kind}"
        assert network.state_dict()[name].equal(whole.state_dict()[name])
    assert network.classify.transform is network.pooler
    fresh = with_head(tmp_path / "bert", "classification", ("a", "b"), fresh=True)
    assert not fresh.pooler.linear.weight.equal(whole.pooler.linear.weight)


def test_a_decoder_may_be_left_behind(tmp_path: pathlib.Path):
    config = T5Config(vocabulary_size=20, width=16, layers=1, heads=2, head_width=8, inner_width=24)
    save_folder(tmp_path / "t5", T5(config))
    network = with_head(tmp_path / "t5", "tagging", ("O", "X"))
    tokens = torch.randint(20, (2, 5))
    assert network.tag.scores(network(tokens).hidden, torch.tensor([[0], [1]])).shape == (2, 1, 2)


def test_what_cannot_be_is_refused(saved: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(Unsupported, match=r"(?s)no head for this.*received: dancing.*classification"):
        with_head(saved, "dancing", ())
    with pytest.raises(ConfigError, match="cannot be the labels"):
        with_head(saved, "tagging", ())
    save_folder(tmp_path / "gpt2", GPT2(GPT2Config(vocabulary_size=9, width=8, layers=1, heads=1, context_tokens=8)))
    with pytest.raises(Unsupported, match="no head but its own"):
        with_head(tmp_path / "gpt2", "classification", ("a", "b"))
    with pytest.raises(
        CheckpointError, match=r"(?s)does not fit under the new head.*positions\.weight: \[12, 16\].*10"
    ):
        with_head(saved, "span", (), context_tokens=10)
    with pytest.raises(CheckpointError, match=r"(?s)left over: blocks\.1\."):
        with_head(saved, "span", (), layers=1)
    with pytest.raises(CheckpointError, match=r"missing: blocks\.2\.attention\.qkv\.weight"):
        with_head(saved, "span", (), layers=3)
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(CheckpointError):
        with_head(saved, "span", ())


def test_the_heads_of_each_architecture_are_read_off_its_configuration():
    named = {row.name: set(heads_of(row.config_class())) for row in ARCHITECTURES}
    assert named["llama"] == named["transformer"] == set()
    assert named["bert"] >= {"language", "classification", "regression", "tagging", "span", "none"}
    assert named["bilstm"] == {"classification", "regression", "tagging", "span"}
