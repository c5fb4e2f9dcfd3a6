"""Decoders under a head of scores agree with ``XForSequenceClassification`` of ``transformers``, both ways."""

import pathlib

import pytest
import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as KNOWN

from tests.parity.decoder_families import FAMILIES
from tests.parity.decoder_families.family import VOCABULARY, Family
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.models.scored import with_scores

PAD = 3
HAVE = [family for family in FAMILIES if family.row.model_types[0] in KNOWN]
every_family = pytest.mark.parametrize("family", HAVE, ids=lambda family: family.name)


def ragged() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of several lengths, filled up with a token that is in no text."""
    lengths = torch.tensor([24, 9, 17])
    tokens = torch.randint(PAD + 1, VOCABULARY, (3, 24), generator=torch.Generator().manual_seed(0))
    return torch.where(torch.arange(24) < lengths[:, None], tokens, PAD), lengths


def theirs_of(model: torch.nn.Module) -> torch.Tensor:
    tokens, lengths = ragged()
    return model(tokens, attention_mask=(torch.arange(24) < lengths[:, None]).long()).logits


def ours_of(model: torch.nn.Module) -> torch.Tensor:
    tokens, lengths = ragged()
    return model.classify(model(tokens, lengths=lengths).hidden, lengths)


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    return ((a - b).abs().max() / b.abs().max()).item() < 1e-4


def test_most_families_are_here() -> None:
    wanted = {"llama", "gpt2", "qwen2", "qwen3", "mistral", "gemma", "opt", "gpt_neox", "falcon", "bloom", "phi3"}
    assert wanted <= {family.name for family in HAVE}


@torch.no_grad()
@every_family
def test_transformers_opens_what_is_saved_here(family: Family, tmp_path: pathlib.Path) -> None:
    network = with_scores(family.ours(family.reference(next(iter(family.cases)))), ("helpful", "harmless"), pad_id=PAD)
    save_folder(tmp_path / "m", network)
    opened, told = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "m", output_loading_info=True, attn_implementation="eager"
    )
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
    assert type(opened).__name__ == network.config.to_hf()["architectures"][0]
    expected = theirs_of(opened.eval())
    assert expected.shape == (3, 2)
    assert near(ours_of(network), expected)


@torch.no_grad()
@every_family
def test_what_transformers_saves_opens_here(family: Family, tmp_path: pathlib.Path) -> None:
    """A single output without a ``problem_type``, as most published reward models have it."""
    settings = {**family.shape, **next(iter(family.cases.values())), "attn_implementation": "eager"}
    settings |= {"num_labels": 1, "pad_token_id": PAD}
    torch.manual_seed(4)
    theirs = getattr(transformers, KNOWN[family.row.model_types[0]])(getattr(transformers, family.config)(**settings))
    for parameter in theirs.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    theirs.eval().save_pretrained(tmp_path / "m")
    network = load_model(tmp_path / "m")
    assert (network.config.labels, network.config.pad_id) == (("LABEL_0",), PAD)
    assert near(ours_of(network), theirs_of(theirs))
