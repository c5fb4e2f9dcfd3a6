"""Small models that label, tag and translate, untrained, with the texts that they can read."""

import pathlib
from collections.abc import Mapping
from typing import Any

import torch

from trivium import tokenizers
from trivium.checkpoints.model_folder import save_folder
from trivium.lm.classifying import LabelFacts, Method, label_token
from trivium.models.bilstm import BiLSTM, BiLSTMConfig
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.seq2seq import Seq2Seq, Seq2SeqConfig
from trivium.tokenizers import SpecialTokens, Tokenizer

TEXTS = ["Anna lives in Rome.", "Ben sings in Oslo, she said.", "it rains; nobody sings!"]
LABELS = ("calm", "loud", "wet")
TAGS = ("O", "B-city", "I-city", "B-person", "I-person")


def tokenizer_of(kind: Method | str = "head") -> Tokenizer:
    """Of characters; with a token for each label where a language model is to tell them."""
    names = () if kind == "head" else tuple(map(label_token, LABELS))
    letters = ["".join(map(chr, range(32, 127)))]
    return tokenizers.train(
        letters, kind="character", vocabulary_size=None, special=SpecialTokens(roles=(), others=names)
    )


def write_classifier(folder: pathlib.Path, method: Method = "head") -> pathlib.Path:
    """One that says something else of every text."""
    tokenizer = tokenizer_of(method)
    torch.manual_seed(0)
    facts = LabelFacts(method=method, labels=LABELS, prior=(0.5, 0.25, 0.25), context_tokens=32)
    if method == "head":
        config = BiLSTMConfig(vocabulary_size=tokenizer.vocabulary_size, embedding_width=8, width=8, labels=LABELS)
        return _saved(folder, BiLSTM(config), tokenizer, metadata=facts.to_json())
    config = GPT2Config(vocabulary_size=tokenizer.vocabulary_size, width=8, layers=1, heads=1, context_tokens=64)
    return _saved(folder, GPT2(config), tokenizer, metadata=facts.to_json())


def write_tagger(folder: pathlib.Path, labels: tuple[str, ...] = TAGS) -> pathlib.Path:
    tokenizer = tokenizer_of()
    torch.manual_seed(0)
    size = tokenizer.vocabulary_size
    shape = BiLSTMConfig(vocabulary_size=size, embedding_width=8, width=8, head="tagging", labels=labels)
    return _saved(folder, BiLSTM(shape), tokenizer, metadata={"objective": "tagging"})


def write_translator(folder: pathlib.Path, generation: Mapping[str, Any] | None = None) -> pathlib.Path:
    tokenizer = tokenizer_of()
    torch.manual_seed(0)
    size = tokenizer.vocabulary_size
    assert tokenizer.bos_id is not None
    shape = Seq2SeqConfig(
        vocabulary_size=size, width=8, embedding_width=8, attention_width=8, start_id=tokenizer.bos_id
    )
    settings = {"num_beams": 2, "max_new_tokens": 6} if generation is None else generation
    return _saved(folder, Seq2Seq(shape), tokenizer, metadata={"objective": "translation"}, generation=settings)


def write_language_model(folder: pathlib.Path) -> pathlib.Path:
    tokenizer = tokenizer_of()
    config = GPT2Config(vocabulary_size=tokenizer.vocabulary_size, width=8, layers=1, heads=1, context_tokens=64)
    return _saved(folder, GPT2(config), tokenizer, metadata={"objective": "causal"})


def _saved(folder: pathlib.Path, network: torch.nn.Module, tokenizer: Tokenizer, **told: Any) -> pathlib.Path:
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    save_folder(folder, network, tokenizer=tokenizer, **told)
    return folder
