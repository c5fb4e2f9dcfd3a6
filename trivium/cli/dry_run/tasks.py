"""What `trivium train TASK` will need: the data is read and the vocabulary learnt as in the run, nothing is trained.

A token of a network with a head costs 6 operations for each of its parameters but those of the embedding, which is
looked up; one of an encoder-decoder is read by half of the parameters: sources and targets are about equally long.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from trivium.cli.dry_run.network import count
from trivium.cli.dry_run.training import memory_facts, network_facts, operations, time_facts
from trivium.planning.scaling_laws import OPERATIONS_PER_PARAMETER_AND_TOKEN
from trivium.recipes import tagging as taggers
from trivium.recipes.classification import ClassificationConfig, read_texts, train_vocabulary
from trivium.recipes.classifier import build_classifier
from trivium.recipes.tagging import TaggingConfig
from trivium.recipes.training import begin, require_free
from trivium.recipes.translation import (
    TranslationConfig,
    build_translator,
    encode_pairs,
    learn_vocabulary,
    read_pairs,
)
from trivium.runtime import processes

Recipe = TranslationConfig | ClassificationConfig | TaggingConfig


def translating(config: TranslationConfig) -> dict[str, Any]:
    """Of `trivium train translation`. Raises `UserError` for data or a folder that the run would refuse."""
    require_free(config)
    training, held_out = read_pairs(config)
    tokenizer = learn_vocabulary(config.vocabulary, training)
    lengths = [len(source) + len(target) + 1 for source, target in encode_pairs(tokenizer, training)]
    with torch.device("meta"):
        network: Any = build_translator(config.model, tokenizer)
    each = OPERATIONS_PER_PARAMETER_AND_TOKEN * count(network) / 2
    data = f"{len(training):,} pairs to train on, {len(held_out):,} to measure on"
    return _facts(config, network, lengths, each, data=data, vocabulary=tokenizer.vocabulary_size)


def classifying(config: ClassificationConfig) -> dict[str, Any]:
    """Of `trivium train classification`. Raises `UserError` for data or a folder that the run would refuse."""
    require_free(config)
    texts = read_texts(config)
    tokenizer = train_vocabulary(config, texts)
    ids = tokenizer.encode_batch([text.text for text in texts.training])
    lengths = [min(1 + len(each), config.context_tokens) for each in ids]
    with torch.device("meta"):
        network: Any = build_classifier(
            config.model,
            config.method,
            vocabulary_size=tokenizer.vocabulary_size,
            labels=texts.labels,
            context_tokens=config.context_tokens,
        )
    mean = sum(lengths) / len(lengths)
    each = _of_head(network) if config.method == "head" else operations(network, round(mean))
    data = f"{len(texts.training):,} texts to train on, {len(texts.held_out):,} to measure on"
    labels = {label: f"{share:.1%}" for label, share in zip(texts.labels, texts.prior, strict=True)}
    return _facts(config, network, lengths, each, data=data, labels=labels, vocabulary=tokenizer.vocabulary_size)


def tagging(config: TaggingConfig) -> dict[str, Any]:
    """Of `trivium train tagging`. Raises `UserError` for data or a folder that the run would refuse."""
    require_free(config)
    tagged = taggers.read_sentences(config)
    tokenizer = taggers.learn_vocabulary(config.vocabulary, tagged.training)
    examples = taggers.encode_sentences(tokenizer, tagged.training, tagged.labels, config.context_tokens)
    with torch.device("meta"):
        network = taggers.build_tagger(config.model, tokenizer.vocabulary_size, tagged.labels)
    lengths = [len(example.text.ids) for example in examples]
    data = f"{len(tagged.training):,} sentences to train on, {len(tagged.held_out):,} to measure on"
    told = {"data": data, "scheme": tagged.scheme or "none: tags of single words", "tags": len(tagged.labels)}
    return _facts(config, network, lengths, _of_head(network), **told, vocabulary=tokenizer.vocabulary_size)


def _of_head(network: Any) -> float:
    return OPERATIONS_PER_PARAMETER_AND_TOKEN * (count(network) - network.embedding.weight.numel())


def _facts(config: Recipe, network: Any, lengths: Sequence[int], each: float, **told: Any) -> dict[str, Any]:
    """`lengths` are the tokens of each example, `each` the operations of a token."""
    here = begin(config, processes.place())
    batches = math.ceil(len(lengths) / config.rows)
    tokens = sum(lengths) / batches
    time = time_facts(config, tokens, each, here, default=max(2, round(config.epochs * batches)))
    passes = None if time["steps"] is None else round(time["steps"] / batches, 2)
    memory = memory_facts(config, network, tokens)
    return {**told, **network_facts(network, here), **time, "passes_over_the_data": passes, "memory_mib": memory}
