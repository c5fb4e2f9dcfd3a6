"""Probes find what was planted, and only where it was; of labels of chance they find nothing."""

import pytest
import torch
from torch import Tensor, nn

from trivium.data.tagged import WordPieces
from trivium.errors import DataError
from trivium.evaluation.layers import Layer, word_vectors
from trivium.evaluation.probes import probe_texts, probe_words
from trivium.models.bart import Bart, BartConfig
from trivium.nn.output import Output
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.train import train

WORDS = [f"{a}{b}" for a in ("ba", "de", "fi", "go", "lu", "ma") for b in ("n", "r", "s", "t", "k", "ll")]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train([" ".join(WORDS)] * 3, "word", minimum_count=1)


class Planted(nn.Module):
    """Three layers: noise that depends on the token; noise again; and there, beside it, a feature of the word alone."""

    def __init__(self, tokenizer: Tokenizer, good: set[str]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        # Fewer directions than words: what is not planted cannot be read off.
        self.noise = nn.Parameter(torch.randn(tokenizer.vocabulary_size, 4, generator=generator))
        is_good = [tokenizer.token(id) in good for id in range(tokenizer.vocabulary_size)]
        self.register_buffer("is_good", torch.tensor(is_good).float())

    def forward(self, tokens: Tensor, *, lengths: Tensor, collect: tuple[str, ...]) -> Output:
        noise = self.noise[tokens]
        beyond = torch.arange(tokens.shape[1]) >= lengths[:, None]
        planted = torch.cat([noise[..., :3], noise[..., 3:] + 8 * self.is_good[tokens][..., None]], dim=-1)
        hidden = [each.masked_fill(beyond[..., None], float("nan")) for each in (noise, noise.flip(-1), planted)]
        return Output(hidden[-1], collected={"hidden": hidden})


GOOD = set(WORDS[::2])


def sentences(count: int, seed: int) -> list[list[str]]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 9, (count,), generator=generator).tolist()
    return [[WORDS[i] for i in torch.randint(len(WORDS), (n,), generator=generator).tolist()] for n in lengths]


def with_tags(count: int, seed: int) -> list[tuple[list[str], list[str]]]:
    return [(words, ["good" if word in GOOD else "O" for word in words]) for words in sentences(count, seed)]


def with_label(count: int, seed: int) -> list[tuple[str, str]]:
    return [(" ".join(words), "yes" if words[0] in GOOD else "no") for words in sentences(count, seed)]


def test_words_tell_a_planted_tag_at_its_layer_and_are_told_from_a_control_task(tokenizer: Tokenizer):
    probed = probe_words(Planted(tokenizer, GOOD), tokenizer, with_tags(150, 1), with_tags(60, 2), outside="O")
    assert [probe.layer for probe in probed.probes] == [Layer(stack="", number=n) for n in range(3)]
    below, _, planted = probed.probes
    assert planted.accuracy.estimate > 0.97 and planted.f1.estimate > 0.97 and probed.best is planted
    assert below.accuracy.high < 0.85 and 0.4 < probed.majority < 0.6
    assert planted.selectivity is not None and planted.selectivity > 0.15
    assert planted.control_f1 is not None and planted.control_f1 < planted.f1.low
    assert planted.gradient < 1e-5
    assert planted.accuracy.low <= planted.accuracy.estimate <= planted.accuracy.high
    assert probed.labels == ["O", "good"] and probed.held_out == sum(len(words) for words, _ in with_tags(60, 2))


def test_a_label_of_chance_stays_at_chance(tokenizer: Tokenizer):
    """The same vectors, the labels of other texts: no better than the commonest label."""
    train, held_out = with_label(300, 3), with_label(150, 4)
    told = probe_texts(Planted(tokenizer, GOOD), tokenizer, train, held_out, pooling="first")
    assert told.probes[2].accuracy.estimate > 0.97 and told.probes[2].control is None
    moved = [(text, label) for (text, _), (_, label) in zip(train, train[1:] + train[:1], strict=True)]
    chance = probe_texts(Planted(tokenizer, GOOD), tokenizer, moved, held_out, pooling="first")
    assert abs(chance.probes[2].accuracy.estimate - 0.5) < 0.15
    assert chance.probes[2].selectivity is None


def test_f1_is_that_of_scikit_learn(tokenizer: Tokenizer):
    from sklearn.metrics import f1_score

    from trivium.evaluation.probes import _counts, _f1, _task

    labels = ["a", "b", "O", "a", "O", "b", "b", "O"]
    given = torch.tensor([1, 2, 0, 1, 1, 0, 2, 0])  # classes in the order O, a, b
    for outside, average, among in ((None, "macro", [0, 1, 2]), ("O", "micro", [1, 2])):
        task = _task(labels, labels, [0, 0, 1, 1, 1, 2, 2, 2], outside)
        counts = _counts(given, task)
        assert counts[:, 1].tolist() == [2, 3, 3]
        wanted = f1_score(task.held_out.numpy(), given.numpy(), labels=among, average=average)
        assert _f1(counts[:, 2:].sum(0), 3, task.outside) == pytest.approx(wanted)


def test_both_stacks_of_an_encoder_decoder_are_probed(tokenizer: Tokenizer):
    torch.manual_seed(0)
    config = BartConfig(
        vocabulary_size=tokenizer.vocabulary_size, width=16, layers=1, decoder_layers=1, heads=2, inner_width=16
    )
    probed = probe_words(Bart(config), tokenizer, with_tags(30, 1), with_tags(20, 2), outside="O", start_id=0)
    names = [probe.layer.name for probe in probed.probes]
    assert names == ["encoder embeddings", "encoder 1", "decoder embeddings", "decoder 1"]
    # A random network keeps the words apart: with 16 directions most of them are told.
    assert all(probe.accuracy.estimate > probed.majority for probe in probed.probes)


class Copies(nn.Module):
    """Two stacks whose hidden states are the ids that they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def read(self, tokens: Tensor, *, lengths: Tensor, collect: tuple[str, ...]) -> Output:
        return Output(tokens[..., None].float(), collected={"hidden": [tokens[..., None].float()]})

    def encode(self, source: Tensor, lengths: Tensor) -> None:
        return None

    def forward(self, tokens: Tensor, *, lengths: Tensor, state: None, collect: tuple[str, ...]) -> Output:
        assert tokens[:, 0].tolist() == [99] * len(tokens)
        return self.read(tokens, lengths=lengths, collect=collect)


def test_a_word_is_read_where_either_stack_is_given_it():
    sentences = [[WordPieces(ids=[1, 5, 6, 7, 2], places=[1, 3])], [WordPieces(ids=[1, 8, 2], places=[1])]]
    vectors = word_vectors(Copies(), sentences, start_id=99, rows=1)
    assert {layer.name: each[:, 0].tolist() for layer, each in vectors.items()} == {
        "encoder embeddings": [5, 7, 8],
        "decoder embeddings": [5, 7, 8],
    }


def test_what_cannot_be_probed_is_refused(tokenizer: Tokenizer):
    model = Planted(tokenizer, GOOD)
    some = with_label(10, 1)
    with pytest.raises(DataError, match="not among"):
        probe_texts(model, tokenizer, some, [("ban der", "maybe"), ("ban", "yes")])
    with pytest.raises(DataError, match="too little"):
        probe_texts(model, tokenizer, [("ban", "yes")], [("der", "yes"), ("fir", "yes")])
    with pytest.raises(DataError, match="one tag"):
        probe_words(model, tokenizer, [(["ban", "der"], ["O"]), *with_tags(3, 1)], with_tags(3, 2))
