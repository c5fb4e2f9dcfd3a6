"""Classification: a network that tells which of some labels a text has, or two texts together, or estimates a number.

    run = classification(ClassificationConfig(data=Path("reviews.csv"), base=Path("runs/pretrain")))
    model = trivium.load(run.folder)

With a head, on the body of a pre-trained model or from nothing, or as a language model in one of two ways, see
`trivium.lm.classifying`: discriminative, which reads the text and predicts the label, or generative, which reads the
label and predicts the text.
"""

import collections
import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from trivium import tokenizers
from trivium.data.bucketed import BucketedSource
from trivium.data.examples import Example
from trivium.data.labelled import LabelledText
from trivium.data.labelled_batches import examples_source, labelled_source
from trivium.data.provenance import content_sha256
from trivium.lm.classifying import LabelFacts, label_ids, label_token, read_ids, reads_joined, written_ids
from trivium.lm.local import LocalModel
from trivium.lm.reading import at_most, head_rows, longest_row, reads_types
from trivium.objectives.causal import causal
from trivium.objectives.classification import classification as labelling
from trivium.objectives.regression import regression
from trivium.recipes.classification_config import USUAL_OPTIMISER, ClassificationConfig, LabelVocabularyConfig
from trivium.recipes.classifier import build_classifier, joins
from trivium.recipes.encoder import special_tokens
from trivium.recipes.evaluate_classification import evaluate_classification
from trivium.recipes.evaluate_regression import evaluate_regression
from trivium.recipes.labelled_texts import Texts, read_texts
from trivium.recipes.run_report import write_run_report
from trivium.recipes.starting import (
    architecture_of,
    start_facts,
    transplanted,
    usual_epochs,
    usual_optimiser,
    usual_warmup,
)
from trivium.recipes.training import Job, begin, measured_on, own_device, require_free, train
from trivium.reports.labels import Labelled, Mistake
from trivium.runtime import processes
from trivium.tokenizers import SpecialTokens, Tokenizer
from trivium.tokenizers.joined import Text
from trivium.tokenizers.special import NEEDS_UNKNOWN
from trivium.training.run import Run

__all__ = ["ClassificationConfig", "LabelVocabularyConfig", "classification"]

_WARMUP_STEPS = 20
_REPORTED, _MISTAKES = 500, 6


