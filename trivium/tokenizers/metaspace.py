"""The word marker of SentencePiece: ``▁`` stands for a space, at the front of the word it precedes.

Kudo and Richardson 2018 ("SentencePiece", section 3.2): with the space a character like any other, decoding is
joining. In the vocabularies we train nothing is put before a text, so the spaces at its ends survive too.
"""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from trivium.tokenizers.special import SpecialTokens

MARKER = "▁"


def metaspace_tokenizer(model: models.Model, special: SpecialTokens) -> Tokenizer:
    """The `tokenizers` pipeline around a model of such pieces. Line ends and tabs are words of their own."""
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\r\n\t]"), "isolated"),
            pre_tokenizers.Metaspace(replacement=MARKER, prepend_scheme="never", split=True),
        ]
    )
    backend.decoder = decoders.Sequence([decoders.Replace(MARKER, " "), decoders.Fuse()])
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return backend
