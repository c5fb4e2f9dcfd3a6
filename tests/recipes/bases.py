"""Small saved models to train further in tests: untrained, but each says something else of every text."""

import pathlib
from collections.abc import Iterable
from typing import Any

import torch

from trivium import tokenizers
from trivium.checkpoints.model_folder import save_folder
from trivium.models.bert import Bert, BertConfig
from trivium.models.t5 import T5, T5Config
from trivium.tokenizers import SpecialTokens, Tokenizer

BERT = SpecialTokens(bos=None, eos=None, pad="[PAD]", unk="<unk>", cls="[CLS]", sep="[SEP]", mask="[MASK]", roles=())


def write_bert(folder: pathlib.Path, texts: Iterable[str], **shape: Any) -> pathlib.Path:
    """A masked BERT of two layers, with a vocabulary of the words of ``texts``."""
    tokenizer = words_of(texts)
    torch.manual_seed(1)
    settings = {"width": 32, "layers": 2, "heads": 2, "inner_width": 64, "context_tokens": 32, "dropout": 0.0}
    config = BertConfig(vocabulary_size=tokenizer.vocabulary_size, **{**settings, "attention_dropout": 0.0, **shape})
    save_folder(folder, Bert(config), tokenizer=tokenizer, metadata={"objective": "masked"})
    return folder


def words_of(texts: Iterable[str]) -> Tokenizer:
    """A vocabulary of whole words, with BERT's tokens around a text."""
    return tokenizers.train(texts, kind="word", vocabulary_size=None, minimum_count=1, special=BERT)


def write_t5(folder: pathlib.Path, texts: Iterable[str], **shape: Any) -> pathlib.Path:
    """A T5 of one layer, with a vocabulary of the words of ``texts``."""
    tokenizer = tokenizers.train(texts, kind="word", vocabulary_size=None, minimum_count=1)
    torch.manual_seed(1)
    settings = {"width": 32, "layers": 1, "heads": 2, "head_width": 16, "inner_width": 64, "dropout": 0.0}
    ids = {"vocabulary_size": tokenizer.vocabulary_size, "start_id": tokenizer.pad_id}
    save_folder(folder, T5(T5Config(**ids, **{**settings, **shape})), tokenizer=tokenizer)
    return folder
