"""What `trivium align dpo` will need: the data is read and encoded as in the run, and an update is rehearsed.

A token that is trained on costs 6 operations for each parameter; one that only the reference reads, or that is read for
kto's divergence, 2.
"""

import statistics
from collections.abc import Sequence
from typing import Any

import torch

from trivium.checkpoints.provenance import is_adapter
from trivium.cli.dry_run.network import saved
from trivium.cli.dry_run.training import operations, rehearsed_memory, time_facts
from trivium.data.preference_batches import PairExample
from trivium.errors import Unsupported
from trivium.lm.load import saved_folder
from trivium.recipes.align.dpo import PASSES, as_finetuning, with_usual_rate_of_preferences
from trivium.recipes.align.dpo_config import DPOConfig, needs_reference
from trivium.recipes.align.dpo_data import Item, read_items
from trivium.recipes.plan_steps import Step, rehearse_finetuning
from trivium.recipes.training import begin, require_free
from trivium.runtime import processes

_NUMBER_BYTES = 4
_READ_ONLY = 1 / 3
"""Operations of a token that is read and not trained on, in those of one that is."""


def directing(config: DPOConfig) -> dict[str, Any]:
    """Of `trivium align dpo`. Raises `UserError` for a model, data or a folder that the run would refuse."""
    require_free(config)
    model = saved(config.model, config.device, "float32")
    items = read_items(config, model.tokenizer())
    facts = model.facts() | {"dtype": config.dtype, "objective": config.objective}
    facts["data"] = f"{len(items.training):,} {items.what} to train on, {len(items.held_out):,} to measure on"
    if items.dropped:
        facts["left_out"] = f"{items.dropped:,} {items.what} with a text longer than {config.context_tokens} tokens"
    if items.cut:
        facts["cut"] = f"{items.cut:,} texts longer than {config.context_tokens} tokens"
    tokens = _mean_tokens(items.training)
    rows = min(config.rows, len(items.training))
    here = begin(config, processes.place())
    each = operations(model.network, round(tokens)) * _passes(config)
    batches = -(-len(items.training) // config.rows)
    time = time_facts(config, rows * tokens, each, here, default=max(2, round(PASSES * batches)))
    time["passes_over_the_data"] = round(time["steps"] / batches, 2)
    if is_adapter(saved_folder(config.model)):
        return {**facts, **time, "method": "that of the adapter", "memory_mib": "not foretold of an adapter"}
    tuning = as_finetuning(config)
    method, trained = tuning.decided_method, with_usual_rate_of_preferences(config, tuning, model.network)
    facts |= {"method": method, "learning_rate": trained.optimiser.learning_rate}
    texts = 2 * rows if items.what == "pairs" else rows
    try:
        rehearsed = rehearse_finetuning(
            model.network, method, tuning.method_settings, _step(config, texts, tokens * rows / texts)
        )
    except Unsupported as error:  # the run may do what a rehearsal cannot
        return {**facts, **time, "memory_mib": f"not foretold: {error.what}"}
    facts["trained_parameters"] = rehearsed.trained_parameters
    copied = needs_reference(config.loss) and not config.store_reference
    reference = _NUMBER_BYTES * rehearsed.trained_parameters if copied else 0
    return {**facts, **time, "memory_mib": rehearsed_memory(config, rehearsed, reference=reference)}


def _passes(config: DPOConfig) -> float:
    """Operations of a step in those of training on its tokens."""
    reading = 1.0 if needs_reference(config.loss) and not config.store_reference else 0.0
    if config.objective == "kto":  # the mismatched answers are read as well, by the policy and by the reference
        reading += 1.0 + reading
    return 1 + _READ_ONLY * reading


def _mean_tokens(items: Sequence[Item]) -> float:
    """That are read and trained on, of a pair or an answer."""
    return statistics.fmean(
        len(item.chosen.ids) + len(item.rejected.ids) - 2 if isinstance(item, PairExample) else len(item.answer.ids) - 1
        for item in items
    )


def _step(config: DPOConfig, texts: int, tokens_each: float) -> Step:
    kind = config.optimiser.kind
    return Step(
        rows=texts,
        context_tokens=max(1, round(tokens_each)),
        micro_batches=config.training.micro_batches,
        activation_checkpointing=config.training.activation_checkpointing,
        optimiser="adamw" if kind == "galore" else kind,  # which at most needs as much
        dtype=torch.bfloat16 if config.dtype == "bfloat16" else torch.float32,
    )
