"""A grown network reads old text as before; new rows are means of those they are made of."""

import dataclasses

import pytest
import torch

from trivium.checkpoints.vocabulary import grown
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.gptj import GPTJ, GPTJConfig
from trivium.models.llama import Llama, LlamaConfig

LLAMA = LlamaConfig(vocabulary_size=11, width=16, layers=2, heads=2, key_value_heads=2, inner_width=24, tied=False)
MADE_OF = {11: [1, 2], 12: [3, 4, 4]}


@pytest.mark.parametrize("tied", [False, True])
def test_old_text_reads_as_before(tied: bool):
    torch.manual_seed(0)
    model = Llama(dataclasses.replace(LLAMA, tied=tied)).eval()
    larger = grown(model, MADE_OF)
    ids = torch.arange(11)[None]
    before, after = model.head(model(ids).hidden), larger.head(larger(ids).hidden)
    torch.testing.assert_close(after[..., :11], before)
    rows = larger.embedding.weight
    torch.testing.assert_close(rows[11], (rows[1] + rows[2]) / 2)
    torch.testing.assert_close(rows[12], (rows[3] + 2 * rows[4]) / 3)
    # A mean of rows of the output gives the mean of their logits.
    torch.testing.assert_close(after[..., 11], (before[..., 1] + before[..., 2]) / 2)
    assert not larger.training and larger.config.vocabulary_size == 13


def test_a_bias_of_the_output_grows_too():
    torch.manual_seed(0)
    model = GPTJ(GPTJConfig(vocabulary_size=11, width=16, layers=1, heads=2, inner_width=24, context_tokens=16)).eval()
    ids = torch.arange(11)[None]
    before, larger = model.head(model(ids).hidden), grown(model, MADE_OF)
    torch.testing.assert_close(larger.head(larger(ids).hidden)[..., 11], (before[..., 1] + before[..., 2]) / 2)


def test_rows_that_are_there_are_used():
    """A vocabulary of 9 in an embedding of 11."""
    model = GPT2(GPT2Config(vocabulary_size=11, width=16, layers=1, heads=2, context_tokens=11)).eval()
    larger = grown(model, {9: [0, 1]})
    assert larger.config.vocabulary_size == 11
    rows = larger.embedding.weight
    torch.testing.assert_close(rows[9], (rows[0] + rows[1]) / 2)
    # As many positions as pieces: only the vocabulary changes.
    assert all(
        torch.equal(value, larger.state_dict()[name])
        for name, value in model.state_dict().items()
        if "position" in name
    )
