"""Numbers and spans as `transformers` counts their losses, and token types that reach the models that know them."""

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification

from trivium.data.batches import LabelledBatch, SpanBatch, TaggedBatch
from trivium.nn.output import Output
from trivium.nn.span_head import SpanHead
from trivium.nn.tagging_head import TaggingHead
from trivium.objectives.classification import classification
from trivium.objectives.regression import regression
from trivium.objectives.span_extraction import span_extraction
from trivium.objectives.tagging import tagging

TOKENS = torch.arange(1, 25).reshape(4, 6)
LENGTHS = torch.tensor([6, 6, 6, 6])
TYPES = (torch.arange(6) > 2).long().expand(4, 6)


class Theirs(nn.Module):
    """A model of `transformers` behind our calls: one body, and the head that it has."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.theirs = model.eval()
        self.types: Tensor | None = None

    def forward(self, tokens: Tensor, *, lengths: Tensor, token_types: Tensor | None = None) -> Output:
        self.types = token_types
        mask = torch.arange(tokens.shape[1]) < lengths[:, None]
        return Output(self.theirs.bert(tokens, mask.long(), token_types).last_hidden_state)

    def classify(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        return self.theirs.classifier(self.theirs.bert.pooler(hidden))


def small(numbers: int) -> BertConfig:
    return BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=numbers,
        problem_type="regression",
    )


@pytest.mark.parametrize("numbers", [1, 3])
def test_regression_is_the_mean_squared_error_of_transformers(numbers: int):
    torch.manual_seed(0)
    model = Theirs(BertForSequenceClassification(small(numbers)))
    labels = torch.randn(4) if numbers == 1 else torch.randn(4, numbers)
    batch = LabelledBatch(TOKENS, LENGTHS, labels, TYPES)
    loss = regression(model, batch)
    wanted = model.theirs(TOKENS, token_type_ids=TYPES, labels=labels).loss
    torch.testing.assert_close(loss.total / loss.count, wanted)
    assert loss.count == 4 and loss.metrics["tokens"] == 24
    parts = [regression(model, part).total for part in batch.split(3)]
    torch.testing.assert_close(sum(parts), loss.total)


def test_spans_are_counted_as_transformers_counts_them():
    torch.manual_seed(0)
    model = Theirs(BertForQuestionAnswering(small(2)))
    model.span = SpanHead(16)
    with torch.no_grad():
        for ours, theirs in zip(model.span.parameters(), model.theirs.qa_outputs.parameters(), strict=True):
            ours.copy_(theirs)
    starts, ends = torch.tensor([0, 1, 5, 2]), torch.tensor([0, 4, 5, 3])
    lengths = torch.tensor([6, 5, 6, 4])
    batch = SpanBatch(TOKENS, lengths, starts, ends, TYPES)
    loss = span_extraction(model, batch)
    wanted = torch.zeros(())
    for row, length in enumerate(lengths.tolist()):
        one = slice(row, row + 1)
        answer = {"start_positions": starts[one], "end_positions": ends[one]}
        wanted += model.theirs(TOKENS[one, :length], token_type_ids=TYPES[one, :length], **answer).loss.detach()
    torch.testing.assert_close(loss.total, wanted)
    assert loss.count == 4 == batch.num_tokens and loss.metrics["tokens"] == 21


class Deaf(nn.Module):
    """A model without token types."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(1))

    def forward(self, tokens: Tensor, *, lengths: Tensor) -> Output:
        return Output(tokens[:, :, None] * self.weights)

    def classify(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        return hidden[:, 0].expand(-1, 3)


def test_token_types_are_passed_on_where_there_are_some_and_left_out_where_not():
    model = Theirs(BertForSequenceClassification(small(3)))
    labels = torch.tensor([0, 1, 2, 0])
    classification(model, LabelledBatch(TOKENS, LENGTHS, labels, TYPES))
    assert model.types is TYPES
    classification(model, LabelledBatch(TOKENS, LENGTHS, labels))
    assert model.types is None
    assert classification(Deaf(), LabelledBatch(TOKENS, LENGTHS, labels)).count == 4
    with pytest.raises(TypeError, match="token_types"):
        classification(Deaf(), LabelledBatch(TOKENS, LENGTHS, labels, TYPES))


def test_a_tagger_is_told_the_types_too():
    model = Theirs(BertForSequenceClassification(small(3)))
    model.tag = TaggingHead(16, 3)
    batch = TaggedBatch(TOKENS, LENGTHS, torch.zeros(4, 2).long(), torch.full((4,), 2), torch.zeros(4, 2).long(), TYPES)
    assert tagging(model, batch).count == 8
    assert model.types is TYPES


def test_labels_keep_their_digits_where_the_network_computes_in_bf16():
    model, labels = Theirs(BertForSequenceClassification(small(1))), torch.tensor([1.001, 100.3, 2.01, 3.003])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = regression(model, LabelledBatch(TOKENS, LENGTHS, labels))
        estimates = model.classify(model(TOKENS, lengths=LENGTHS).hidden, LENGTHS)
    assert estimates.dtype == torch.bfloat16
    torch.testing.assert_close(loss.total, (estimates.float()[:, 0] - labels).square().sum())
