"""What `trivium train TASK` will need: the data is read and the vocabulary learnt as in the run, nothing is trained.

A token of a network with a head costs 6 operations for each of its parameters but those of the embedding, which is
looked up; one of an encoder-decoder is read by half of the parameters: sources and targets are about equally long.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trivium.cli.dry_run.network import count
from trivium.cli.dry_run.training import memory_facts, network_facts, operations, time_facts
from trivium.data.questions import windows
from trivium.lm.reading import at_most, longest_row
from trivium.planning.scaling_laws import OPERATIONS_PER_PARAMETER_AND_TOKEN
from trivium.recipes import classification as classifiers
from trivium.recipes import embedding as embedders
from trivium.recipes import question_answering as answerers
from trivium.recipes import tagging as taggers
from trivium.recipes import text_to_text as writers
from trivium.recipes.classification import ClassificationConfig
from trivium.recipes.embedding import EmbeddingConfig
from trivium.recipes.labelled_texts import read_texts
from trivium.recipes.question_answering import QuestionAnsweringConfig
from trivium.recipes.starting import usual_epochs
from trivium.recipes.tagging import TaggingConfig
from trivium.recipes.text_to_text import TextToTextConfig
from trivium.recipes.train import TaskConfig
from trivium.recipes.training import begin, require_free
from trivium.recipes.translation import (
    TranslationConfig,
    build_translator,
    encode_pairs,
    learn_vocabulary,
    read_pairs,
)
from trivium.runtime import processes


def translating(config: TranslationConfig) -> dict[str, Any]:
    """Of `trivium train translation`. Raises `UserError` for data or a folder that the run would refuse."""
    require_free(config)
    training, held_out = read_pairs(config)
    tokenizer = learn_vocabulary(config.vocabulary, training)
    lengths = [len(source) + len(target) + 1 for source, target in encode_pairs(tokenizer, training)]
    with torch.device("meta"):
        network: Any = build_translator(config.model, tokenizer, config.context_tokens)
    each = OPERATIONS_PER_PARAMETER_AND_TOKEN * count(network) / 2
    data = f"{len(training):,} pairs to train on, {len(held_out):,} to measure on"
    return _facts(config, network, lengths, each, config.epochs, data=data, vocabulary=tokenizer.vocabulary_size)


def classifying(config: ClassificationConfig) -> dict[str, Any]:
    """Of `trivium train classification`. Raises `UserError` for a base, data or a folder that the run would refuse."""
    require_free(config)
    texts = read_texts(config)
    with _place_for(config):
        network, tokenizer = classifiers.network_and_vocabulary(config, texts)
    told: dict[str, Any] = {"data": f"{len(texts.training):,} texts to train on, {len(texts.held_out):,} to measure on"}
    if not config.regression:
        told["labels"] = {label: f"{share:.1%}" for label, share in zip(texts.labels, texts.prior, strict=True)}
    if classifiers.reads_as_head(config, network, tokenizer):
        rows, _ = classifiers.rows_of(config, network, tokenizer, [text.read for text in texts.training])
        lengths = list(map(len, rows))
    else:
        ids = tokenizer.encode_batch([text.text for text in texts.training])
        lengths = [min(1 + len(each), config.context_tokens) for each in ids]
    mean = sum(lengths) / len(lengths)
    each = _of_head(network) if config.method == "head" else operations(network, round(mean))
    passes = usual_epochs(config.epochs, config.base)
    return _facts(config, network, lengths, each, passes, **told, vocabulary=tokenizer.vocabulary_size)


def tagging(config: TaggingConfig) -> dict[str, Any]:
    """Of `trivium train tagging`. Raises `UserError` for a base, data or a folder that the run would refuse."""
    require_free(config)
    tagged = taggers.read_sentences(config)
    with _place_for(config):
        network, tokenizer = taggers.network_and_vocabulary(config, tagged)
    longest = at_most(config.context_tokens, longest_row(network)) or config.context_tokens
    examples = taggers.encode_sentences(tokenizer, tagged.training, tagged.labels, longest)
    lengths = [len(example.text.ids) for example in examples]
    data = f"{len(tagged.training):,} sentences to train on, {len(tagged.held_out):,} to measure on"
    told = {"data": data, "scheme": tagged.scheme or "none: tags of single words", "tags": len(tagged.labels)}
    passes = usual_epochs(config.epochs, config.base)
    each = _of_head(network)
    return _facts(config, network, lengths, each, passes, **told, vocabulary=tokenizer.vocabulary_size)


def answering(config: QuestionAnsweringConfig) -> dict[str, Any]:
    """Of `trivium train question_answering`. Raises `UserError` for what the run would refuse."""
    require_free(config)
    training, held_out = answerers.share_out_questions(config)
    with _place_for(config):
        network, tokenizer = answerers.network_and_vocabulary(config, training)
    longest = at_most(config.context_tokens, longest_row(network)) or config.context_tokens
    found = windows(tokenizer, training, longest=longest, stride=config.stride_tokens)
    data = f"{len(training):,} questions to train on, in {len(found):,} windows, {len(held_out):,} to measure on"
    lengths = [len(window.ids) for window in found]
    passes = usual_epochs(config.epochs, config.base)
    told = {"data": data, "vocabulary": tokenizer.vocabulary_size}
    return _facts(config, network, lengths, _of_head(network), passes, **told)


def writing(config: TextToTextConfig) -> dict[str, Any]:
    """Of `trivium train text_to_text`. Raises `UserError` for what the run would refuse."""
    require_free(config)
    training, held_out = writers.share_out_texts(config)
    with _place_for(config):
        network, tokenizer, _ = writers.network_and_vocabulary(config, training)
    pairs = writers.pairs_to_learn(config, network, tokenizer, training)
    lengths = [len(source) + len(target) + 1 for source, target in pairs]
    each = OPERATIONS_PER_PARAMETER_AND_TOKEN * count(network) / 2
    data = f"{len(training):,} texts to train on, {len(held_out):,} to measure on"
    passes = usual_epochs(config.epochs, config.base)
    return _facts(config, network, lengths, each, passes, data=data, vocabulary=tokenizer.vocabulary_size)


def embedding(config: EmbeddingConfig) -> dict[str, Any]:
    """Of `trivium train embedding`. Raises `UserError` for what the run would refuse."""
    require_free(config)
    training, held_out = embedders.share_out_sentences(config)
    scored = embedders.read_scored(config)
    network, tokenizer = embedders.body_and_vocabulary(config)
    lengths = embedders.row_lengths(config, network, tokenizer, training)
    data = f"{len(training):,} texts to train on, {len(held_out):,} held out, {len(scored):,} pairs to measure on"
    told = {"data": data, "vocabulary": tokenizer.vocabulary_size}
    return _facts(config, network, lengths, _of_head(network), config.epochs, **told)


def _place_for(
    config: ClassificationConfig | TaggingConfig | QuestionAnsweringConfig | TextToTextConfig,
) -> contextlib.AbstractContextManager[Any]:
    """A new network needs no storage to be described; a base is read, so that what is wrong with it is told."""
    return torch.device("meta") if config.base is None else contextlib.nullcontext()


def _of_head(network: nn.Module) -> float:
    looked_up: Any = network.embedding
    return OPERATIONS_PER_PARAMETER_AND_TOKEN * (count(network) - looked_up.weight.numel())


def _facts(
    config: TaskConfig, network: Any, lengths: Sequence[int], each: float, epochs: float, **told: Any
) -> dict[str, Any]:
    """`lengths` are the tokens of each example, `each` the operations of a token, `epochs` the usual passes."""
    here = begin(config, processes.place())
    batches = math.ceil(len(lengths) / config.rows)
    tokens = sum(lengths) / batches
    time = time_facts(config, tokens, each, here, default=max(2, round(epochs * batches)))
    passes = None if time["steps"] is None else round(time["steps"] / batches, 2)
    memory = memory_facts(config, network, tokens)
    return {**told, **network_facts(network, here), **time, "passes_over_the_data": passes, "memory_mib": memory}
