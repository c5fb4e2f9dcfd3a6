"""Reward models: a network that scores answers, trained on what people said of them.

    run = reward(RewardConfig(model=Path("runs/finetune"), data=Path("pairs.jsonl"), method="lora"))
    score = load_reward(run.folder)

Rankings and pairs are learnt from by the Bradley-Terry model, scores by regression or in their order, good and bad
answers by logistic regression; see `trivium.objectives.preference` and `.ordinal`. Every checkpoint has a bias and a
gain by which answers of the training data score 0 on average, with a spread of 1. Several members are trained one after
the other; what they disagree about is what an ensemble does not know.
"""

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trivium.checkpoints.folder import FolderWriter, replace_file
from trivium.checkpoints.provenance import parent_facts
from trivium.data.provenance import content_sha256
from trivium.lm.load import saved_folder
from trivium.lm.local import LocalModel
from trivium.lm.reading import at_most, longest_row
from trivium.lm.reward import ENSEMBLE, Scorer, load_reward, normalised, reward_of
from trivium.lm.reward_rows import RewardFacts
from trivium.objectives.ordinal import CutPoints, ordinal
from trivium.objectives.preference import bradley_terry, good_or_bad
from trivium.objectives.regression import regression
from trivium.recipes.adapting import require_same_start, summary, summary_section, writing
from trivium.recipes.align.reward_config import RewardConfig
from trivium.recipes.align.reward_data import (
    Judgements,
    Rows,
    read_judgements,
    reference_of,
    rows_of,
    shares_of,
    source_of,
)
from trivium.recipes.align.reward_network import adapted_for, network_of, with_usual_rate
from trivium.recipes.evaluate_reward import evaluate_reward
from trivium.recipes.run_report import write_run_report
from trivium.recipes.starting import WARMUP_SHARE, architecture_of
from trivium.recipes.training import Job, begin, measured_on, own_device, require_free, run_folder, train
from trivium.reports.page import Section
from trivium.reports.reward import reward_sections
from trivium.runtime import processes, seeds
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined
from trivium.training.ema import computing_with
from trivium.training.learners.supervised import Objective
from trivium.training.run import Run

HELD_OUT = "held_out.json"
"""In the folder of a run: what was measured of the finished reward model, as `trivium evaluate` gives it."""
_REFERENCE, _MEASURED, _WRONG = 256, 1000, 6
_CUT_POINTS = "cut_points"


def reward(config: RewardConfig) -> Run:
    """Carries out `config`. The reward model is in `run.checkpoints / "best"`; the run is that of the first member.

    Raises `UserError` before any training for a model, data, method or folder that cannot be used; `Interrupted` after
    SIGINT or SIGTERM, once the present step is saved.
    """
    members = [_member(config, number) for number in range(config.members)]
    for member in members:
        require_free(member)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        judged = read_judgements(config, tell=here.is_first)
        trained = [_trained(member, judged, device, here) for member in members]
        first, done = trained[0]
        if here.is_first:
            _write_ensemble(first, [run for run, _ in trained])
            write_run_report(
                first,
                device,
                extra=functools.partial(_measured, run=first, judged=judged, device=device, done=done),
                loss_of="a comparison" if judged.loss == "bradley-terry" else "an answer",
            )
        return first


def _member(config: RewardConfig, number: int) -> RewardConfig:
    """The recipe of one member. Of a run that is resumed, members that are not begun yet begin."""
    if number == 0:
        return config
    member = dataclasses.replace(config, run=f"{config.run}-{number + 1}", seed=config.seed + number)
    begun = (run_folder(member) / "config.yaml").is_file()
    return dataclasses.replace(member, resume=config.resume and begun)


def _trained(
    config: RewardConfig, judged: Judgements, device: torch.device, here: processes.Place
) -> tuple[Run, Callable[[], Section]]:
    """One member's run, and what its report says of the training."""
    seeds.seed_everything(config.seed)
    network, tokenizer = network_of(config, judged.criteria, str(device))
    adapted = adapted_for(config, network)
    facts = facts_of(config, judged, network)
    rows = rows_of(judged.training, judged, network, tokenizer, facts, margins=config.margins)
    if here.is_first and rows.cut:
        print(
            f"{rows.cut:,} of {len(rows.ids):,} answers with their prompts are longer than {facts.context_tokens} "
            "tokens: the beginning of the prompt is cut off",
            file=sys.stderr,
        )
    source = source_of(rows, judged, batch=config.rows, seed=config.seed, rank=here.rank, world=here.world)
    if judged.loss == "ordinal":
        grown: Any = network
        grown.cut_points = CutPoints(shares_of(rows, judged)).to(device)
    folder = saved_folder(config.model)
    job = Job(
        model=network.to(device),
        tokenizer=tokenizer,
        source=source,
        validation=measured_on(_validation(config, judged, network, tokenizer, facts), config.training),
        objective=_objective(config, judged),
        factors=adapted.factors,
        before_step=adapted.before_step,
        write=functools.partial(
            _write,
            write=writing(adapted, run_folder(config), folder),
            facts=facts,
            reference=reference_of(rows, _REFERENCE),
            grades=judged.grades,
        ),
        metadata={**_made_from(config, judged, network, rows), **adapted.facts()},
    )
    if config.resume:
        require_same_start(Run.open(run_folder(config)), job.metadata)
    first = source()
    steps = max(2, round(config.passes * first.batches_per_epoch))
    warmup = max(1, round(WARMUP_SHARE * (config.steps or steps)))
    run = train(with_usual_rate(config, network), job, title="reward", default_steps=steps, usual_warmup_steps=warmup)
    passes = {"answers": run.metrics()[-1]["step"] / first.batches_per_epoch}
    return run, lambda: summary_section(summary(adapted, run, network, passes=passes))


