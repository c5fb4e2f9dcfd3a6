"""The loss of tagged texts: a sum over rows and a count of words, whatever the batch."""

import pytest
import torch

from trivium.data.batches import TaggedBatch
from trivium.models.bilstm import BiLSTM, BiLSTMConfig
from trivium.objectives.tagging import tagging

LENGTHS, WORD_LENGTHS = [6, 2, 4], [3, 1, 4]
TOKENS, TAGS = (torch.randint(high, (3, 6), generator=torch.Generator().manual_seed(2)) for high in (13, 3))
WORDS = torch.tensor([[0, 2, 5, 0], [1, 0, 0, 0], [0, 1, 2, 3]])


@pytest.mark.parametrize("crf", [False, True])
def test_a_batch_is_the_sum_of_its_rows(crf: bool) -> None:
    config = BiLSTMConfig(
        vocabulary_size=13, embedding_width=6, width=8, head="tagging", labels=("O", "B-x", "I-x"), crf=crf
    )
    model = BiLSTM(config).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    batch = TaggedBatch(TOKENS, torch.tensor(LENGTHS), WORDS, torch.tensor(WORD_LENGTHS), TAGS[:, :4])
    loss = tagging(model, batch)
    assert loss.count == 8 == batch.num_tokens
    wanted = 0.0
    for b, (n, w) in enumerate(zip(LENGTHS, WORD_LENGTHS, strict=True)):
        single = TaggedBatch(TOKENS[[b], :n], torch.tensor([n]), WORDS[[b], :w], torch.tensor([w]), TAGS[[b], :w])
        wanted += tagging(model, single).total
    torch.testing.assert_close(loss.total, wanted, rtol=0, atol=1e-10)
    parts = [tagging(model, part).total for part in batch.split(2)]
    torch.testing.assert_close(sum(parts), loss.total, rtol=0, atol=1e-10)
