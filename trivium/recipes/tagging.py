"""Tagging: a network that gives every word of a sentence its tag, such as the names it belongs to.

    run = tagging(TaggingConfig(data=Path("train.conll"), validation=Path("dev.conll"), base=Path("runs/pretrain")))
    trivium.load(run.folder).tag(["Ada Lovelace was born in London."])

It stands on the body of a pre-trained model, or begins from nothing.

Words and tags come in columns, see `trivium.data.conll`. The model of a run is its last one: where spans are rare and
new, as in WNUT-17, the loss on held-out sentences rises again long before most of them are found (lowest at an F1 of
13, and a third higher at 24). With `training.keep_best` 1 it is the one of the lowest loss.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Sequence

from torch import nn

from trivium import tokenizers
from trivium.data.batches import TaggedBatch
from trivium.data.bucketed import BucketedSource
from trivium.data.conll import TaggedFile, TaggedSentence, read_conll, tag_labels
from trivium.data.provenance import file_sha256
from trivium.data.spans import Scheme
from trivium.data.splits import is_held_out
from trivium.data.tagged import TaggedExample, read_words, tagged_batch, tagged_source
from trivium.errors import DataError
from trivium.lm.local import LocalModel
from trivium.lm.reading import at_most, longest_row
from trivium.objectives.tagging import tagging as tags_of_words
from trivium.recipes.encoder import special_tokens
from trivium.recipes.evaluate_tagging import evaluate_tagging
from trivium.recipes.run_report import write_run_report
from trivium.recipes.starting import (
    architecture_of,
    start_facts,
    transplanted,
    usual_epochs,
    usual_optimiser,
    usual_warmup,
)
from trivium.recipes.tagger import TaggerConfig, build_tagger, reads_around
from trivium.recipes.tagging_config import USUAL_OPTIMISER, TaggingConfig, TagVocabularyConfig
from trivium.recipes.training import Job, begin, measured_on, own_device, require_free, train
from trivium.reports.labels import Labelled, Mistake
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer
from trivium.training.run import Run

__all__ = ["TagVocabularyConfig", "TaggerConfig", "TaggingConfig", "tagging"]

_WARMUP_STEPS = 20
_HELD_OUT = 0.1
_REPORTED, _MISTAKES = 500, 6


def tagging(config: TaggingConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "last"`, or in "best" where that is kept.

    Raises `UserError` before any training for sizes, data or a folder that cannot be used; `Interrupted` after SIGINT
    or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        tagged = read_sentences(config)
        model, tokenizer = network_and_vocabulary(config, tagged)
        longest = at_most(config.context_tokens, longest_row(model)) or config.context_tokens
        examples = encode_sentences(tokenizer, tagged.training, tagged.labels, longest)
        job = Job(
            model=model.to(device),
            tokenizer=tokenizer,
            source=_source(config, examples, here),
            validation=_validation(config, tokenizer, tagged, longest),
            objective=tags_of_words,
            metadata={
                "objective": "tagging",
                "context_tokens": longest,
                "labels": list(tagged.labels),
                "scheme": tagged.scheme,
                "architecture": architecture_of(model),
                **start_facts(config.base, config.fresh),
                "data": str(config.data),
                "data_fingerprint": file_sha256(config.data),
                "sentences": len(tagged.training),
            },
        )
        steps = max(2, round(usual_epochs(config.epochs, config.base) * math.ceil(len(examples) / config.rows)))
        optimiser = usual_optimiser(config.optimiser, USUAL_OPTIMISER, model)
        run = train(
            dataclasses.replace(config, optimiser=optimiser),
            job,
            title="tagging",
            default_steps=steps,
            usual_warmup_steps=usual_warmup(model, config.steps or steps, _WARMUP_STEPS),
        )
        labelled = functools.partial(_measured, tagged=tagged, path=config.validation or config.data)
        write_run_report(run, device, labelled=labelled, loss_of="a word")
        return run


def _measured(model: LocalModel, *, tagged: "Sentences", path: pathlib.Path) -> Labelled:
    """What the run's report tells of some held-out sentences."""
    file = TaggedFile(sentences=tagged.held_out, scheme=tagged.scheme)
    result, found = evaluate_tagging(model, file, path, limit=_REPORTED)
    figures = result["metrics"]
    wrong = [one for one in found if one.tags != one.target]
    return Labelled(
        count=result["count"],
        figures={name: figures[name] for name in ("f1", "f1_macro", "token_accuracy") if name in figures},
        intervals=result["intervals"],
        per_label=figures.get("per_type", {}),
        mistakes=[
            Mistake(text=" ".join(one.words), wanted=" ".join(one.target), given=" ".join(one.tags))
            for one in wrong[:_MISTAKES]
        ],
    )


