"""What fine-tuning is asked, on the command line and in a recipe file: both leave what they do not name as it is."""

import pathlib

import pytest

from trivium.adapters.sites import ALL_LINEAR
from trivium.cli import arguments
from trivium.cli.verbs import VERBS
from trivium.recipes.finetune_config import FinetuneConfig

VERB = next(verb for verb in VERBS if verb.name == "finetune")


def parsed(*words: str) -> FinetuneConfig:
    return arguments.parse(FinetuneConfig, VERB, [*words, "--model", "a", "--data", "b"])


@pytest.mark.parametrize(
    ("written", "flags"),
    [
        ("{method: lora, lora: {rank: 16}}", ()),
        ("{method: lora, lora: {rank: 4}}", ("--lora.rank", "16")),
        ("{lora: {rank: 16}}", ("--method", "lora")),
    ],
    ids=["in the file", "in both", "in parts"],
)
def test_a_lora_of_another_rank_goes_to_all_matrices(written: str, flags: tuple[str, ...], tmp_path: pathlib.Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(written)
    config = parsed(str(recipe), *flags)
    assert (config.lora.rank, config.lora.targets) == (16, ALL_LINEAR)
    assert config == parsed("--method", "lora", "--lora.rank", "16")
