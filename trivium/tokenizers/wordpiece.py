"""WordPiece, the vocabulary of BERT: the pieces after the first of a word are marked ``##``.

Devlin et al. 2018 ("BERT", section 3.2); a word is read from the left, each time by the longest piece that fits, and a
word that does not come out even, or has more than a hundred characters, is [UNK] as a whole. The vocabulary is learnt
as `tokenizers` does it, by merging the most frequent neighbours; the criterion of Schuster and Nakajima 2012
(likelihood) was never published as code.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from trivium.tokenizers.special import SpecialTokens
from trivium.tokenizers.words import count_words, refuse_small, train_on_words, within_alphabet

CONTINUES = "##"


def train_wordpiece(
    texts: Iterable[str],
    *,
    vocabulary_size: int | None,
    special: SpecialTokens,
    lowercase: bool,
    alphabet_size: int | None,
) -> Tokenizer:
    """Learn pieces from ``texts``. Words with characters beyond the ``alphabet_size`` most frequent are unknown.

    What decoding loses: which white space stood between words, control characters, unknown words, and with
    ``lowercase`` capitals and accents. Punctuation comes back with spaces around it.
    """
    counts = count_words(texts, wordpiece_tokenizer(models.WordPiece(), special, lowercase=lowercase))
    alphabet, words = within_alphabet(counts, alphabet_size)
    # Reserved in order: the trainer would number the characters inside words as its hash table happens to.
    inside = sorted({CONTINUES + character for word, _ in words for character in word[1:]})
    reserved = [*special, *alphabet, *inside]
    trainer = trainers.WordPieceTrainer(
        vocab_size=refuse_small(vocabulary_size, len(reserved), "WordPiece"),
        min_frequency=2,
        show_progress=False,
        special_tokens=reserved,
        continuing_subword_prefix=CONTINUES,
    )
    model = train_on_words(models.WordPiece(unk_token=special.unk), trainer, words)
    return wordpiece_tokenizer(model, special, lowercase=lowercase)


def wordpiece_tokenizer(
    model: models.Model,
    special: SpecialTokens,
    *,
    lowercase: bool,
    strip_accents: bool | None = None,
    chinese_characters_apart: bool = True,
    tidy: bool = False,
) -> Tokenizer:
    """BERT's pipeline around a WordPiece model; accents go where capitals go unless ``strip_accents`` says.

    With ``tidy`` the decoder moves punctuation and contractions back to their words as `transformers` does for BERT,
    which also turns every "do not" into "don't".
    """
    backend = Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=chinese_characters_apart,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix=CONTINUES, cleanup=tidy)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return backend
