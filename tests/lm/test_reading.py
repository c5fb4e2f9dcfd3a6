"""Rows that networks read whole: what they are told with them, and what a masked token is predicted from."""

import importlib.util
import pathlib

import pytest
import torch

from trivium.errors import DataError
from trivium.lm.local import LocalModel
from trivium.lm.reading import check_texts, head_rows, masked_hidden, read_hidden, reads_types
from trivium.models.bert import Bert, BertConfig
from trivium.models.roberta import Roberta, RobertaConfig
from trivium.models.xlnet import XLNet, XLNetConfig
from trivium.tokenizers import Tokenizer

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

SHAPE = {"width": 16, "layers": 2, "heads": 2, "inner_width": 24}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return small.masked_tokenizer()


def test_which_networks_are_told_which_text_a_token_is_of() -> None:
    told = [Bert(BertConfig(vocabulary_size=9, **SHAPE)), XLNet(XLNetConfig(vocabulary_size=9, **SHAPE))]
    untold = [
        Bert(BertConfig(vocabulary_size=9, token_types=1, **SHAPE)),
        Roberta(RobertaConfig(vocabulary_size=9, **SHAPE)),
        small.network("lstm", 9),
    ]
    assert all(map(reads_types, told)) and not any(map(reads_types, untold))


def test_rows_are_read_with_those_of_their_length_and_none_is_lost(tokenizer: Tokenizer) -> None:
    network = Bert(BertConfig(vocabulary_size=tokenizer.vocabulary_size, context_tokens=12, **SHAPE)).double().eval()
    texts = ["the cat", "the dog ran to the cat and the mat and the dog", "dogs"]
    rows = head_rows(network, tokenizer, texts, None)
    assert [len(row.ids) for row in rows] == [4, 12, 3] and len(head_rows(network, tokenizer, texts, 5)[1].ids) == 5
    read = {}
    for places, hidden, lengths in read_hidden(network, rows, at_once=8):
        assert len(places) == 1 or len(places) * hidden.shape[1] <= 8
        read |= {place: states[:length] for place, states, length in zip(places, hidden, lengths.tolist(), strict=True)}
    for place, row in enumerate(rows):
        alone = network(torch.tensor([row.ids]), token_types=torch.tensor([row.types])).hidden[0]
        torch.testing.assert_close(read[place], alone, rtol=0, atol=1e-10)


def test_a_query_sees_no_masked_token(tokenizer: Tokenizer) -> None:
    """XLNet predicts a blank without its content, and without that of other blanks; BERT reads the mask there."""
    places = torch.tensor([[1, 3]])
    sentences = torch.tensor([[5, 6, 7, 8, 9], [5, 10, 7, 11, 9]])
    for kind, config in ((XLNet, XLNetConfig), (Bert, BertConfig)):
        torch.manual_seed(0)
        network = kind(config(vocabulary_size=tokenizer.vocabulary_size, **SHAPE)).eval()
        one, other = (masked_hidden(network, row[None], places) for row in sentences)
        assert torch.equal(one, other) == (kind is XLNet)
        assert one.shape == (1, 2, 16)
    model = LocalModel(XLNet(XLNetConfig(vocabulary_size=tokenizer.vocabulary_size, **SHAPE)), tokenizer)
    assert len(model.fill("the [MASK] sat", top=2).blanks[0].candidates) == 2
    assert model.score([("the cat", " sat")], method="pseudo")[0].tokens == 1


def test_texts_and_pairs_and_nothing_else() -> None:
    check_texts(["a", ("a", "b")], "classify")
    for wrong in ("a", [("a",)], [3], [["a", "b"]]):
        with pytest.raises(DataError, match="takes several texts, or pairs of texts"):
            check_texts(wrong, "classify")