# Sentences -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sentences:
    """What is trained and measured on."""

    training: list[TaggedSentence]
    """In the order of their file."""
    held_out: list[TaggedSentence]
    labels: tuple[str, ...]
    """Every tag there is, in the order of class ids."""
    scheme: Scheme | None
    """How tags mark spans: iob2 or iobes; None where they mark none."""


def read_sentences(config: TaggingConfig) -> Sentences:
    """The sentences as the configuration shares them out. Raises `DataError` for files that cannot be used."""
    files = [
        read_conll(path, encoding=config.encoding) for path in (config.data, config.validation) if path is not None
    ]
    labels, scheme = tag_labels(files)
    if len(labels) < 2:
        raise DataError(
            "there is only one tag, so there is nothing to tell apart",
            received=f"{config.data}: every word is {', '.join(labels)}",
            fix="check that the tag is in the last column",
        )
    if len(files) == 2:
        held_out = files[1].sentences
        known = {sentence.words for sentence in held_out}
        training = [sentence for sentence in files[0].sentences if sentence.words not in known]
        if not training:
            raise DataError("every sentence is in the validation too", received=config.validation)
    else:
        training, held_out = _shared_out(config.data, files[0])
    return Sentences(training=training, held_out=held_out, labels=labels, scheme=scheme)


def _shared_out(path: pathlib.Path, file: TaggedFile) -> tuple[list[TaggedSentence], list[TaggedSentence]]:
    training: list[TaggedSentence] = []
    held_out: list[TaggedSentence] = []
    for sentence in file.sentences:  # by its words: a sentence that is there twice stands on one side
        (held_out if is_held_out(" ".join(sentence.words), _HELD_OUT) else training).append(sentence)
    if not training or not held_out:
        raise DataError(
            "there are too few different sentences to hold any out",
            received=f"{path}: {len({sentence.words for sentence in file.sentences})}",
            fix="give more, or a file of them as validation",
        )
    return training, held_out


def learn_vocabulary(
    config: TagVocabularyConfig, sentences: Sequence[TaggedSentence], *, around: bool = False
) -> Tokenizer:
    """The vocabulary of the words of ``sentences``, with ``around`` with tokens that stand around a sentence.

    Raises `TokenizerError` for a size it cannot have."""
    texts = (" " + " ".join(sentence.words) for sentence in sentences)
    special = special_tokens(config.kind) if around else None
    return tokenizers.train(texts, kind=config.kind, vocabulary_size=config.size, special=special)


def encode_sentences(
    tokenizer: Tokenizer, sentences: Sequence[TaggedSentence], labels: Sequence[str], context_tokens: int
) -> list[TaggedExample]:
    """Each sentence as an example; one that is longer than the context as several."""
    ids = {label: number for number, label in enumerate(labels)}
    examples = []
    read = read_words(tokenizer, [sentence.words for sentence in sentences], longest=context_tokens)
    for sentence, stretches in zip(sentences, read, strict=True):
        start = 0
        for stretch in stretches:
            tags = sentence.tags[start : start + len(stretch.places)]
            examples.append(TaggedExample(text=stretch, tags=[ids[tag] for tag in tags]))
            start += len(tags)
    return examples


def _source(
    config: TaggingConfig, examples: Sequence[TaggedExample], here: processes.Place
) -> Callable[[], BucketedSource[TaggedBatch]]:
    return functools.partial(
        tagged_source, examples, rows=config.rows, seed=config.seed, rank=here.rank, world=here.world
    )


def _validation(config: TaggingConfig, tokenizer: Tokenizer, tagged: Sentences, longest: int) -> list[TaggedBatch]:
    """Every held-out sentence once, those of about one length together."""
    examples = encode_sentences(tokenizer, tagged.held_out, tagged.labels, longest)
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].text.ids))
    cuts = range(0, len(order), config.rows)
    batches = [tagged_batch(examples, order[first : first + config.rows]) for first in cuts]
    return measured_on(batches, config.training)


# Model ---------------------------------------------------------------------------------------------------------------


def network_and_vocabulary(config: TaggingConfig, tagged: Sentences) -> tuple[nn.Module, Tokenizer]:
    """On the base, or new. Raises `UserError` for what cannot be."""
    if config.base is not None:
        return transplanted(config.base, "tagging", tagged.labels, fresh=config.fresh)
    tokenizer = learn_vocabulary(config.vocabulary, tagged.training, around=reads_around(config.model))
    return build_tagger(config.model, tokenizer.vocabulary_size, tagged.labels, config.context_tokens), tokenizer
