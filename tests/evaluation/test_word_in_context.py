"""One word in two contexts: far where its sense is another, near where it is the same; and nothing where it is looked
up without its context."""

import pytest
import torch
from torch import Tensor, nn

from trivium.errors import DataError
from trivium.evaluation.word_in_context import BANK, Use, sense_distances
from trivium.nn.output import Output
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.train import train


class Contextual(nn.Module):
    """Below, a vector for each token; above, that of the word mixed with the mean of its sentence."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(size, 16, generator=torch.Generator().manual_seed(0)))

    def forward(self, tokens: Tensor, *, lengths: Tensor, collect: tuple[str, ...]) -> Output:
        below = self.table[tokens]
        valid = (torch.arange(tokens.shape[1]) < lengths[:, None])[..., None]
        above = below + 3 * (below * valid).sum(1, keepdim=True) / lengths[:, None, None]
        return Output(above, collected={"hidden": [below, above]})


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train([" ".join(use.words) for use in BANK], "word", minimum_count=1)


def test_distances_are_those_of_the_vectors_of_the_word(tokenizer: Tokenizer):
    model = Contextual(tokenizer.vocabulary_size)
    below, above = sense_distances(model, tokenizer)
    assert (below.layer.name, above.layer.name) == ("embeddings", "layer 1")
    assert below.same == pytest.approx(0, abs=1e-6) and below.different == pytest.approx(0, abs=1e-6)
    assert below.anywhere > 0.5
    assert 0 < above.same < 1 and 0 < above.different < 1
    assert torch.allclose(above.between, above.between.T) and above.between.shape == (6, 6)
    by_hand = []
    for use in BANK:
        table = torch.stack([model.table[tokenizer.encode(" " + word)[0]] for word in use.words]).detach()
        by_hand.append(table[use.place] + 3 * table.mean(0))
    cosine = torch.cosine_similarity(by_hand[0], by_hand[4], dim=0)
    assert float(above.between[0, 4]) == pytest.approx(1 - float(cosine), abs=1e-5)
    apart = [float(above.between[i, j]) for i in range(3) for j in range(3, 6)]
    assert above.different == pytest.approx(sum(apart) / 9)


def test_senses_that_stand_with_other_words_move_apart(tokenizer: Tokenizer):
    uses = [Use.of(f"{word} {word} bank", "bank", word) for word in ("river", "river", "money", "money")]
    _, above = sense_distances(Contextual(tokenizer.vocabulary_size), tokenizer, uses)
    assert above.same == pytest.approx(0, abs=1e-6) and above.different > 0.1


def test_what_cannot_be_compared_is_refused(tokenizer: Tokenizer):
    model = Contextual(tokenizer.vocabulary_size)
    for few in (BANK[:3], BANK[2:4]):
        with pytest.raises(DataError, match="nothing to compare"):
            sense_distances(model, tokenizer, few)
    with pytest.raises(DataError, match="not in the sentence"):
        Use.of("We sat on the bank", "band", "music")
