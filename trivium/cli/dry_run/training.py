"""What a training run will need: parameters, tokens, memory, and time at the speed that a matrix product has here.

    operations of a token = 6 N + 12 layers x width x context / 2      (Kaplan et al. 2020, section 2.1; causal: half)
    activations           = 20 numbers a token, layer and unit of width (Korthikanti et al. 2022, eq. 1, has 34 bytes of
                            16 bits where attention keeps none of its weights: 17; counted here, GPT-2 keeps 17.0, a
                            gated LLaMA 19.3 to 19.8, an LSTM 19.6)

Both are estimates to plan with: a run that is given minutes measures its own steps before it begins.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch

from trivium.checkpoints.provenance import is_adapter
from trivium.cli.dry_run.network import MIB, count, moments, saved
from trivium.cli.dry_run.preparing import unknown_size
from trivium.cli.dry_run.using import data_facts
from trivium.data.prepared import MANIFEST, Prepared, open_prepared
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.lm.load import saved_folder
from trivium.planning import scaling_laws
from trivium.planning.memory import Rehearsed
from trivium.planning.sizing import Plan, Shape, plan
from trivium.recipes.align.dpo_config import DPOConfig
from trivium.recipes.corruptions import corruption_of
from trivium.recipes.finetune import PASSES, with_usual_rate
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.language_model import build_model, special_ids
from trivium.recipes.lengths import fitted
from trivium.recipes.plan_steps import Step, rehearse_finetuning
from trivium.recipes.prepare_config import checked
from trivium.recipes.pretrain import PretrainConfig, preparation
from trivium.recipes.quickstart import PRETRAINING_SHARE, QuickstartConfig
from trivium.recipes.restored_text import Corruption
from trivium.recipes.training import DEFAULT_STEPS, begin, require_free
from trivium.recipes.tuning_data import examples_source, read_examples
from trivium.runtime import machine, processes
from trivium.runtime.device import choose_device
from trivium.tokenizers.special import SpecialTokens, for_understanding
from trivium.training.schedules import schedule

# Of the speed of a large matrix product, what a training step keeps: 0.69 to 0.75 of decoders from 0.9 to 6 million
# parameters on one core. The rest of it moves memory.
_STEP_EFFICIENCY = 0.7
_MEASURED_SECONDS = 0.6
_ACTIVATIONS = 20
_NUMBER_BYTES = 4
# Tokens that pass through each block for one of the context, where it is not one. An encoder reads the text and a
# decoder writes a fifth of it, a generator is narrow, GLM also writes what it hides, and XLNet reads in two streams.
# Measured by what the forward pass keeps: 9 to 12 numbers a token, layer and unit of width in span corruption, ul2 and
# prefix, 12 in replaced, 24 to 30 in permutation, 28 to 35 in blank infilling, 19 in denoising, 17 to 24 in masked.
_WORK = {"span_corruption": 0.55, "ul2": 0.55, "replaced": 0.6, "permutation": 1.35, "blank_infilling": 1.55}
# Of the documentation of Python, torch and numpy, which takes some seconds to gather.
_EMBEDDED_BYTES = 8_500_000


def pretraining(config: PretrainConfig) -> dict[str, Any]:
    """Of `trivium pretrain`. Raises `UserError` for data, a vocabulary or a folder that the run would refuse."""
    require_free(config)
    objective, context, unique = config.decided_objective, config.batch.context_tokens, None
    facts: dict[str, Any] = {} if objective is None else {"objective": objective.kind}
    row_tokens = context
    if (config.data / MANIFEST).is_file():
        prepared = open_prepared(config.data, verify=False)
        pieces, unique = prepared.tokenizer.vocabulary_size, prepared.train.num_tokens
        ids = special_ids(config.model, prepared.tokenizer)
        facts["data"] = f"{unique:,} tokens to train on, {prepared.validation.num_tokens:,} to measure on"
        if objective is not None:
            row_tokens = _text_tokens(config, objective, prepared, ids)
    else:
        pieces, ids = _planned_vocabulary(config)
        unknown = unknown_size(str(config.data))
        found = data_facts(config.data) if unknown is None else {"size": unknown}
        facts["data"] = {**found, "prepared": "first, with a vocabulary of its own"}
    with torch.device("meta"):
        network = build_model(config.model, pieces, context, ids=ids)
    here = begin(config, processes.place())
    facts |= network_facts(network, here)
    batch = config.batch.rows * context
    work = 1.0 if objective is None else _WORK.get(objective.kind, 1.0)
    if objective is not None and objective.kind == "prefix" and objective.reads_whole:
        work = _WORK["span_corruption"]
    time = time_facts(config, batch, work * operations(network, context), here)
    if unique is not None:
        time["passes_over_the_data"] = round(time["tokens"] / unique * row_tokens / context, 2)
    return {**facts, **time, "memory_mib": memory_facts(config, network, work * batch)}


def _text_tokens(config: PretrainConfig, objective: Corruption, prepared: Prepared, ids: Mapping[str, Any]) -> int:
    """Tokens of text in a row. Raises `ConfigError` for a vocabulary that the objective cannot be trained with."""
    rows = corruption_of(
        dataclasses.replace(objective, units=objective.units and "pieces"),  # phrases take a while to learn
        prepared.tokenizer,
        train=prepared.train,
        context_tokens=config.batch.context_tokens,
        start_id=ids.get("start_id"),
    )
    return rows.window_tokens


def _planned_vocabulary(config: PretrainConfig) -> tuple[int, dict[str, Any]]:
    """Size of a vocabulary that is not trained yet, and the id of its padding, by which some networks count."""
    planned = checked(preparation(config, config.output))
    special = for_understanding(planned.kind) if planned.masks else SpecialTokens()
    return config.vocabulary.size or 256, {"pad_id": list(special).index(special.pad or "")}


def finetuning(config: FinetuneConfig) -> dict[str, Any]:
    """Of `trivium finetune`. Raises `UserError` for a model, data or a folder that the run would refuse."""
    require_free(config)
    model = saved(config.model, config.device, "float32")
    tokenizer = model.tokenizer()
    training, held_out = read_examples(config, tokenizer)
    fitting = fitted(training, config.context_tokens, config.too_long)
    source = examples_source(config, fitting.examples, tokenizer, processes.place())()
    facts = model.facts() | {"dtype": config.dtype}
    facts["data"] = f"{len(fitting.examples):,} examples to train on, {len(held_out):,} to measure on"
    for name, longer in (("left_out", fitting.dropped), ("cut", fitting.cut)):
        if longer:
            facts[name] = f"{longer:,} examples longer than {config.context_tokens} tokens"
    batch = config.rows * config.context_tokens
    default = max(2, round(PASSES * source.batches_per_epoch))
    here = begin(config, processes.place())
    time = time_facts(config, batch, operations(model.network, config.context_tokens), here, default=default)
    time["passes_over_the_data"] = round(time["steps"] / source.batches_per_epoch, 2)
    documents = max(1, round(len(fitting.examples) / (source.batches_per_epoch * config.rows)))
    if is_adapter(saved_folder(config.model)):
        return {**facts, **time, "method": "that of the adapter", "memory_mib": "not foretold of an adapter"}
    method, rate = config.decided_method, with_usual_rate(config, model.network).optimiser.learning_rate
    facts |= {"method": method, "learning_rate": rate}
    try:
        rehearsed = rehearse_finetuning(model.network, method, config.method_settings, _step(config, documents))
    except Unsupported as error:  # the run may do what a rehearsal cannot
        return {**facts, **time, "memory_mib": f"not foretold: {error.what}"}
    facts["trained_parameters"] = rehearsed.trained_parameters
    return {**facts, **time, "memory_mib": rehearsed_memory(config, rehearsed)}


def _step(config: FinetuneConfig, documents: int) -> Step:
    kind = config.optimiser.kind
    return Step(
        rows=config.rows,
        context_tokens=config.context_tokens,
        documents=documents,
        micro_batches=config.training.micro_batches,
        activation_checkpointing=config.training.activation_checkpointing,
        optimiser="adamw" if kind == "galore" else kind,  # which at most needs as much
        dtype=torch.bfloat16 if config.dtype == "bfloat16" else torch.float32,
    )


def rehearsed_memory(config: FinetuneConfig | DPOConfig, rehearsed: Rehearsed, **beside: float) -> dict[str, float]:
    """Parts in MiB, and what the machine has; `beside` are further parts in bytes."""
    parts = dataclasses.asdict(rehearsed.memory) | beside
    averages = (config.training.ema_decay, config.training.non_monotone_evaluations)
    if any(each is not None for each in averages):
        parts["averaged_weights"] = rehearsed.trained_parameters * _NUMBER_BYTES
    facts = {f"{name}_mib": round(value / MIB, 1) for name, value in parts.items() if value}
    return _beside_free(facts | {"in_all_mib": round(sum(parts.values()) / MIB, 1)})


def quickstart(config: QuickstartConfig) -> dict[str, Any]:
    """Of `trivium quickstart`, which sizes its model by measuring: here by the speed of a matrix product."""
    here = choose_device(config.device)
    if here.type != "cpu":
        return {"device": str(here), "model": "sized by measuring when the run begins"}
    size = _EMBEDDED_BYTES if config.data is None else data_facts(config.data)["bytes"]
    if not size:
        raise DataError("there is no text in the data", received=config.data, fix="give a folder with text files")
    rate = machine.measure(_MEASURED_SECONDS).float32_gflops * 1e9 * _STEP_EFFICIENCY

    def tokens_a_second(shape: Shape) -> float:
        return rate / (scaling_laws.OPERATIONS_PER_PARAMETER_AND_TOKEN * shape.parameters)

    planned = plan(60 * config.minutes * PRETRAINING_SHARE, size, tokens_a_second)
    return {
        "data": f"about {size:,} bytes of text" + ("" if config.data else ": the documentation on this machine"),
        **_quickstart_facts(planned, config),
        "time_seconds": round(60 * config.minutes),
        "where": f"{config.output} gets a folder with the model and report.html",
    }


def _quickstart_facts(planned: Plan, config: QuickstartConfig) -> dict[str, Any]:
    shape, steps = planned.shape, config.steps or planned.steps
    return {
        "parameters": shape.parameters,
        "model": f"{shape.layers} layers of width {shape.width}, about: it is sized by measuring when the run begins",
        "steps": steps,
        "tokens": steps * planned.rows * planned.context_tokens,
    }


def network_facts(network: Any, here: torch.device) -> dict[str, Any]:
    """What there is to say of a network before it has storage."""
    return {"parameters": count(network), "device": str(here)}


def operations(network: Any, context: int) -> float:
    """Of one token in a language model that reads rows of `context` tokens, forwards and backwards."""
    width, layers = network.config.width, len(list(network.blocks))
    return scaling_laws.OPERATIONS_PER_PARAMETER_AND_TOKEN * (count(network) + layers * width * context)


def time_facts(
    config: Any, batch: float, operations_each: float, here: torch.device, *, default: int = DEFAULT_STEPS
) -> dict[str, Any]:
    """Steps, tokens and seconds for batches of so many tokens of so many operations each; the last is unknown where no
    processor's product tells."""
    seconds_each = None
    if here.type == "cpu":
        gflops = machine.measure(_MEASURED_SECONDS).float32_gflops
        seconds_each = batch * operations_each / (gflops * 1e9 * _STEP_EFFICIENCY)
    if config.steps is not None or config.minutes is None:
        steps = config.steps or default
    elif seconds_each is None:
        return {"steps": None, "tokens": 0, "time_seconds": 60 * config.minutes}
    else:
        steps = math.floor(60 * config.minutes / seconds_each)
        if steps < 1:
            raise ConfigError(
                "there is no time to train",
                received=f"{60 * config.minutes:.0f} s, and a step takes about {seconds_each:.1f} s",
                fix="give more minutes, or a smaller model or batch",
            )
    schedule(config.schedule, steps)  # refuses what the run would refuse: a warm-up longer than it
    seconds = None if seconds_each is None else round(steps * seconds_each, 1)
    return {"steps": steps, "tokens": round(steps * batch), "time_seconds": seconds}


