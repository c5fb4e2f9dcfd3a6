"""Our RoBERTa is ``transformers``' RoBERTa, XLM-RoBERTa and CamemBERT: logits, losses and gradients, both ways."""

import json
import pathlib

import pytest
import torch
import transformers

from tests.parity.encoder_heads import (
    HEADS,
    SHAPE,
    Family,
    batch,
    check_logits_loss_and_gradients,
    check_round_trip,
    says,
    they_say,
)
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.errors import ConfigError, Unsupported
from trivium.models.roberta import SIZES, Roberta, RobertaConfig

ROBERTA = Family("Roberta", "roberta")
ITS_HEADS = [head for head in HEADS if head != "pretraining"]


@pytest.mark.parametrize("head", ITS_HEADS)
def test_logits_loss_and_gradients(head: str) -> None:
    check_logits_loss_and_gradients(*ROBERTA.pair(head), head)


@pytest.mark.parametrize("head", ITS_HEADS)
def test_folders_open_in_both(head: str, tmp_path: pathlib.Path) -> None:
    check_round_trip(*ROBERTA.pair(head), tmp_path)


def test_an_untied_folder_opens_in_both(tmp_path: pathlib.Path) -> None:
    check_round_trip(*ROBERTA.pair("language", tie_word_embeddings=False), tmp_path)


@pytest.mark.parametrize(("name", "model_type"), [("XLMRoberta", "xlm-roberta"), ("Camembert", "camembert")])
@pytest.mark.parametrize("head", ["language", "classification", "none"])
def test_the_same_network_under_other_names(name: str, model_type: str, head: str, tmp_path: pathlib.Path) -> None:
    theirs, _ = Family(name, model_type).pair(head)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    wanted = they_say(theirs(input_ids=batch()["tokens"]))
    assert (says(ours) - wanted).abs().max() / wanted.abs().max() < 1e-5
    save_folder(tmp_path / "ours", ours)
    saved = json.loads((tmp_path / "ours" / "config.json").read_text())
    opened = getattr(transformers, saved["architectures"][0]).from_pretrained(tmp_path / "ours").eval()
    torch.testing.assert_close(they_say(opened(input_ids=batch()["tokens"])), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pad_id", [0, 5])
def test_another_piece_that_pads(pad_id: int) -> None:
    """The table of positions begins with as many unused rows."""
    theirs, ours = ROBERTA.pair("language", pad_token_id=pad_id)
    assert ours.config.context_tokens == 20 - pad_id - 1
    tokens = 6 + batch()["tokens"][:, :14] % 55
    wanted = theirs(input_ids=tokens).logits
    assert (ours.head.logits(ours(tokens).hidden) - wanted).abs().max() / wanted.abs().max() < 1e-5


def test_positions_go_by_place() -> None:
    """A piece that pads in the middle of a text moves nothing; `transformers` would give it no position."""
    theirs, ours = ROBERTA.pair("language")
    tokens = batch()["tokens"].clone()
    tokens[:, 3] = 1
    position_ids = torch.arange(2, 19).expand(3, 17)
    wanted = theirs(input_ids=tokens, position_ids=position_ids).logits
    assert (ours.head.logits(ours(tokens).hidden) - wanted).abs().max() / wanted.abs().max() < 1e-5


def test_published_sizes() -> None:
    with torch.device("meta"):
        base, large = Roberta(SIZES["roberta-base"]), Roberta(SIZES["xlm-roberta-large"])
    assert sum(p.numel() for p in base.parameters()) == 124_697_433
    assert sum(p.numel() for p in large.parameters()) == 560_142_482


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(Unsupported, match="RobertaForCausalLM"):
        RobertaConfig.from_hf({"architectures": ["RobertaForCausalLM"]})
    with pytest.raises(Unsupported, match="XLMRobertaForMaskedLM"):  # one name in config.json, another's architecture
        RobertaConfig.from_hf({"model_type": "roberta", "architectures": ["XLMRobertaForMaskedLM"]})
    with pytest.raises(Unsupported, match="pad_token_id"):
        RobertaConfig.from_hf({"pad_token_id": None})
    model = Roberta(RobertaConfig.from_hf(SHAPE))
    with pytest.raises(ConfigError, match="longer than the model's learned positions"):
        model(torch.zeros(1, 19, dtype=torch.long))
