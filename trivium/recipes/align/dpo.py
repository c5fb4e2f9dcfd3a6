"""Preferences learnt directly: DPO and what came after it, without a reward model and without sampling.

    run = dpo(DPOConfig(model=Path("runs/finetune"), data=Path("pairs.jsonl"), method="lora"))

The reference is the model as it is when training begins, whatever that is: the base under a new adapter, the adapter
that goes on (and not the base below it, which the policy never was), or all weights. At each step it is computed by the
same network with a copy of what is trained in its place; or, with `store_reference`, once, before the first.
"""

import pathlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from trivium.adapters.beginning import begin_active, prefix_tokens
from trivium.checkpoints.provenance import is_adapter, parent_facts
from trivium.data.batches import JudgedBatch, PreferenceBatch
from trivium.data.bucketed import BucketedSource
from trivium.data.examples import Example
from trivium.data.labelled_batches import examples_batch
from trivium.data.preference_batches import (
    JudgedExample,
    PairExample,
    judged_batch,
    judged_source,
    preference_batch,
    preference_source,
)
from trivium.data.provenance import content_sha256
from trivium.errors import Unsupported
from trivium.lm.load import base_folder, saved_folder
from trivium.lm.local import LocalModel
from trivium.models import architecture
from trivium.nn.evaluating import evaluating
from trivium.objectives.answers import AsReference, Reader, reference_log_probs
from trivium.objectives.kto import KTO, Judging
from trivium.objectives.preferred import preferring
from trivium.recipes.adapting import require_same_start, summary, summary_section, writing
from trivium.recipes.align.dpo_config import DPOConfig, needs_reference
from trivium.recipes.align.dpo_data import Item, Items, read_items, tell
from trivium.recipes.align.dpo_figures import figures_of, figures_section, warning
from trivium.recipes.continuing import made_from
from trivium.recipes.finetune import check_context, generation_settings, opened, put_in_place, usable, with_usual_rate
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.retention import as_now
from trivium.recipes.run_report import write_run_report
from trivium.recipes.training import Job, begin, measured_on, own_device, require_free, run_folder, train
from trivium.reports.page import Section
from trivium.runtime import processes
from trivium.training.learners.supervised import Objective
from trivium.training.precision import autocast
from trivium.training.run import Run

PASSES = 1
"""Over the data, where neither steps nor minutes are given: a second one learns the pairs by heart."""
_RATE = 0.1
"""The learning rate in that of fine-tuning by the same method (Rafailov et al. 2023, appendix B: 1e-6)."""
_MEASURED = 64
"""Where nothing is held out, so many of the training pairs are looked at for the report."""


def dpo(config: DPOConfig) -> Run:
    """Carries out `config`. The model, or the adapter, is in `run.checkpoints / "best"`.

    Raises `UserError` before any training for a model, data, method or folder that cannot be used; `Interrupted` after
    SIGINT or SIGTERM, once the present step is saved.
    """
    require_free(config)
    if config.training.several_processes == "shard":
        raise Unsupported(
            "a model that learns preferences is not sharded over processes",
            received="several_processes shard",
            fix="set several_processes to replicate",
        )
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        run, sections = _trained(config, device, here)
        of = "a pair" if config.objective != "kto" else "an answer"
        write_run_report(run, device, loss_of=of, extra=sections)
        return run


def _trained(
    config: DPOConfig, device: torch.device, here: processes.Place
) -> tuple[Run, Callable[[LocalModel], Sequence[Section]]]:
    """The run, and what its report says beside."""
    folder = saved_folder(config.model)
    model, tuning = opened(as_finetuning(config), folder, str(device))
    tokenizer = usable(model, tuning)
    items = read_items(config, tokenizer)
    adapted = put_in_place(tuning, model.network)
    check_context(tuning, model.network)
    config = with_usual_rate_of_preferences(config, tuning, model.network)
    measured = _read_by_reference(config, model.network, items.held_out or items.training[:_MEASURED])
    held_out = measured if items.held_out else []
    stored = config.store_reference
    training = _read_by_reference(config, model.network, items.training) if stored else items.training
    job = Job(
        model=model.network,
        tokenizer=tokenizer,
        source=partial(_source, config, training, here),
        validation=measured_on(_batches(held_out, config.rows), config.training),
        objective=_objective(config, model.network, measured),
        factors=adapted.factors,
        before_step=adapted.before_step,
        write=writing(adapted, run_folder(config), base_folder(folder)),
        generation=generation_settings(model, _answers(training)),
        metadata={**_made_from(config, folder, items), **adapted.facts()},
    )
    if config.resume:
        require_same_start(Run.open(run_folder(config)), job.metadata)
    if here.is_first:
        tell(items, config.context_tokens)
    batches_in_pass = job.source().batches_per_epoch
    run = train(config, job, title=config.objective, default_steps=max(2, round(PASSES * batches_in_pass)))
    done = summary(adapted, run, model.network, passes={})

    def sections(finished: LocalModel) -> Sequence[Section]:
        seen = "held-out" if items.held_out else "trained-on"
        found = figures_of(config.loss, finished.network, reader(finished.network), _batches(measured, config.rows))
        told = warning(config.objective, found, seen)
        if told is not None:
            print(told, file=sys.stderr)
        return [summary_section(done), figures_section(found, run.metrics(), seen, told)]

    return run, sections


