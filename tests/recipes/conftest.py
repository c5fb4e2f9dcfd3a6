"""A small model to fine-tune and examples for it, made once."""

import pathlib

import pytest

from tests.recipes.texts import write_pairs
from tests.recipes.tuning import write_gpt2


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Prompts with completions."""
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.jsonl", 40)


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory, pairs: pathlib.Path) -> pathlib.Path:
    """A GPT-2 that can write them."""
    return write_gpt2(tmp_path_factory.mktemp("base") / "model", pairs.read_text())
