"""What the inspections say, against the plainest way to compute it."""

import math

import numpy as np
import pytest
import torch

from trivium import tokenizers
from trivium.evaluation import inspection
from trivium.models.llama import Llama, LlamaConfig


@pytest.fixture(scope="module")
def model() -> Llama:
    torch.manual_seed(0)
    return Llama(LlamaConfig(vocabulary_size=50, width=32, layers=2, heads=2, inner_width=64, context_tokens=32)).eval()


def test_token_bits_are_those_of_each_document_alone(model: Llama):
    documents = [[1, 5, 9, 2], [7, 3], [4, 4, 4, 8, 6, 1, 0, 2], [9]]
    found = inspection.token_bits(model, documents, context_tokens=5, rows=2)
    for document, bits in zip(documents, found, strict=True):
        ids = torch.tensor([document[:6]])
        with torch.no_grad():
            log_probs = torch.log_softmax(model.head(model(ids).hidden), -1)[0]
        expected = [-log_probs[t, ids[0, t + 1]].item() / math.log(2) for t in range(ids.shape[1] - 1)]
        np.testing.assert_allclose(bits, expected, rtol=1e-4)


def test_expectations_are_sorted_probabilities(model: Llama):
    likely = inspection.expectations(model, [1, 2, 3], 50)
    chances = [chance for _, chance in likely]
    assert chances == sorted(chances, reverse=True) and sum(chances) == pytest.approx(1, abs=1e-5)


def test_attention_is_a_distribution_over_the_past(model: Llama):
    weights = inspection.attention_weights(model, [1, 2, 3, 4, 5, 6])
    assert len(weights) == 2 and weights[0].shape == (2, 6, 6)
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(2, 6))
    assert weights[0].triu(1).abs().max() == 0


def test_the_telling_head_is_the_one_that_looks_far_and_surely():
    size = 8
    behind = torch.eye(size).roll(-1, dims=1).tril()  # looks at the piece before
    far = torch.zeros(size, size)
    far[:, 2] = 1  # looks at the third piece from everywhere
    even = torch.tril(torch.ones(size, size)) / torch.arange(1, size + 1)[:, None]
    assert inspection.telling_heads([torch.stack([behind, even, far.tril()])], 1) == [(0, 2)]


def test_nearest_pieces_leave_out_the_piece_itself(model: Llama):
    with torch.no_grad():
        model.embedding.weight[7] = model.embedding.weight[3] + 0.001
    found = inspection.nearest_pieces(model, 3, 2, [1, 2, 3, 7, 9])
    assert found[0][0] == 7 and found[0][1] > 0.99 and 3 not in [token for token, _ in found]


def test_kinds_of_bytes_go_on_across_pieces():
    pieces = [b"def", b"ine x", b"_1 =", b" 2\n", b"    ret"]
    names = [[inspection.KINDS[kind] for kind in kinds] for kinds in inspection.kinds_of_bytes(pieces)]
    first, within, space, digit, sign = (inspection.KINDS[i] for i in (2, 3, 1, 4, 5))
    assert names[0] == [first, within, within]
    assert names[1] == [within, within, within, space, first]
    assert names[2] == [sign, digit, space, sign]
    assert names[3] == [space, digit, inspection.KINDS[0]]
    assert names[4] == [inspection.KINDS[0]] * 4 + [first, within, within]


def test_bits_are_shared_out_over_the_bytes_of_a_piece():
    tokenizer = tokenizers.train(["ab 12 " * 50], kind="character")
    document = [tokenizer.bos_id, *tokenizer.encode("ab 1"), tokenizer.eos_id]
    by_kind = inspection.bits_by_kind(tokenizer, [document], [np.array([1.0, 3.0, 0.5, 4.0, 100.0])])
    assert by_kind[[2, 3, 1, 4]].tolist() == [1.0, 3.0, 0.5, 4.0]
    assert math.isnan(by_kind[5])