# What is read and minimised -------------------------------------------------------------------------------------------


def facts_of(config: RewardConfig, judged: Judgements, network: nn.Module) -> RewardFacts:
    """How the scores are meant; bias and gain follow."""
    count = len(judged.criteria)
    return RewardFacts(
        criteria=judged.criteria,
        weights=config.criterion_weights or (1 / count,) * count,
        prompt_format=config.prompt_format,
        context_tokens=at_most(config.context_tokens, longest_row(network)),
        long_rows=config.long_rows,
    )


def _validation(
    config: RewardConfig, judged: Judgements, network: nn.Module, tokenizer: Tokenizer, facts: RewardFacts
) -> list[Any]:
    """One pass over what is held out; nothing where it has nothing for this loss."""
    rows = rows_of(judged.held_out, judged, network, tokenizer, facts, margins=config.margins)
    if not rows.ids:
        return []
    source = source_of(rows, judged, batch=config.rows, seed=config.seed)()
    return [next(source) for _ in range(round(source.batches_per_epoch))]


def _objective(config: RewardConfig, judged: Judgements) -> Objective:
    if judged.loss == "bradley-terry":
        return functools.partial(bradley_terry, centring=config.centring)
    return {"regression": regression, "ordinal": ordinal, "logistic": good_or_bad}[judged.loss]


def _made_from(config: RewardConfig, judged: Judgements, network: nn.Module, rows: Rows) -> dict[str, Any]:
    """What the saved model tells of its training."""
    return {
        "loss": judged.loss,
        **parent_facts(saved_folder(config.model), named=config.model),
        "data": str(config.data),
        "data_fingerprint": content_sha256(config.data),
        "architecture": architecture_of(network),
        "answers": len(rows.ids),
        "answers_cut": rows.cut,
    }


# What is published ----------------------------------------------------------------------------------------------------


def _write(
    writer: FolderWriter,
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    write: Callable[..., None],
    facts: RewardFacts,
    reference: Sequence[Joined],
    grades: Sequence[Sequence[float]],
    tokenizer: Tokenizer,
    generation: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> None:
    """As `write_model`, with a bias and a gain of these very weights, and without the cut-points of grades, which no
    other program knows: the description has them."""
    own = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    network: Any = model
    with computing_with(own, weights):
        scorer = Scorer(network=model, classify=network.classify, tokenizer=tokenizer, facts=facts)
        told: dict[str, Any] = {**metadata, **normalised(scorer, reference).to_json()}
        if grades:
            cuts: CutPoints = network.cut_points
            told["grades"] = [list(each) for each in grades]
            told[_CUT_POINTS] = [cuts.theta(number).tolist() for number in range(len(grades))]
    published = {name: tensor for name, tensor in weights.items() if not name.startswith(f"{_CUT_POINTS}.")}
    write(writer, model, published, tokenizer=tokenizer, generation=generation, metadata=told)


def _write_ensemble(first: Run, runs: Sequence[Run]) -> None:
    if len(runs) > 1:
        content = {"members": [run.folder.name for run in runs]}
        replace_file(first.folder / ENSEMBLE, json.dumps(content, indent=2).encode() + b"\n")


def _measured(
    model: LocalModel, *, run: Run, judged: Judgements, device: torch.device, done: Callable[[], Section]
) -> list[Section]:
    """What was held out, scored by the finished model, or by all members of an ensemble."""
    finished = load_reward(run.folder, device=str(device)) if (run.folder / ENSEMBLE).is_file() else reward_of(model)
    result, answered = evaluate_reward(finished, judged.held_out, training=judged.training, limit=_MEASURED)
    replace_file(run.folder / HELD_OUT, json.dumps(result, indent=2).encode() + b"\n")
    surest = sorted(answered, key=lambda one: one.difference)[:_WRONG]
    wrong = [(one.prompt, one.chosen, one.rejected) for one in surest if one.difference <= 0]
    return [done(), *reward_sections(result, wrong)]
