"""What training a reward model will need: the data is read and made into rows as in the run, and nothing is trained."""

from typing import Any

import torch

from trivium.cli.dry_run.network import saved
from trivium.cli.dry_run.training import memory_facts, operations, time_facts
from trivium.models.scored import with_scores
from trivium.recipes.adapting import adapt
from trivium.recipes.align.reward import facts_of
from trivium.recipes.align.reward_config import RewardConfig
from trivium.recipes.align.reward_data import read_judgements, rows_of, source_of
from trivium.recipes.align.reward_network import require_whole, with_scores_beside, with_usual_rate
from trivium.recipes.training import begin, require_free
from trivium.runtime import processes


def rewarding(config: RewardConfig) -> dict[str, Any]:
    """Of `trivium align reward`. Raises `UserError` for a model, data or a folder that the run would refuse."""
    require_free(config)
    require_whole(config)
    judged = read_judgements(config)
    model = saved(config.model, config.device, "float32")
    network, tokenizer = model.network, model.tokenizer()
    if model.kind in ("decoder", "recurrent"):
        with torch.device("meta"):
            network = with_scores(network, judged.criteria)
    rows = rows_of(judged.training, judged, network, tokenizer, facts_of(config, judged, network))
    first = source_of(rows, judged, batch=config.rows, seed=config.seed)()
    held_out = sum(len(each.answers) for each in judged.held_out)
    facts = model.facts() | {
        "dtype": config.dtype,
        "loss": judged.loss,
        "criteria": ", ".join(judged.criteria),
        "data": f"{len(rows.ids):,} answers to train on, {held_out:,} held out",
        "method": config.method,
        "learning_rate": with_usual_rate(config, network).optimiser.learning_rate,
    }
    if rows.cut:
        facts["cut"] = f"{rows.cut:,} answers whose prompts are longer than {config.context_tokens} tokens with them"
    if config.members > 1:
        facts["members"] = config.members
    batch = sum(map(len, rows.ids)) / first.batches_per_epoch
    here = begin(config, processes.place())
    each = operations(network, config.context_tokens)
    default = max(2, round(config.passes * first.batches_per_epoch))
    time = time_facts(config, batch, each, here, default=default)
    time["passes_over_the_data"] = round(time["steps"] / first.batches_per_epoch, 2) if time["steps"] else None
    if time["time_seconds"] is not None:
        time["time_seconds"] = round(time["time_seconds"] * config.members, 1)
    if config.method == "full":
        return {**facts, **time, "memory_mib": memory_facts(config, network, batch)}
    adapted = adapt(network, config.method, with_scores_beside(config.method_settings))
    facts["trained_parameters"] = adapted.trained
    return {**facts, **time, "memory_mib": "not foretold of a method that trains a part"}
