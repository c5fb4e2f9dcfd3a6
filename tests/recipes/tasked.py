"""Small untrained models for every task that a Transformer is asked to do, with the words that they know."""

import pathlib
from typing import Any

import torch

from trivium import tokenizers
from trivium.checkpoints.model_folder import save_folder
from trivium.models.bart import Bart, BartConfig
from trivium.models.bert import Bert, BertConfig
from trivium.models.t5 import T5, T5Config
from trivium.tokenizers import SpecialTokens
from trivium.tokenizers.special import BERT

TEXTS = ["the tiger jumped out of a tree", "it was thirsty", "the drink in the tree was cold , and the tiger old"]
PAIRS = [(TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[2]), (TEXTS[2], TEXTS[0]), ("a tree", "the tree"), ("it", "cold")]


def write_encoder(folder: pathlib.Path, head: str, labels: tuple[str, ...] = (), **facts: Any) -> pathlib.Path:
    """A BERT with a head."""
    vocabulary = tokenizers.train(TEXTS, kind="word", vocabulary_size=None, minimum_count=1, special=BERT)
    torch.manual_seed(1)
    config = BertConfig(
        vocabulary_size=vocabulary.vocabulary_size,
        width=16,
        layers=1,
        heads=2,
        inner_width=16,
        context_tokens=32,
        head=head,  # type: ignore[arg-type]
        labels=labels,
    )
    return _saved(folder, Bert(config), vocabulary, facts)


def write_writer(folder: pathlib.Path, objective: str, **facts: Any) -> pathlib.Path:
    """A T5 that writes a few words for a text."""
    special = SpecialTokens(unk="<unk>", roles=(), others=("<extra_id_0>", "<extra_id_1>"))
    vocabulary = tokenizers.train(TEXTS, kind="word", vocabulary_size=None, minimum_count=1, special=special)
    torch.manual_seed(1)
    config = T5Config(
        vocabulary_size=vocabulary.vocabulary_size, width=16, layers=1, heads=2, head_width=8, inner_width=16
    )
    return _saved(folder, T5(config), vocabulary, {"objective": objective, **facts}, {"max_new_tokens": 4})


def write_short_writer(folder: pathlib.Path, objective: str, **facts: Any) -> pathlib.Path:
    """A BART that reads, and writes, no more than eight words."""
    vocabulary = tokenizers.train(TEXTS, kind="word", vocabulary_size=None, minimum_count=1)
    torch.manual_seed(1)
    shape: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "inner_width": 16, "context_tokens": 8}
    config = BartConfig(vocabulary_size=vocabulary.vocabulary_size, **shape)
    return _saved(folder, Bart(config), vocabulary, {"objective": objective, **facts}, {"max_new_tokens": 4})


def _saved(folder: pathlib.Path, network: Any, vocabulary: Any, facts: Any, generation: Any = None) -> pathlib.Path:
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    save_folder(folder, network, tokenizer=vocabulary, metadata=facts, generation=generation)
    return folder
