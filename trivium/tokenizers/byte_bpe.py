"""Byte-level byte-pair encoding: training, the byte alphabet, and the fast encoder.

Radford et al. 2019 ("Language Models are Unsupervised Multitask Learners", section 2.2): byte-pair encoding (Sennrich
et al. 2016) over UTF-8 bytes instead of characters, so that 256 base tokens spell every text and decoding what was
encoded gives the same text back. `tokenizers` trains and stores the vocabulary; `tiktoken` encodes with it, several
times faster and with the same ids.
"""

import re
from collections.abc import Iterable
from typing import Any

import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from trivium.errors import TokenizerError
from trivium.tokenizers.special import SpecialTokens
from trivium.tokenizers.spelling import byte_of_character, piece_bytes
from trivium.tokenizers.user_text import pair_of

# How text is cut before merging: contractions, words with the character before them, numbers by up to three digits,
# punctuation with its line ends, white space. The pattern of cl100k and of Llama 3 (both published under MIT).
WORD_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What the `ByteLevel` pre-tokeniser of `tokenizers` cuts by when it cuts by itself: GPT-2's pattern.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# The pattern's look-ahead over white space backtracks on a stack: `tiktoken` aborts on a run of a million spaces.
# A run is looked for only where one begins, which keeps the search linear.
_LONGEST_SAFE_RUN = 100_000
_LONG_RUN = re.compile(rf"(?<!\s)\s{{{_LONGEST_SAFE_RUN}}}")


def train_byte_bpe(texts: Iterable[str], *, vocabulary_size: int | None, special: SpecialTokens) -> Tokenizer:
    """Learn merges from ``texts`` until the vocabulary holds ``vocabulary_size`` tokens, special ones included.

    Pairs seen once are not merged, so little text gives a smaller vocabulary than asked.

    Raises:
        TokenizerError: ``vocabulary_size`` does not hold the 256 bytes and the special tokens.
    """
    smallest = 256 + len(special)
    if vocabulary_size is None:
        raise TokenizerError(
            "byte-level BPE needs the size of its vocabulary",
            expected="vocabulary_size=, such as 4096 for a few megabytes of text",
            fix="give vocabulary_size",
        )
    if vocabulary_size < smallest:
        raise TokenizerError(
            "the vocabulary is too small for byte-level BPE",
            received=f"vocabulary_size={vocabulary_size}",
            expected=f"at least {smallest}: 256 bytes and {len(special)} special tokens",
            fix=f"set vocabulary_size to {smallest} or more",
        )
    tokenizer = byte_level_tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def byte_level_tokenizer(model: models.BPE, pattern: str = WORD_PATTERN) -> Tokenizer:
    """The `tokenizers` pipeline around a byte-level BPE model: cut by ``pattern``, spell in bytes, merge."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def is_byte_level(description: dict[str, Any]) -> bool:
    """True where ``tokenizer.json`` says that pieces are spelt in the byte alphabet."""
    return (description.get("decoder") or {}).get("type") == "ByteLevel"


def fast_encoder(tokenizer: Tokenizer, description: dict[str, Any]) -> tiktoken.Encoding | None:
    """A `tiktoken` encoder that gives the ids of ``tokenizer`` for every text, or None where that is not certain.

    The two programs differ in one point: `tokenizers` merges the pairs that its file lists, `tiktoken` merges any two
    neighbours whose joined bytes are a token. They agree when every token offered to `tiktoken` is what `tokenizers`
    makes of that token's own bytes. For two neighbours that join to such a token t, no merge has crossed the ends of t,
    so what was merged inside is what would have been merged had t stood alone; that sequence of merges passes through
    exactly one state of two pieces, and the pair in it is the one the file lists. A token that `tokenizers` does not
    make of its own bytes it never makes at all, by the same argument, and is left out.

    Priorities must agree too: `tiktoken` takes the id as priority, hence ids must grow in the order of the merges.
    """
    pattern = _expressible_pattern(description)
    model = description["model"]
    if pattern is None or model["type"] != "BPE" or not is_byte_level(description) or _alters_pieces(model):
        return None
    vocabulary: dict[str, int] = model["vocab"]
    characters = byte_of_character()
    if any(character not in vocabulary for character in characters):
        return None
    ranks = {bytes([byte]): vocabulary[character] for character, byte in characters.items()}
    if model.get("ignore_merges") and not _all_merged(description):
        return None
    bpe = _merging_only(tokenizer)
    highest = -1
    for left, right in (pair_of(merge) for merge in model["merges"]):
        piece = left + right
        identifier = vocabulary[piece]
        if [token.id for token in bpe.tokenize(piece)] != [identifier]:
            if model.get("ignore_merges"):
                return None
            continue
        spelling = piece_bytes(piece)
        if spelling in ranks:
            continue
        if identifier < highest:
            return None
        highest = identifier
        ranks[spelling] = identifier
    return tiktoken.Encoding("trivium", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def _merging_only(tokenizer: Tokenizer) -> models.BPE:
    """The model of ``tokenizer``, without the short cut that takes a whole word for a token before any merging."""
    if not tokenizer.model.ignore_merges:
        return tokenizer.model
    model = Tokenizer.from_str(tokenizer.to_str()).model
    model.ignore_merges = False
    return model


def _all_merged(description: dict[str, Any]) -> bool:
    """True when every piece but the bytes and the added tokens is what a merge makes."""
    model = description["model"]
    made = {"".join(pair_of(merge)) for merge in model["merges"]}
    added = {token["content"] for token in description.get("added_tokens", [])}
    return model["vocab"].keys() <= made | added | byte_of_character().keys()


def _alters_pieces(model: dict[str, Any]) -> bool:
    """True for the options of a BPE model under which a piece is not simply spelt and merged."""
    return any(model.get(option) for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))


def _expressible_pattern(description: dict[str, Any]) -> str | None:
    """The regular expression that a `tokenizer.json` cuts by, or None where the cutting is anything else."""
    if description.get("normalizer") is not None:
        return None
    if any(not token["special"] for token in description.get("added_tokens", [])):
        return None  # such a token is cut out of the text before the pattern sees it
    cutter = description.get("pre_tokenizer") or {}
    if cutter.get("type") == "ByteLevel":
        return GPT2_PATTERN if cutter["use_regex"] and not cutter["add_prefix_space"] else None
    steps = cutter.get("pretokenizers", [])
    if cutter.get("type") != "Sequence" or [step["type"] for step in steps] != ["Split", "ByteLevel"]:
        return None
    split, spell = steps
    if split["behavior"] != "Isolated" or split["invert"] or spell["use_regex"] or spell["add_prefix_space"]:
        return None
    return split["pattern"].get("Regex")


def is_safe_for_fast_encoder(text: str) -> bool:
    """False for the texts that overflow the stack of `tiktoken`; `tokenizers` takes those."""
    return len(text) < _LONGEST_SAFE_RUN or _LONG_RUN.search(text) is None
