"""The tags of words by a network with a tagging head."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trivium.data.padding import padded
from trivium.data.spans import scheme_of
from trivium.data.tagged import WordPieces, read_words
from trivium.errors import DataError, NonFiniteError
from trivium.lm.protocol import Tagging
from trivium.lm.reading import at_most
from trivium.lm.together import TOKENS_AT_ONCE, together
from trivium.lm.words import cut_into_words, marked_spans
from trivium.tokenizers import Tokenizer


def tag_texts(
    network: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str | Sequence[str]],
    *,
    context_tokens: int | None = None,
) -> list[Tagging]:
    """See ``LanguageModel.tag``; ``context_tokens`` is as of ``tag_words``. Raises ``DataError`` for one text in place
    of several, and as ``tag_words`` does."""
    if isinstance(texts, str) or not all(isinstance(word, str) and word for text in texts for word in text):
        given = "one text" if isinstance(texts, str) else "a word that is empty, or no text"
        raise DataError("tag takes several texts, or lists of words", received=given, fix="tag([text])")
    config: Any = network.config
    cut = [cut_into_words(text) for text in texts]
    found = tag_words(network, tokenizer, [words for _, words, _ in cut], context_tokens=context_tokens)
    scheme = scheme_of(config.labels)
    return [
        Tagging(words=words, tags=tags, spans=marked_spans(text, places, tags, scheme=scheme))
        for (text, words, places), tags in zip(cut, found, strict=True)
    ]


@torch.inference_mode()
def tag_words(
    network: nn.Module,
    tokenizer: Tokenizer,
    sentences: Sequence[Sequence[str]],
    *,
    context_tokens: int | None = None,
) -> list[list[str]]:
    """The label of each word of each sentence.

    Sentences of about one length are read together, which changes nothing in what is said of each. One that is longer
    than the network can hold, or than ``context_tokens``, is cut between words. Raises ``DataError`` for a word that
    the vocabulary cannot read, ``NonFiniteError`` for weights that give no numbers.
    """
    config: Any = network.config
    device = next(network.parameters()).device
    longest = at_most(config.context_tokens, context_tokens, TOKENS_AT_ONCE) or TOKENS_AT_ONCE
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