def memory_facts(config: Any, network: Any, batch: float) -> dict[str, Any]:
    """Parts in MiB, and what the machine has; the process itself takes some hundreds beside."""
    weights = count(network) * _NUMBER_BYTES / MIB
    numbers = _ACTIVATIONS * len(list(network.blocks))
    if config.training.activation_checkpointing:
        numbers = len(list(network.blocks)) + _ACTIVATIONS
    size = 2 if config.dtype == "bfloat16" else _NUMBER_BYTES
    kept = numbers * network.config.width * size * batch / config.training.micro_batches / MIB
    optimiser = moments(network, config.optimiser) * _NUMBER_BYTES / MIB
    parts = {"weights": weights, "gradients": weights, "optimiser": optimiser, "activations": kept}
    averages = (config.training.ema_decay, config.training.non_monotone_evaluations)
    parts |= {"averaged_weights": weights} if any(each is not None for each in averages) else {}
    facts = {f"{name}_mib": round(value, 1) for name, value in parts.items()}
    return _beside_free(facts | {"in_all_mib": round(sum(parts.values()), 1)})


def _beside_free(facts: Mapping[str, float]) -> dict[str, float]:
    free = machine.describe().available_gib
    return dict(facts) if free is None else {**facts, "free_here_mib": round(free * 1024, 1)}
