"""Sequence to sequence and classification: sums over true counts, against the plain computation."""

import pytest
import torch
import torch.nn.functional as F

from trivium.data.batches import LabelledBatch, Seq2SeqBatch
from trivium.errors import ConfigError
from trivium.models.t5 import T5, T5Config
from trivium.models.text_cnn import TextCNN, TextCNNConfig
from trivium.objectives.classification import classification
from trivium.objectives.seq2seq import seq2seq


def test_seq2seq() -> None:
    model = T5(T5Config(vocabulary_size=13, width=8, layers=1, heads=2, head_width=4, inner_width=8)).double().eval()
    source, targets = torch.randint(13, (3, 6)), torch.randint(13, (3, 5))
    source_lengths, lengths = torch.tensor([6, 2, 3]), torch.tensor([1, 5, 3])
    tokens = torch.cat([torch.zeros(3, 1, dtype=torch.long), targets[:, :-1]], dim=1)
    mask = torch.arange(5) < lengths[:, None]
    batch = Seq2SeqBatch(source, source_lengths, tokens, targets, mask, lengths)
    loss = seq2seq(model, batch)
    wanted = 0.0
    for b in range(3):
        state = model.encode(source[b : b + 1, : source_lengths[b]])
        logits = model.head.logits(model(tokens[b : b + 1, : lengths[b]], state=state).hidden)[0]
        wanted += F.cross_entropy(logits, targets[b, : lengths[b]], reduction="sum")
    torch.testing.assert_close(loss.total, wanted, rtol=0, atol=1e-10)
    assert loss.count == 9 == batch.num_tokens
    parts = [seq2seq(model, part).total for part in batch.split(2)]
    torch.testing.assert_close(sum(parts), loss.total, rtol=0, atol=1e-10)


def test_label_smoothing() -> None:
    """torch's own, over true tokens alone; off in evaluation; and the plain loss is told beside it."""
    model = T5(T5Config(vocabulary_size=13, width=8, layers=1, heads=2, head_width=4, inner_width=8, dropout=0.0))
    model.double()
    source, targets, lengths = torch.randint(13, (2, 6)), torch.randint(13, (2, 5)), torch.tensor([2, 5])
    mask = torch.arange(5) < lengths[:, None]
    batch = Seq2SeqBatch(source, torch.tensor([6, 4]), targets.roll(1, 1), targets, mask, lengths)
    plain = seq2seq(model.train(), batch)
    smoothed = seq2seq(model, batch, label_smoothing=0.1)
    state = model.encode(batch.source, batch.source_lengths)
    logits = model.head.logits(model(batch.tokens, lengths=lengths, state=state).hidden)[mask]
    wanted = F.cross_entropy(logits, targets[mask], reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(smoothed.total, wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(smoothed.metrics["nll"], plain.total.detach(), rtol=0, atol=1e-10)
    assert smoothed.count == plain.count == 7
    assert plain.metrics == {}
    parts = [seq2seq(model, part, label_smoothing=0.1).total for part in batch.split(2)]
    torch.testing.assert_close(sum(parts), smoothed.total, rtol=0, atol=1e-10)
    evaluated = seq2seq(model.eval(), batch, label_smoothing=0.1)
    torch.testing.assert_close(evaluated.total, plain.total, rtol=0, atol=1e-10)
    with pytest.raises(ConfigError, match="label_smoothing"):
        seq2seq(model, batch, label_smoothing=1.0)


def test_classification() -> None:
    model = (
        TextCNN(TextCNNConfig(vocabulary_size=13, width=8, windows=(2,), filters=(6,), labels=("a", "b", "c")))
        .double()
        .eval()
    )
    tokens, lengths, labels = torch.randint(13, (4, 6)), torch.tensor([6, 1, 2, 4]), torch.tensor([0, 2, 1, 1])
    loss = classification(model, LabelledBatch(tokens, lengths, labels))
    logits = torch.cat([model.classify(model(tokens[b : b + 1, :n]).hidden) for b, n in enumerate(lengths)])
    torch.testing.assert_close(loss.total, F.cross_entropy(logits, labels, reduction="sum"), rtol=0, atol=1e-10)
    assert loss.count == 4
    assert loss.metrics["correct"] == (logits.argmax(-1) == labels).sum()
