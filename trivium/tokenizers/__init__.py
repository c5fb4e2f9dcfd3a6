"""Vocabularies: train, load, encode, decode.

from trivium import tokenizers

tokenizer = tokenizers.train(["some text", "more text"], kind="byte_bpe", vocabulary_size=300)
assert tokenizer.decode(tokenizer.encode("héllo")) == "héllo"
tokenizer.save("folder")
tokenizer = tokenizers.load("folder")

`trivium.tokenizers.pieces` shows a text as its tokens, `trivium.tokenizers.fertility` what each language costs.
"""

from trivium.tokenizers.load import load
from trivium.tokenizers.marian_files import MarianTokenizer
from trivium.tokenizers.protocol import Tokenizer
from trivium.tokenizers.special import SpecialTokens
from trivium.tokenizers.tokenizer import JsonTokenizer
from trivium.tokenizers.train import check_vocabulary, train

__all__ = ["JsonTokenizer", "MarianTokenizer", "SpecialTokens", "Tokenizer", "check_vocabulary", "load", "train"]
