"""Prefix language modelling: what is trained, and who sees what."""

import numpy as np
import pytest
import torch

from trivium.data.batches import Seq2SeqBatch
from trivium.errors import DataError
from trivium.models.glm import GLM, GLMConfig
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.objectives.causal import causal
from trivium.objectives.prefix import continuation, cut_prefix
from trivium.objectives.seq2seq import seq2seq

ROWS = [([1, 2, 3], [4, 5]), ([6], [7, 8, 9, 1, 2]), ([3, 3, 3, 3], [5])]


def test_every_place_to_cut() -> None:
    rng = np.random.default_rng(0)
    text = [1, 2, 3, 4]
    cuts = [cut_prefix(text, rng) for _ in range(900)]
    assert all(prefix + rest == text for prefix, rest in cuts)
    assert np.bincount([len(prefix) for prefix, _ in cuts]).tolist()[0] == 0
    assert min(np.bincount([len(prefix) for prefix, _ in cuts])[1:]) > 240
    with pytest.raises(DataError, match="at least two tokens"):
        cut_prefix([1], rng)


def test_a_decoder_is_trained_on_what_follows() -> None:
    batch = continuation(ROWS)
    assert [batch.targets[b][batch.mask[b]].tolist() for b in range(3)] == [rest for _, rest in ROWS]
    assert batch.lengths.tolist() == [4, 5, 4]
    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocabulary_size=10, width=16, layers=2, heads=2, context_tokens=16)).double().eval()
    wanted = 0.0
    for prefix, rest in ROWS:
        row = torch.tensor([[*prefix, *rest]])
        log_probs = model.head.logits(model(row[:, :-1]).hidden).log_softmax(-1)
        wanted -= log_probs[0, torch.arange(len(prefix) - 1, row.shape[1] - 1), torch.tensor(rest)].sum()
    loss = causal(model, batch)
    torch.testing.assert_close(loss.total, wanted, rtol=1e-10, atol=0)
    assert loss.count == 8


def test_only_glm_reads_the_prefix_as_a_whole() -> None:
    """The loss depends on the first token's vector through the others' only where they see one another."""
    torch.manual_seed(0)
    model = GLM(GLMConfig(vocabulary_size=10, width=16, layers=2, heads=2, context_tokens=16)).double().eval()
    vectors = model.embed(torch.tensor([[1, 2, 3, 4]])).detach().requires_grad_()
    model.read(embeddings=vectors).hidden[0, 0].sum().backward()
    assert bool(vectors.grad[0, 3].abs().sum() > 0), "the first token sees the last of the prefix"
    lengths = torch.tensor([3])
    batch = Seq2SeqBatch(
        torch.tensor([[1, 2, 3]]), lengths, torch.tensor([[0, 4]]), torch.tensor([[4, 5]]),
        torch.ones(1, 2, dtype=torch.bool), torch.tensor([2]),
    )  # fmt: skip
    assert seq2seq(model, batch).count == 2
