"""BERT's corruption: how often, what becomes of the chosen, and what is never chosen."""

import torch
import torch.nn.functional as F

from trivium.models.bert import Bert, BertConfig
from trivium.objectives.masked import mask_tokens, masked


def corrupted(rate: float = 0.15, rows: int = 400, **options: object) -> tuple:
    tokens = torch.randint(5, 1000, (rows, 64))
    lengths = torch.randint(1, 65, (rows,))
    generator = torch.Generator().manual_seed(1)
    batch = mask_tokens(tokens, lengths, mask_id=4, vocabulary_size=1000, rate=rate, generator=generator, **options)
    return tokens, lengths, batch


def test_statistics() -> None:
    tokens, lengths, batch = corrupted()
    valid = torch.arange(64) < lengths[:, None]
    assert not (batch.mask & ~valid).any()
    assert torch.equal(batch.targets, tokens)
    assert torch.equal(batch.tokens[~batch.mask], tokens[~batch.mask])
    total, chosen = int(valid.sum()), int(batch.mask.sum())
    assert abs(chosen / total - 0.15) < 4 * (0.15 * 0.85 / total) ** 0.5  # four standard deviations
    now, before = batch.tokens[batch.mask], tokens[batch.mask]
    for count, share in (
        (int((now == 4).sum()), 0.8),
        (int((now == before).sum()), 0.1),
        (int(((now != before) & (now != 4)).sum()), 0.1),
    ):
        assert abs(count / chosen - share) < 4 * (share * (1 - share) / chosen) ** 0.5 + 0.1 / 1000


def test_special_pieces_are_never_chosen() -> None:
    tokens, _, batch = corrupted(rate=0.9, special_ids={7, 8, 9})
    assert not torch.isin(tokens[batch.mask], torch.tensor([7, 8, 9])).any()
    assert batch.mask.any()


def test_a_batch_is_never_without_a_choice() -> None:
    tokens, lengths = torch.tensor([[1, 7, 7]]), torch.tensor([2])
    batch = mask_tokens(tokens, lengths, mask_id=4, vocabulary_size=10, special_ids={1}, rate=0.0)
    assert batch.mask.tolist() == [[False, True, False]]


def test_loss_is_cross_entropy_at_the_masked_positions() -> None:
    torch.manual_seed(0)
    model = Bert(BertConfig(vocabulary_size=1000, width=8, layers=1, heads=2, inner_width=8, context_tokens=64)).eval()
    _, lengths, batch = corrupted(rows=4)
    loss = masked(model, batch)
    logits = model.head.logits(model(batch.tokens, lengths=lengths).hidden)
    wanted = F.cross_entropy(logits[batch.mask], batch.targets[batch.mask], reduction="sum")
    torch.testing.assert_close(loss.total, wanted)
    assert loss.count == batch.mask.sum() == batch.num_tokens
