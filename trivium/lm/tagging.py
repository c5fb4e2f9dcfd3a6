"""The tags of words by a network with a tagging head."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from trivium.data.padding import padded
from trivium.data.tagged import WordPieces, read_words
from trivium.lm.scoring import TOKENS_AT_ONCE
from trivium.tokenizers import Tokenizer


@torch.inference_mode()
def tag_words(network: nn.Module, tokenizer: Tokenizer, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
    """The label of each word of each sentence.

    Sentences of about one length are read together, which changes nothing in what is said of each. One that is longer
    than the network can hold, or than is read at once, is cut between words. Raises ``DataError`` for a word that the
    vocabulary cannot read.
    """
    config: Any = network.config
    device = next(network.parameters()).device
    longest = min(config.context_tokens or TOKENS_AT_ONCE, TOKENS_AT_ONCE)
    read = read_words(tokenizer, sentences, longest=longest)
    stretches = [(row, stretch) for row, parts in enumerate(read) for stretch in parts]
    found: list[list[int]] = [[] for _ in stretches]
    for group in _groups([len(stretch.ids) for _, stretch in stretches]):
        for place, tags in zip(group, _decoded(network, [stretches[i][1] for i in group], device), strict=True):
            found[place] = tags
    tagged: list[list[str]] = [[] for _ in sentences]
    for (row, _), tags in zip(stretches, found, strict=True):
        tagged[row] += [config.labels[tag] for tag in tags]
    return tagged


def _decoded(network: nn.Module, stretches: Sequence[WordPieces], device: torch.device) -> list[list[int]]:
    tokens, lengths = (t.to(device) for t in padded([stretch.ids for stretch in stretches]))
    words, word_lengths = (t.to(device) for t in padded([stretch.places for stretch in stretches]))
    return network.tag.decode(network(tokens, lengths=lengths).hidden, words, word_lengths)


def _groups(sizes: Sequence[int]) -> Iterator[list[int]]:
    """What is read together: in order of size, so that little is padding, and no more than TOKENS_AT_ONCE."""
    group: list[int] = []
    for place in sorted(range(len(sizes)), key=lambda place: sizes[place]):
        if group and sizes[place] * (len(group) + 1) > TOKENS_AT_ONCE:
            yield group
            group = []
        group.append(place)
    if group:
        yield group
