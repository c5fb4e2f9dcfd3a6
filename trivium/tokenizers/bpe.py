"""Byte-pair encoding over characters.

Sennrich et al. 2016 ("Neural Machine Translation of Rare Words with Subword Units", section 3.2): starting from
characters, the most frequent neighbours are joined until the vocabulary is full. The word marker is SentencePiece's
``▁`` before a word instead of their ``</w>`` after it: it keeps every space of the text.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, models, trainers

from trivium.tokenizers.metaspace import metaspace_tokenizer
from trivium.tokenizers.special import SpecialTokens
from trivium.tokenizers.words import count_words, refuse_small, train_on_words, within_alphabet


def train_bpe(
    texts: Iterable[str], *, vocabulary_size: int | None, special: SpecialTokens, alphabet_size: int | None
) -> Tokenizer:
    """Learn merges of characters from ``texts``. Characters beyond the ``alphabet_size`` most frequent are unknown.

    What decoding loses: characters outside the vocabulary, which become ``special.unk``, and a ``▁`` of the text
    itself, which comes back as a space.
    """
    counts = count_words(texts, metaspace_tokenizer(models.BPE(), special))
    alphabet, words = within_alphabet(counts, alphabet_size)
    trainer = trainers.BpeTrainer(
        vocab_size=refuse_small(vocabulary_size, len(special) + len(alphabet), "BPE"),
        min_frequency=2,
        show_progress=False,
        special_tokens=list(special),
        initial_alphabet=alphabet,
    )
    model = train_on_words(models.BPE(unk_token=special.unk), trainer, words)
    return metaspace_tokenizer(model, special)
