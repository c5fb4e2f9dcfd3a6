"""The convolutional classifier beyond the contract: soft tokens, configuration, sizes."""

import pytest
import torch
import torch.nn.functional as F

from trivium.errors import ConfigError
from trivium.models.text_cnn import SIZES, TextCNN, TextCNNConfig


def build() -> TextCNN:
    return TextCNN(TextCNNConfig(vocabulary_size=9, width=6, windows=(2, 3), filters=(4, 5), highway=True)).eval()


def test_soft_tokens() -> None:
    """One-hot mixtures are tokens, and a generator that mixes receives a gradient."""
    model, tokens = build(), torch.randint(9, (2, 5))
    one_hot = F.one_hot(tokens, 9).float().requires_grad_()
    hard, soft = model(tokens).hidden, model(embeddings=model.embed(one_hot)).hidden
    torch.testing.assert_close(hard, soft)
    model.classify(soft)[:, 1].sum().backward()
    assert one_hot.grad.abs().sum() > 0


def test_maximum_over_time_needs_no_lengths() -> None:
    model, tokens, lengths = build(), torch.randint(9, (3, 6)), torch.tensor([6, 1, 4])
    hidden = model(tokens, lengths=lengths).hidden
    assert torch.equal(model.classify(hidden), model.classify(hidden, lengths))


def test_what_is_classified_is_the_strongest_answer_of_each_filter() -> None:
    """Also of so many texts that the filters meet each piece of the vocabulary once."""
    model, few, many = build(), torch.randint(9, (3, 6)), torch.randint(9, (40, 6))
    every = [(few, torch.tensor([6, 1, 4])), (few, torch.tensor([6, 6, 6])), (many, torch.arange(40) % 6 + 1)]
    for tokens, lengths in every:
        hidden, strongest = model(tokens, lengths=lengths).hidden, model.strongest(tokens, lengths)
        torch.testing.assert_close(strongest, hidden.amax(1))
        torch.testing.assert_close(model.classify(strongest[:, None]), model.classify(hidden, lengths))


def test_windows_and_filters_belong_together() -> None:
    with pytest.raises(ConfigError, match="one number of filters for each window"):
        TextCNNConfig(windows=(1, 2), filters=(3,))


def test_the_discriminator_of_seqgan() -> None:
    config = SIZES["seqgan"]
    assert sum(config.filters) == 1720
    assert TextCNN(config)(torch.randint(5000, (2, 20))).hidden.shape == (2, 20, 1720)


def test_a_file_from_before_classes_had_names() -> None:
    old = {name: value for name, value in TextCNNConfig().to_hf().items() if name not in ("id2label", "label2id")}
    assert TextCNNConfig.from_hf(old | {"classes": 3}) == TextCNNConfig(labels=("0", "1", "2"))
    assert TextCNNConfig.from_hf(old) == TextCNNConfig()
    named = TextCNNConfig(labels=("no", "yes"))
    assert TextCNNConfig.from_hf(named.to_hf()) == named
    assert named.head == "classification"
