"""What a training run will need: parameters, tokens, memory, and time at the speed that a matrix product has here.

    operations of a token = 6 N + 12 layers x width x context / 2      (Kaplan et al. 2020, section 2.1; causal: half)
    activations           = 20 numbers a token, layer and unit of width (Korthikanti et al. 2022, eq. 1, has 34 bytes of
                            16 bits where attention keeps none of its weights: 17; counted here, GPT-2 keeps 17.0, a
                            gated LLaMA 19.3 to 19.8, an LSTM 19.6)

Both are estimates to plan with: a run that is given minutes measures its own steps before it begins.
"""

import math
from typing import Any

import torch

from trivium.cli.dry_run.network import MIB, count, saved
from trivium.cli.dry_run.using import data_facts
from trivium.data.prepared import MANIFEST, open_prepared
from trivium.errors import ConfigError, DataError
from trivium.planning import scaling_laws
from trivium.planning.sizing import Plan, Shape, plan
from trivium.recipes.finetune import PASSES, FinetuneConfig, examples_source, read_examples
from trivium.recipes.pretrain import PretrainConfig, build_model
from trivium.recipes.quickstart import PRETRAINING_SHARE, QuickstartConfig
from trivium.recipes.training import DEFAULT_STEPS, begin, require_free
from trivium.runtime import machine, processes
from trivium.runtime.device import choose_device
from trivium.training.schedules import schedule

# Of the speed of a large matrix product, what a training step keeps: 0.69 to 0.75 of decoders from 0.9 to 6 million
# parameters on one core. The rest of it moves memory.
_STEP_EFFICIENCY = 0.7
_MEASURED_SECONDS = 0.6
_ACTIVATIONS = 20
_NUMBER_BYTES = 4
# Of the documentation of Python, torch and numpy, which takes some seconds to gather.
_EMBEDDED_BYTES = 8_500_000


def pretraining(config: PretrainConfig) -> dict[str, Any]:
    """Of `trivium pretrain`. Raises `UserError` for data or a folder that the run would refuse."""
    require_free(config)
    facts: dict[str, Any] = {}
    if (config.data / MANIFEST).is_file():
        prepared = open_prepared(config.data, verify=False)
        pieces, unique = prepared.tokenizer.vocabulary_size, prepared.train.num_tokens
        facts["data"] = f"{unique:,} tokens to train on, {prepared.validation.num_tokens:,} to measure on"
    else:
        pieces, unique = config.vocabulary.size or 256, None
        facts["data"] = {**data_facts(config.data), "prepared": "first, with a vocabulary of its own"}
    with torch.device("meta"):
        network = build_model(config.model, pieces, config.batch.context_tokens)
    here = begin(config, processes.place())
    facts |= _network_facts(network, here)
    batch = config.batch.rows * config.batch.context_tokens
    time = _time(config, network, batch, config.batch.context_tokens, here)
    if unique is not None:
        time["passes_over_the_data"] = round(time["tokens"] / unique, 2)
    return {**facts, **time, "memory_mib": _memory(config, network, batch)}


def finetuning(config: FinetuneConfig) -> dict[str, Any]:
    """Of `trivium finetune`. Raises `UserError` for a model, data or a folder that the run would refuse."""
    require_free(config)
    model = saved(config.model, config.device, "float32")
    tokenizer = model.tokenizer()
    training, held_out = read_examples(config, tokenizer)
    source = examples_source(config, training, tokenizer, processes.place())()
    facts = model.facts() | {"dtype": config.dtype}
    facts["data"] = f"{len(training) - source.dropped:,} examples to train on, {len(held_out):,} to measure on"
    if source.dropped:
        facts["left_out"] = f"{source.dropped:,} examples longer than {config.context_tokens} tokens"
    batch = config.rows * config.context_tokens
    default = max(2, round(PASSES * source.batches_per_epoch))
    here = begin(config, processes.place())
    time = _time(config, model.network, batch, config.context_tokens, here, default=default)
    time["passes_over_the_data"] = round(time["steps"] / source.batches_per_epoch, 2)
    return {**facts, **time, "memory_mib": _memory(config, model.network, batch)}


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


def _network_facts(network: Any, here: torch.device) -> dict[str, Any]:
    return {"parameters": count(network), "device": str(here)}


def _time(
    config: Any, network: Any, batch: int, context: int, here: torch.device, *, default: int = DEFAULT_STEPS
) -> dict[str, Any]:
    """Steps, tokens and seconds; the last is unknown where no processor's product tells."""
    seconds_each = None
    if here.type == "cpu":
        width, layers = _width(network), len(list(network.blocks))
        operations = scaling_laws.OPERATIONS_PER_PARAMETER_AND_TOKEN * (count(network) + layers * width * context)
        gflops = machine.measure(_MEASURED_SECONDS).float32_gflops
        seconds_each = batch * operations / (gflops * 1e9 * _STEP_EFFICIENCY)
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
    return {"steps": steps, "tokens": steps * batch, "time_seconds": seconds}


def _memory(config: Any, network: Any, batch: int) -> dict[str, Any]:
    """Parts in MiB, and what the machine has; the process itself takes some hundreds beside."""
    weights = count(network) * _NUMBER_BYTES / MIB
    moments = 0.0 if config.optimiser.kind == "sgd" else 2.0  # without momentum it remembers nothing
    if config.optimiser.kind == "muon":  # one momentum for the matrices in the blocks, AdamW's two for the rest
        inside = sum(p.numel() for block in network.blocks for p in block.parameters() if p.ndim == 2)
        moments -= inside / count(network)
    numbers = _ACTIVATIONS * len(list(network.blocks))
    if config.training.activation_checkpointing:
        numbers = len(list(network.blocks)) + _ACTIVATIONS
    size = 2 if config.dtype == "bfloat16" else _NUMBER_BYTES
    kept = numbers * _width(network) * size * batch / config.training.micro_batches / MIB
    averaged = weights if config.training.ema_decay is not None else 0.0
    parts = {"weights": weights, "gradients": weights, "optimiser": moments * weights, "activations": kept}
    parts |= {"moving average": averaged} if averaged else {}
    facts = {f"{name}_mib": round(value, 1) for name, value in parts.items()}
    facts["in_all_mib"] = round(sum(parts.values()), 1)
    free = machine.describe().available_gib
    return facts if free is None else {**facts, "free_here_mib": round(free * 1024, 1)}


def _width(network: Any) -> int:
    return network.config.width
