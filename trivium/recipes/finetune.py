"""Fine-tuning: a finished model trained further on conversations, prompts with completions, or instructions.

    run = finetune(FinetuneConfig(model=Path("runs/pretrain"), data=Path("pairs.jsonl"), method="lora"))

A line of the data has one of the forms of `trivium.data.examples_file`. The loss is on what the assistant writes and on
its end token. Prompts are encoded here exactly as they are when the model is used: as a chat turn, or as they stand.
"""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from trivium.adapters.adapter_set import has_adapters
from trivium.adapters.beginning import prefix_tokens
from trivium.adapters.routing import bare
from trivium.checkpoints.provenance import is_adapter, parent_facts
from trivium.data.examples import Example
from trivium.data.provenance import content_sha256
from trivium.errors import DataError, Unsupported
from trivium.generation.generation_config import token_ids
from trivium.generation.reading import context_limit
from trivium.lm.load import base_folder, load, saved_folder
from trivium.lm.local import LocalModel
from trivium.recipes.adapting import (
    Adapted,
    Summary,
    adapt,
    adapted_further,
    hold_frozen,
    require_same_start,
    summary,
    summary_section,
    writing,
)
from trivium.recipes.continuing import as_saved, made_from, open_adapter
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import forgetting_sections, hold_out, standing
from trivium.recipes.lengths import Fitted, fitted, tell
from trivium.recipes.method_config import WAYS, usual_rate
from trivium.recipes.privacy import keep_statement
from trivium.recipes.rehearsal import general_batches
from trivium.recipes.retention import retaining
from trivium.recipes.run_report import write_run_report
from trivium.recipes.training import Job, begin, measured_on, own_device, require_free, run_folder, train
from trivium.recipes.tuning_data import read_examples, reading, validation_batches
from trivium.reports.page import Section
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer
from trivium.training.learners.supervised import Objective
from trivium.training.precision import autocast
from trivium.training.private_gradients import Privacy
from trivium.training.run import Run

PASSES = 3
"""Over the examples, where neither steps nor minutes are given."""


