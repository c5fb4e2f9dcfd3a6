"""Word-level vocabularies: a token for each frequent word, and one for all the others.

The vocabulary of the recurrent language models (Mikolov et al. 2010, section 2: words seen too rarely become one
token). Words are runs of letters, digits and marks; each run of punctuation is a word too, and so is a
``<word>`` in angle brackets: a text that comes with ``<unk>`` in it, as WikiText does, keeps it in one piece.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from trivium.tokenizers.special import SpecialTokens
from trivium.tokenizers.words import count_words, most_frequent

_WORD = r"<\w+>|\w+|[^\w\s]+"


def train_word(
    texts: Iterable[str],
    *,
    vocabulary_size: int | None,
    special: SpecialTokens,
    minimum_count: int,
    lowercase: bool,
) -> Tokenizer:
    """The words that occur ``minimum_count`` times or more in ``texts``, at most ``vocabulary_size`` with the special
    tokens: the most frequent first, those of equal count in order of code points.

    What decoding loses: which white space stood between words, unknown words, and with ``lowercase`` capitals.
    """
    counts = count_words(texts, word_tokenizer(models.WordLevel(), special, lowercase=lowercase))
    for token in special:
        counts.pop(token, None)
    often = {word: count for word, count in counts.items() if count >= minimum_count}
    otherwise = "keep every word that occurs minimum_count times"
    frequent = most_frequent(often, vocabulary_size, len(special), unit="word", otherwise=otherwise)
    vocabulary = {piece: id for id, piece in enumerate([*special, *frequent])}
    return word_tokenizer(models.WordLevel(vocabulary, unk_token=special.unk), special, lowercase=lowercase)


def word_tokenizer(model: models.Model, special: SpecialTokens, *, lowercase: bool) -> Tokenizer:
    """The `tokenizers` pipeline around a word-level model."""
    backend = Tokenizer(model)
    if lowercase:
        backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "removed", invert=True)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return backend
