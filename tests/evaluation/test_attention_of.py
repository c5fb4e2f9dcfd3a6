"""The attention of a word over words: sums over the pieces looked at, the mean over those that look."""

import pytest
import torch
from torch import Tensor, nn

from trivium.errors import DataError
from trivium.evaluation.attention_of import TIGER, attention_of
from trivium.models.bert import Bert, BertConfig
from trivium.models.t5 import T5, T5Config
from trivium.nn.output import Output
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.train import train

SENTENCE = "The tiger, thirsty as it was, drank."
WORDS = ["The", "tiger", ",", "thirsty", "as", "it", "was", ",", "drank", "."]


@pytest.fixture(scope="module", params=["wordpiece", "byte_bpe", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    # So small a vocabulary cuts words in pieces.
    return train([SENTENCE.lower(), "the thirsty was it as drank " * 3], request.param, vocabulary_size=300)


class Given(nn.Module):
    """Two layers of three heads of attention by chance, kept to be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[Tensor] = []

    def forward(self, tokens: Tensor, *, collect: tuple[str, ...]) -> Output:
        length, generator = tokens.shape[1], torch.Generator().manual_seed(0)
        self.seen = [torch.rand(1, 3, length, length, generator=generator).softmax(-1) for _ in range(2)]
        return Output(torch.zeros(1, length, 1), collected={"attention": self.seen})


def test_pieces_are_merged_into_words(tokenizer: Tokenizer):
    model = Given()
    found = attention_of(model, tokenizer, SENTENCE, "tiger")
    special = set(tokenizer.special_tokens)
    assert [word for word in found.words if word not in special] == WORDS
    assert found.words[found.place] == "tiger" and found.weights.shape == (2, 3, len(found.words))
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(2, 3))
    (joined,) = tokenizer.encode_joined([SENTENCE], offsets=True)

    def pieces(word: str) -> list[int]:
        start = SENTENCE.index(word)
        letters = {*range(start - 1, start + len(word))}  # a space before a word is of the word
        return [at for at, span in enumerate(joined.offsets) if joined.sides[at] == 0 and letters & {*range(*span)}]

    tiger = pieces("tiger")
    assert len(tiger) > 1
    wanted = model.seen[1][0, 2][tiger][:, tiger].sum(1).mean()
    assert float(found.weights[1, 2, found.place]) == pytest.approx(float(wanted), abs=1e-6)


def test_the_heads_that_look_most_come_first(tokenizer: Tokenizer):
    found = attention_of(Given(), tokenizer, SENTENCE, "it")
    heads = found.heads_for("tiger", 4)
    at = [float(found.weights[layer, head, found.words.index("tiger")]) for layer, head in heads]
    assert at == sorted(at, reverse=True) and at[0] == found.weights[:, :, found.words.index("tiger")].max()
    torch.testing.assert_close(found.by_layer()[1], found.weights[1].mean(0))
    with pytest.raises(DataError, match="not in the sentence"):
        attention_of(Given(), tokenizer, SENTENCE, "lion")


def test_models_with_one_stack_and_with_two_are_looked_at(tokenizer: Tokenizer):
    size = tokenizer.vocabulary_size
    encoder = Bert(BertConfig(vocabulary_size=size, width=16, layers=2, heads=4, inner_width=16, context_tokens=128))
    both = T5(T5Config(vocabulary_size=size, width=16, layers=2, heads=4, head_width=4, inner_width=16))
    for found in (attention_of(encoder, tokenizer), attention_of(both, tokenizer, encoder=True)):
        assert found.weights.shape[:2] == (2, 4) and found.words[found.place] == "it"
        assert [word for word in found.words if word not in tokenizer.special_tokens] == TIGER.split()
        torch.testing.assert_close(found.weights.sum(-1), torch.ones(2, 4), rtol=0, atol=1e-5)
