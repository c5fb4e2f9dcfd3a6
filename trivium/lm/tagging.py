"""The tags of words by a network with a tagging head."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trivium.data.padding import padded
from trivium.data.tagged import WordPieces, read_words
from trivium.errors import NonFiniteError
from trivium.lm.scoring import TOKENS_AT_ONCE
from trivium.lm.together import together
from trivium.tokenizers import Tokenizer


@torch.inference_mode()
def tag_words(network: nn.Module, tokenizer: Tokenizer, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
    """The label of each word of each sentence.

    Sentences of about one length are read together, which changes nothing in what is said of each. One that is longer
    than the network can hold, or than is read at once, is cut between words. Raises ``DataError`` for a word that the
    vocabulary cannot read, ``NonFiniteError`` for weights that give no numbers.
    """
    config: Any = network.config
    device = next(network.parameters()).device
    longest = min(config.context_tokens or TOKENS_AT_ONCE, TOKENS_AT_ONCE)
    read = read_words(tokenizer, sentences, longest=longest)
    stretches = [(row, stretch) for row, parts in enumerate(read) for stretch in parts]
    found: list[list[int]] = [[] for _ in stretches]
    for group in together([len(stretch.ids) for _, stretch in stretches], TOKENS_AT_ONCE):
        for place, tags in zip(group, _decoded(network, [stretches[i][1] for i in group], device), strict=True):
            found[place] = tags
    tagged: list[list[str]] = [[] for _ in sentences]
    for (row, _), tags in zip(stretches, found, strict=True):
        tagged[row] += [config.labels[tag] for tag in tags]
    return tagged


def _decoded(network: nn.Module, stretches: Sequence[WordPieces], device: torch.device) -> list[list[int]]:
    tokens, lengths = (t.to(device) for t in padded([stretch.ids for stretch in stretches]))
    words, word_lengths = (t.to(device) for t in padded([stretch.places for stretch in stretches]))
    head: Any = network.tag
    scores = head.scores(network(tokens, lengths=lengths).hidden, words)
    # Beyond a row's words its first piece is read again, so that all scores are to be numbers.
    if not bool(scores.isfinite().all()) or any(bool(learnt.isnan().any()) for learnt in head.parameters()):
        raise NonFiniteError("the model's scores are not numbers (NaN or infinite): nothing can be tagged")
    return head.best(scores, word_lengths)
