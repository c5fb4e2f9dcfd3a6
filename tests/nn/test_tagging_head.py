"""Tags of words from the hidden states of their first pieces."""

import pytest
import torch
import torch.nn.functional as F

from trivium.nn.tagging_head import TaggingHead

D, N = 5, 3
WORDS, LENGTHS = torch.tensor([[0, 2, 3], [1, 0, 0]]), torch.tensor([3, 1])
TAGS = torch.tensor([[2, 0, 1], [1, 0, 0]])
HIDDEN = torch.randn(2, 4, D, generator=torch.Generator().manual_seed(3))


def build(crf: bool = False) -> TaggingHead:
    head = TaggingHead(D, N, crf=crf, dropout=0.5).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def test_a_word_is_read_at_its_first_piece() -> None:
    head = build()
    scores = head.scores(HIDDEN, WORDS)
    assert torch.equal(scores[0], head.output(HIDDEN[0, [0, 2, 3]]))
    changed = HIDDEN.clone()
    changed[0, 1] += 1  # no word begins there
    assert torch.equal(head.scores(changed, WORDS), scores)


def test_independent_tags() -> None:
    head = build()
    logits = torch.cat([head.output(HIDDEN[0, [0, 2, 3]]), head.output(HIDDEN[1, [1]])])
    wanted = F.cross_entropy(logits, torch.tensor([2, 0, 1, 1]), reduction="sum")
    torch.testing.assert_close(head.nll_sum(HIDDEN, WORDS, LENGTHS, TAGS), wanted)
    best = logits.argmax(-1).tolist()
    assert head.decode(HIDDEN, WORDS, LENGTHS) == [best[:3], best[3:]]


def test_a_crf_judges_them_together() -> None:
    head = build(crf=True)
    scores = head.scores(HIDDEN, WORDS)
    torch.testing.assert_close(head.nll_sum(HIDDEN, WORDS, LENGTHS, TAGS), head.crf(scores, LENGTHS, TAGS).sum())
    assert head.decode(HIDDEN, WORDS, LENGTHS) == head.crf.best_path(scores, LENGTHS)
    with torch.no_grad():
        head.crf.transitions.fill_(-1e4).fill_diagonal_(0.0)  # a text has one tag
    first, second = head.decode(HIDDEN, WORDS, LENGTHS)
    assert len(set(first)) == 1
    assert (len(first), len(second)) == (3, 1)


@pytest.mark.parametrize("crf", [False, True])
def test_other_tags_where_no_words_are(crf: bool) -> None:
    head, other = build(crf), TAGS.clone()
    for tag in (2, -100):
        other[1, 1:] = tag
        assert torch.equal(head.nll_sum(HIDDEN, WORDS, LENGTHS, other), head.nll_sum(HIDDEN, WORDS, LENGTHS, TAGS))


def test_scores_are_float32_at_least() -> None:
    assert build().bfloat16().scores(HIDDEN.bfloat16(), WORDS).dtype == torch.float32
    assert build().double().scores(HIDDEN.double(), WORDS).dtype == torch.float64
