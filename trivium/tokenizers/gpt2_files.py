"""Vocabularies in two files, pieces with ids and the list of merges: GPT-2, and after it RoBERTa and CLIP."""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from trivium.tokenizers.files import CONFIG, damaged, read_text, read_vocabulary

PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"), ("clip_encoder.json", "clip_vocab.bpe"))
"""The names the two files go by."""

_CLIP_PATTERN = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_CLIP_WORD_END = "</w>"
_ROBERTA = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}


def from_vocabulary_and_merges(vocabulary_path: Path, merges_path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The backend and the configuration of two such files; whose they are is seen by the special tokens in them."""
    vocabulary = read_vocabulary(vocabulary_path)
    merges = []
    for line in read_text(merges_path).split("\n"):
        if line and not line.startswith("#version"):
            left, _, right = line.rstrip("\r").partition(" ")
            merges.append((left, right))
    if "<|startoftext|>" in vocabulary and f"a{_CLIP_WORD_END}" in vocabulary:
        make = _clip
    elif "<|endoftext|>" not in vocabulary and vocabulary.keys() >= set(_ROBERTA.values()):
        make = _roberta
    else:
        make = _gpt2
    try:
        return make(vocabulary, merges)
    except Exception as error:  # the Rust library raises plain Exception for a merge of unknown pieces
        raise damaged(merges_path, str(error)) from error


def _gpt2(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> tuple[Tokenizer, dict[str, Any]]:
    """Radford et al. 2019; the only special token, ``<|endoftext|>``, is bos and eos at once."""
    backend = _byte_level(models.BPE(vocabulary, merges))
    end = "<|endoftext|>"
    backend.add_special_tokens([_special(end)])
    return backend, {**CONFIG, "bos_token": end, "eos_token": end}


def _roberta(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> tuple[Tokenizer, dict[str, Any]]:
    """Liu et al. 2019: GPT-2's merges with BERT's roles; the space before ``<mask>`` belongs to it."""
    backend = _byte_level(models.BPE(vocabulary, merges, unk_token="<unk>"))
    tokens = [AddedToken(t, special=True, normalized=False, lstrip=t == "<mask>") for t in _ROBERTA.values()]
    backend.add_special_tokens(tokens)
    ids = {token: vocabulary[token] for token in ("<s>", "</s>")}
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), trim_offsets=True, add_prefix_space=False
    )
    return backend, {**CONFIG, **_ROBERTA, "cls_token": "<s>", "sep_token": "</s>"}


def _clip(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> tuple[Tokenizer, dict[str, Any]]:
    """Radford et al. 2021 (CLIP): lower-cased, white space collapsed, ``</w>`` at the end of each word."""
    begin, end = "<|startoftext|>", "<|endoftext|>"
    backend = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix=_CLIP_WORD_END, unk_token=end))
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_PATTERN), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    # Each word's end becomes a space, spelt as the byte it is; the one after the last word goes.
    backend.decoder = decoders.Sequence(
        [decoders.Replace(_CLIP_WORD_END, "Ġ"), decoders.ByteLevel(), decoders.Strip(" ", 0, 1)]
    )
    backend.add_special_tokens([_special(begin), _special(end)])
    backend.post_processor = processors.RobertaProcessing(
        (end, vocabulary[end]), (begin, vocabulary[begin]), trim_offsets=False, add_prefix_space=False
    )
    return backend, {**CONFIG, "bos_token": begin, "eos_token": end, "pad_token": end, "unk_token": end}


def _byte_level(model: models.BPE) -> Tokenizer:
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)
