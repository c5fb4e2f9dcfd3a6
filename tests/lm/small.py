"""Small models with real vocabularies, for the tests beside this file."""

from typing import Any

import tokenizers as backend
import torch
from torch import nn

from trivium import tokenizers
from trivium.models import architecture
from trivium.tokenizers import JsonTokenizer

TEXTS = ["the cat sat on the mat and the dog ran to the cat", "a naïve café costs 5 € or ¥600", "dogs and cats run"]
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"width": 24, "layers": 2, "heads": 3, "context_tokens": 48},
    "llama": {"width": 24, "layers": 2, "heads": 4, "inner_width": 40, "context_tokens": 64},
    "lstm": {"width": 16, "layers": 1, "dropout": 0.0},
    "bert": {"width": 24, "layers": 2, "heads": 3, "inner_width": 40, "context_tokens": 32},
    "t5": {"width": 24, "layers": 2, "heads": 3, "head_width": 8, "inner_width": 40},
    "seq2seq": {"width": 12, "embedding_width": 10, "attention_width": 8},
}


def byte_tokenizer() -> JsonTokenizer:
    return tokenizers.train(TEXTS, kind="byte_bpe", vocabulary_size=290)


def masked_tokenizer() -> JsonTokenizer:
    """Whole words between [CLS] and [SEP], as a BERT reads them."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for text in TEXTS for word in text.split()})]
    made = backend.Tokenizer(backend.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = backend.pre_tokenizers.Whitespace()
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    made.post_processor = backend.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return JsonTokenizer(made, {})


def network(name: str, vocabulary_size: int) -> nn.Module:
    row = architecture(name)
    torch.manual_seed(2)
    model = row.model_class()(row.config_class()(vocabulary_size=vocabulary_size, **SHAPES[name])).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model
