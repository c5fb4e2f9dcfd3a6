"""Sequence to sequence and classification: sums over true counts, against the plain computation."""

import torch
import torch.nn.functional as F

from trivium.data.batches import LabelledBatch, Seq2SeqBatch
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


def test_classification() -> None:
    model = TextCNN(TextCNNConfig(vocabulary_size=13, width=8, windows=(2,), filters=(6,), classes=3)).double().eval()
    tokens, lengths, labels = torch.randint(13, (4, 6)), torch.tensor([6, 1, 2, 4]), torch.tensor([0, 2, 1, 1])
    loss = classification(model, LabelledBatch(tokens, lengths, labels))
    logits = torch.cat([model.classify(model(tokens[b : b + 1, :n]).hidden) for b, n in enumerate(lengths)])
    torch.testing.assert_close(loss.total, F.cross_entropy(logits, labels, reduction="sum"), rtol=0, atol=1e-10)
    assert loss.count == 4
    assert loss.metrics["correct"] == (logits.argmax(-1) == labels).sum()