def finetune(config: FinetuneConfig) -> Run:
    """Carries out `config`. The model, or the adapter, is in `run.checkpoints / "best"`.

    Raises `UserError` before any training for a model, data, method or folder that cannot be used; `Interrupted` after
    SIGINT or SIGTERM, once the present step is saved.
    """
    require_free(config)
    _require_whole_where_sharded(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        run, done, sections = _trained(config, device, here)
        # The network that was trained is free by now: the report opens the best one, and there are never two.
        write_run_report(run, device, extra=sections)
        if here.is_first:
            print(done, file=sys.stderr)
        return run


def _require_whole_where_sharded(config: FinetuneConfig) -> None:
    """Raises `Unsupported` where a model is to be sharded of which not all is trained in every update."""
    if config.training.several_processes == "replicate" or processes.place().world == 1:
        return
    unfreezing = config.selective.unfreeze_every_steps
    if config.decided_method != "full" or unfreezing is not None or is_adapter(saved_folder(config.model)):
        gradually = "" if unfreezing is None else f", unfreeze_every_steps {unfreezing}"
        raise Unsupported(
            "a model of which only some is trained is not sharded over processes",
            received=f"method {config.method or 'full'}{gradually}, several_processes shard",
            fix="set several_processes to replicate",
        )


def _trained(
    config: FinetuneConfig, device: torch.device, here: processes.Place
) -> tuple[Run, Summary, Callable[[LocalModel], Sequence[Section]]]:
    """The run, what it came to, and what its report says beside: this, and what the finished model has forgotten."""
    folder = saved_folder(config.model)
    model, config = opened(config, folder, str(device))
    tokenizer = usable(model, config)
    training, held_out = read_examples(config, tokenizer)
    fitting = fitted(training, config.context_tokens, config.too_long)
    read = reading(config, fitting.examples, model, here)
    held = hold_out(
        config.forgetting,
        model,
        own=held_out,
        prompt_format=config.prompt_format,
        context_tokens=config.context_tokens,
    )
    goes_on = has_adapters(model.network)
    adapted = put_in_place(config, model.network)  # which refuses what the method cannot be, before any measuring
    config = with_usual_rate(config, model.network)
    check_context(config, model.network)
    with contextlib.nullcontext() if goes_on else bare(model.network):
        before = None if held is None or not here.is_first else standing(model, held)
    base = base_folder(folder)
    job = Job(
        model=model.network,
        tokenizer=tokenizer,
        source=read.source,
        privacy=read.privacy,
        validation=measured_on(validation_batches(config, held_out, tokenizer), config.training),
        objective=_objective(config, model),
        factors=adapted.factors,
        before_step=adapted.before_step,
        write=writing(adapted, run_folder(config), base),
        generation=generation_settings(model, training),
        metadata={**_made_from(config, folder, fitting), **adapted.facts()},
    )
    if config.resume:
        require_same_start(Run.open(run_folder(config)), job.metadata)
    if here.is_first:
        tell(fitting, len(training), config.context_tokens)
    run = train(config, job, title="fine-tuning", default_steps=max(2, round(PASSES * read.batches_in_pass)))
    forgotten = forgetting_sections(run, held, before)

    def sections(finished: LocalModel) -> Sequence[Section]:
        private = [] if read.privacy is None else [_private(run, read.privacy)]
        return [summary_section(done), *private, *forgotten(finished)]

    done = summary(adapted, run, model.network, passes=read.passes(run.metrics()[-1]["step"]))
    return run, done, sections


def _private(run: Run, privacy: Callable[[int], Privacy]) -> Section:
    """What the run has spent of the privacy that it was planned with."""
    return keep_statement(run, privacy(run.config["steps"]), run.metrics()[-1]["step"])


def _made_from(config: FinetuneConfig, folder: pathlib.Path, fitting: Fitted) -> dict[str, Any]:
    """What the saved model tells of its training, which began with what lies in `folder`."""
    named = config.model
    return {
        "objective": "causal, on completions",
        **(made_from(folder, named) if is_adapter(folder) else parent_facts(folder, named=named)),
        "data": str(config.data),
        "data_fingerprint": content_sha256(config.data),
        "examples": len(fitting.examples),
        "examples_too_long": fitting.dropped,
        "examples_cut": fitting.cut,
    }


def _objective(config: FinetuneConfig, model: LocalModel) -> Objective:
    """Next-token prediction, and what holds the model near what it was before training."""
    text = general_batches(model, context_tokens=config.context_tokens) if config.retention.needs_text else ()
    with autocast(config.dtype, next(model.network.parameters()).device):  # as training computes
        return retaining(config.retention, model.network, text=text, seed=config.seed)


def opened(config: FinetuneConfig, folder: pathlib.Path, device: str) -> tuple[LocalModel, FinetuneConfig]:
    """The base, packed where the method says so, or the adapter on its base; and the settings with the method.

    A base that will be frozen is read in the format that is computed in. One that is packed is not: what its codes come
    from must be what they come from when the adapter is used.
    """
    if is_adapter(folder):
        model = open_adapter(folder, device)
        return model, as_saved(config, folder, model.network)
    way = WAYS[config.decided_method]
    frozen = way.part is None and way.quantize is None
    model = load(folder, device=device, dtype=config.dtype if frozen else "float32", quantize=way.quantize)
    return model, dataclasses.replace(config, method=config.decided_method)


def put_in_place(config: FinetuneConfig, network: nn.Module) -> Adapted:
    """The method in place, a new one or the adapter that is there; a frozen base in the format that is computed in."""
    method, ratio = config.decided_method, config.lora_plus_ratio
    if has_adapters(network):
        adapted = adapted_further(network, method, lora_plus_ratio=ratio)
    else:
        adapted = adapt(network, method, config.method_settings, lora_plus_ratio=ratio, seed=config.seed)
    if adapted.is_adapter:
        hold_frozen(network, config.dtype)
    return adapted


def with_usual_rate(config: FinetuneConfig, network: nn.Module) -> FinetuneConfig:
    """`config` with the learning rate that is usual of its method, where it names none."""
    if config.optimiser.learning_rate is not None:
        return config
    optimiser = dataclasses.replace(config.optimiser, learning_rate=usual_rate(config.decided_method, network))
    return dataclasses.replace(config, optimiser=optimiser)


def usable(model: LocalModel, config: FinetuneConfig) -> Tokenizer:
    """The model's tokenizer, where it has all that this training needs."""
    if "generate" not in model.capabilities or model.architecture.kind not in ("decoder", "recurrent"):
        raise Unsupported(
            "completions are learnt by models that read left to right",
            received=f"{model.architecture.name}, of kind {model.architecture.kind!r}",
            expected="a decoder or a recurrent language model",
        )
    if model.tokenizer is None or model.tokenizer.eos_id is None:
        raise Unsupported(
            "fine-tuning needs a tokenizer with an end token",
            received=f"{config.model}: " + ("no tokenizer" if model.tokenizer is None else "no eos_token"),
            fix="copy the tokenizer's files into the model's folder, and name its eos_token in tokenizer_config.json",
        )
    check_context(config, model.network)
    return model.tokenizer


def check_context(config: FinetuneConfig, network: nn.Module) -> None:
    """Raises `DataError` for rows that are longer than the model reads, what texts begin with included."""
    limit, before = context_limit(network), prefix_tokens(network)
    if limit is not None and config.context_tokens + before > limit:
        raise DataError(
            "the model cannot read rows of this length",
            received=f"context_tokens {config.context_tokens}" + (f" after a prompt of {before}" if before else ""),
            expected=f"at most {limit - before}",
            fix=f"set context_tokens to {limit - before}",
        )


def generation_settings(model: LocalModel, examples: Sequence[Example]) -> Mapping[str, Any]:
    """The base's settings for writing, with the tokens that end the answers just learnt among those that end a text."""
    assert model.tokenizer is not None and model.tokenizer.eos_id is not None, "refused before"
    special = set(model.tokenizer.special_tokens.values())
    known = token_ids(model.generation.get("eos_token_id")) or (model.tokenizer.eos_id,)
    learnt = sorted({example.ids[-1] for example in examples} & special - set(known))
    return {**model.generation, "eos_token_id": [*known, *learnt]} if learnt else dict(model.generation)