def as_finetuning(config: DPOConfig) -> FinetuneConfig:
    """What opening the model and putting the method in place go by."""
    return FinetuneConfig(
        model=config.model,
        data=config.data,
        method=config.method,
        lora=config.lora,
        context_tokens=config.context_tokens,
        optimiser=config.optimiser,
        seed=config.seed,
        dtype=config.dtype,
    )


def with_usual_rate_of_preferences(config: DPOConfig, tuning: FinetuneConfig, network: nn.Module) -> DPOConfig:
    """`config` with the learning rate that is usual, where it names none; `tuning` has the method."""
    if config.optimiser.learning_rate is not None:
        return config
    rate = with_usual_rate(tuning, network).optimiser.learning_rate
    assert rate is not None, "every method has one"
    return replace(config, optimiser=replace(config.optimiser, learning_rate=_RATE * rate))


def reader(network: nn.Module) -> Reader:
    """One text after another where the network can; rows where it cannot, or where something begins every text."""
    if prefix_tokens(network):
        return Reader(joined=False, begin=_begun)
    config: Any = network.config
    return Reader(joined=architecture(config.to_hf()["model_type"]).kind == "decoder")


def _begun(network: nn.Module, rows: int, width: int) -> Any:
    return begin_active(network, [None] * rows, width)


def _objective(config: DPOConfig, network: nn.Module, seen: Sequence[Item]) -> Objective:
    """What is minimised; the reference is the network as it is now, and is so told of some of what was `seen`."""
    loss, read = config.loss, reader(network)
    as_reference = as_now(network) if needs_reference(loss) and not config.store_reference else None
    if as_reference is not None:
        _check_reference(config, network, as_reference, seen[: config.rows])
    if isinstance(loss, KTO):
        return Judging(loss, read=read, as_reference=as_reference)
    return preferring(loss, read=read, as_reference=as_reference)


def _check_reference(config: DPOConfig, network: nn.Module, as_reference: AsReference, seen: Sequence[Item]) -> None:
    """Before training, policy and reference are one: a reference that is another model spoils every reward unseen."""
    read, device = reader(network), next(network.parameters()).device
    answers = examples_batch(_answers(seen), range(len(seen))).to(device)
    with torch.no_grad(), evaluating(network), autocast(config.dtype, device):
        (own,) = read(network, answers)
        (theirs,) = reference_log_probs(network, read, as_reference, answers)
    assert own.log_probs.equal(theirs), "the reference is not what training begins with"


def _source(
    config: DPOConfig, items: Sequence[Item], here: processes.Place
) -> BucketedSource[PreferenceBatch] | BucketedSource[JudgedBatch]:
    pairs, judged = _by_kind(items)
    places = {"rows": config.rows, "seed": config.seed, "rank": here.rank, "world": here.world}
    return preference_source(pairs, **places) if pairs else judged_source(judged, **places)


def _batches(items: Sequence[Item], rows: int) -> list[PreferenceBatch] | list[JudgedBatch]:
    """All of them once, those of about one length together."""
    pairs, judged = _by_kind(items)
    if pairs:
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i].chosen.ids) + len(pairs[i].rejected.ids))
        return [preference_batch(pairs, order[start : start + rows]) for start in range(0, len(order), rows)]
    order = sorted(range(len(judged)), key=lambda i: len(judged[i].answer.ids))
    return [judged_batch(judged, order[start : start + rows]) for start in range(0, len(order), rows)]


def _by_kind(items: Sequence[Item]) -> tuple[list[PairExample], list[JudgedExample]]:
    """(pairs, answers), one of them empty."""
    pairs = [item for item in items if isinstance(item, PairExample)]
    return pairs, [item for item in items if isinstance(item, JudgedExample)]


def _texts(item: Item) -> tuple[Example, Example]:
    """What a reference reads of it."""
    if isinstance(item, PairExample):
        return item.chosen, item.rejected
    assert item.mismatched is not None, "every answer has one beside it"
    return item.answer, item.mismatched


def _answers(items: Sequence[Item]) -> list[Example]:
    return [_texts(item)[0] for item in items]


def _read_by_reference(config: DPOConfig, network: nn.Module, items: Sequence[Item]) -> list[Item]:
    """The same with the log-probabilities that the network, as it is now, gives them."""
    read, device = reader(network), next(network.parameters()).device
    order = sorted(range(len(items)), key=lambda index: sum(len(text.ids) for text in _texts(items[index])))
    found = list(items)
    for start in range(0, len(order), config.rows):
        chosen = order[start : start + config.rows]
        texts = [PairExample(chosen=first, rejected=second) for first, second in (_texts(items[i]) for i in chosen)]
        batch = preference_batch(texts, range(len(texts))).to(device)
        with torch.no_grad(), evaluating(network), autocast(config.dtype, device):
            first, second = read(network, batch.chosen, batch.rejected)
        for index, one, other in zip(chosen, first.log_probs.tolist(), second.log_probs.tolist(), strict=True):
            found[index] = replace(items[index], reference=(one, other))
    return found


def _made_from(config: DPOConfig, folder: pathlib.Path, items: Items) -> dict[str, Any]:
    """What the saved model tells of its training, which began with what lies in `folder`."""
    named = config.model
    return {
        "objective": config.objective,
        **(made_from(folder, named) if is_adapter(folder) else parent_facts(folder, named=named)),
        "data": str(config.data),
        "data_fingerprint": content_sha256(config.data),
        items.what: len(items.training),
        "too_long": items.dropped,
        "cut": items.cut,
    }
