"""A tiny model that speaks nonsense, and a tiny text to train on, for the tests of the command line."""

import pathlib

import torch

from trivium import tokenizers
from trivium.lm.load import save
from trivium.lm.local import LocalModel
from trivium.models.llama import Llama, LlamaConfig

TEXT = "the quick brown fox jumps over the lazy dog. User: Assistant:\nHow are you, 0123456789?"


def write_model(
    folder: pathlib.Path, *, context_tokens: int = 128, special: tokenizers.SpecialTokens | None = None
) -> str:
    """An untrained LLaMA of some thousand parameters, with a character vocabulary."""
    tokenizer = tokenizers.train([TEXT], kind="character", vocabulary_size=128, special=special)
    shape = LlamaConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        width=16,
        layers=1,
        heads=2,
        key_value_heads=2,
        inner_width=32,
        context_tokens=context_tokens,
    )
    torch.manual_seed(0)
    save(LocalModel(Llama(shape), tokenizer), folder)
    return str(folder)