def classification(config: ClassificationConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`.

    Raises `UserError` before any training for a base, data, sizes or a folder that cannot be used; `Interrupted` after
    SIGINT or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        texts = read_texts(config, tell=here.is_first)
        model, tokenizer = network_and_vocabulary(config, texts)
        source = _source(config, model.to(device), tokenizer, texts.training, texts.labels, here, tell=here.is_first)
        job = Job(
            model=model,
            tokenizer=tokenizer,
            source=source,
            validation=measured_on(_validation(config, model, tokenizer, texts), config.training),
            objective={"head": regression if config.regression else labelling}.get(config.method, causal),
            metadata=_facts(config, model, texts),
        )
        steps = max(2, round(usual_epochs(config.epochs, config.base) * source().batches_per_epoch))
        run = train(
            _settled(config, model),
            job,
            title="classification",
            default_steps=steps,
            usual_warmup_steps=_warmup(config, model, steps),
        )
        write_run_report(
            run,
            device,
            labelled=functools.partial(_measured, texts=texts) if _measurable(config, texts) else None,
            loss_of="a token" if config.method == "generative" else "a text",
        )
        return run


def network_and_vocabulary(config: ClassificationConfig, texts: Texts) -> tuple[nn.Module, Tokenizer]:
    """On the base, or new. Raises `UserError` for what cannot be."""
    if config.base is not None:
        return transplanted(config.base, config.head, texts.labels, fresh=config.fresh)
    tokenizer = train_vocabulary(config, texts)
    model = build_classifier(
        config.model,
        config.method,
        config.head,
        vocabulary_size=tokenizer.vocabulary_size,
        labels=texts.labels,
        context_tokens=config.context_tokens,
    )
    return model, tokenizer


def train_vocabulary(config: ClassificationConfig, texts: Texts) -> Tokenizer:
    """Learnt from the training texts. Where texts are joined it has tokens to stand around them, a language model's has
    one for each label."""
    wanted = config.vocabulary
    if joins(config.model, config.method, config.head, pairs=config.second_field is not None):
        special = special_tokens(wanted.kind)
    else:
        unknown = "<unk>" if wanted.kind in NEEDS_UNKNOWN else None
        others = () if config.method == "head" else tuple(map(label_token, texts.labels))
        special = SpecialTokens(unk=unknown, roles=(), others=others)
    return tokenizers.train(
        [side for text in texts.training for side in (text.text, text.second) if side is not None],
        kind=wanted.kind,
        vocabulary_size=wanted.size,
        lowercase=wanted.lowercase or None,
        special=special,
    )


# Batches --------------------------------------------------------------------------------------------------------------


def _source(
    config: ClassificationConfig,
    network: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[LabelledText],
    labels: tuple[str, ...],
    here: processes.Place,
    *,
    tell: bool = False,
) -> Callable[[], BucketedSource[Any]]:
    """What makes this process's source of batches of `texts`; with `tell`, how many are cut is printed to stderr."""
    settings = {"rows": config.rows, "seed": config.seed, "rank": here.rank, "world": here.world}
    number = {label: index for index, label in enumerate(labels)}
    if reads_as_head(config, network, tokenizer):
        rows, types = rows_of(config, network, tokenizer, [text.read for text in texts], tell=tell)
        targets = [text.number if config.regression else number[text.label] for text in texts]
        return functools.partial(labelled_source, rows, targets, types=types, **settings)
    classes = [number[text.label] for text in texts]
    ids = tokenizer.encode_batch([text.text for text in texts])
    if tell:
        _tell_cut([1 + len(each) for each in ids], config.context_tokens)
    if config.method == "head":
        read = [read_ids(tokenizer, each, config.context_tokens) for each in ids]
        return functools.partial(labelled_source, read, classes, **settings)
    named = label_ids(tokenizer, labels)
    examples = [_example(config, tokenizer, each, named[label]) for each, label in zip(ids, classes, strict=True)]
    return functools.partial(examples_source, examples, **settings)


def reads_as_head(config: ClassificationConfig, network: nn.Module, tokenizer: Tokenizer) -> bool:
    """Whether texts are read as `trivium.lm.reading.head_rows` joins them."""
    return config.method == "head" and reads_joined(network, tokenizer)


def rows_of(
    config: ClassificationConfig, network: nn.Module, tokenizer: Tokenizer, texts: Sequence[Text], *, tell: bool = False
) -> tuple[list[list[int]], list[list[int]] | None]:
    """The ids of each text or pair as the network reads it, and their types where it is told them."""
    longest = at_most(config.context_tokens, longest_row(network))
    if tell:
        whole = tokenizer.encode_joined(texts)
        _tell_cut([len(row.ids) for row in whole], longest)
    rows = head_rows(network, tokenizer, texts, config.context_tokens)
    return [row.ids for row in rows], [row.types for row in rows] if reads_types(network) else None


def _tell_cut(lengths: Sequence[int], longest: int | None) -> None:
    """Says how many texts are longer than what is read of them."""
    cut = 0 if longest is None else sum(length > longest for length in lengths)
    if cut:
        print(
            f"{cut:,} of {len(lengths):,} texts are longer than {longest} tokens and are cut there; "
            f"context_tokens {max(lengths)} would keep all of them whole",
            file=sys.stderr,
        )


def _example(config: ClassificationConfig, tokenizer: Tokenizer, ids: Sequence[int], label: int) -> Example:
    """A text with its label as what a language model reads, and what of it is predicted."""
    if config.method == "discriminative":
        read = read_ids(tokenizer, ids, config.context_tokens)
        return Example(ids=[*read, label], trained=[False] * len(read) + [True])
    written = written_ids(tokenizer, ids, config.context_tokens)
    return Example(ids=[label, *written], trained=[False] + [True] * len(written))


def _validation(config: ClassificationConfig, network: nn.Module, tokenizer: Tokenizer, texts: Texts) -> list[Any]:
    """One pass over what is held out."""
    if not texts.held_out:
        return []
    alone = processes.Place()  # every process holds all of them, and takes its own share
    source = _source(config, network, tokenizer, texts.held_out, texts.labels, alone)()
    return [next(source) for _ in range(round(source.batches_per_epoch))]


def _settled(config: ClassificationConfig, network: nn.Module) -> ClassificationConfig:
    """With the optimiser that it has. A language model of either method is trained as ever."""
    if config.method != "head":
        return config
    return dataclasses.replace(config, optimiser=usual_optimiser(config.optimiser, USUAL_OPTIMISER, network))


def _warmup(config: ClassificationConfig, network: nn.Module, steps: int) -> int:
    return usual_warmup(network, config.steps or steps, _WARMUP_STEPS) if config.method == "head" else _WARMUP_STEPS


# What is told ---------------------------------------------------------------------------------------------------------


def _facts(config: ClassificationConfig, network: nn.Module, texts: Texts) -> dict[str, Any]:
    """What the saved model tells of itself."""
    longest = at_most(config.context_tokens, longest_row(network))
    pairs = config.second_field is not None
    if config.regression:
        told: dict[str, Any] = {"objective": "regression", "context_tokens": longest, "pairs": pairs}
    else:
        shared = {"prior": texts.prior, "context_tokens": longest, "pairs": pairs}
        told = LabelFacts(method=config.method, labels=texts.labels, **shared).to_json()
    return {
        **told,
        **start_facts(config.base, config.fresh),
        "data": str(config.data),
        "data_fingerprint": content_sha256(config.data),
        "architecture": architecture_of(network),
        "examples": len(texts.training),
    }


def _measurable(config: ClassificationConfig, texts: Texts) -> bool:
    """Whether something can be told of the held-out texts: with a constant nothing correlates."""
    return len({text.number for text in texts.held_out}) > 1 if config.regression else bool(texts.held_out)


def _measured(model: LocalModel, *, texts: Texts) -> Labelled:
    """What the run's report tells of some held-out texts."""
    if model.purpose == "regression":
        return _measured_numbers(model, texts.held_out)
    result, found = evaluate_classification(model, texts.held_out, limit=_REPORTED)
    wrong = [one for one in found if one.label != one.target]
    figures = {name: result["metrics"][name] for name in ("accuracy", "macro_f1", "mcc")}
    commonest = max(collections.Counter(one.target for one in found).values())
    figures["share_of_the_commonest_label"] = commonest / len(found)  # what saying always the same would get right
    return Labelled(
        count=result["count"],
        figures=figures,
        intervals=result["intervals"],
        per_label=result["metrics"]["per_label"],
        mistakes=[
            Mistake(
                text=_shown(one.text, one.text_pair), wanted=one.target, given=f"{one.label} ({one.probability:.0%})"
            )
            for one in wrong[:_MISTAKES]
        ],
    )


def _measured_numbers(model: LocalModel, texts: Sequence[LabelledText]) -> Labelled:
    """How well the estimates of some texts go with the numbers they should be; the worst of them."""
    result, found = evaluate_regression(model, texts, limit=_REPORTED)
    worst = sorted(found, key=lambda one: -abs(one.score - one.target))
    return Labelled(
        count=result["count"],
        figures={name: result["metrics"][name] for name in ("pearson", "spearman")},
        intervals=result["intervals"],
        per_label={},
        mistakes=[
            Mistake(text=_shown(one.text, one.text_pair), wanted=f"{one.target:g}", given=f"{one.score:.2f}")
            for one in worst[:_MISTAKES]
        ],
    )


def _shown(text: str, second: str | None) -> str:
    return text if second is None else f"{text} | {second}"
