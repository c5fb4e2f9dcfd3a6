"""A policy: a finished model trained on answers of its own, by what they are worth (PPO, GRPO, RLOO, REINFORCE).

    run = policy(PPORecipeConfig(model=Path("runs/finetune"), data=Path("prompts.jsonl"), reward=("runs/reward",)))

The policy, what it is held near, its critic and, where they were made for the same base, its reward model are adapters
and heads on one network. Answers to prompts that are not learnt from tell whether it gets better, or only better at its
reward; see `trivium.recipes.align.watch`.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from trivium import config as configuration
from trivium.adapters.adapter_set import has_adapters
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.clone import clone_frozen
from trivium.adapters.routing import activate
from trivium.adapters.selective import SelectiveConfig
from trivium.checkpoints.provenance import is_adapter, parent_facts
from trivium.checkpoints.retention import step_of
from trivium.data.provenance import content_sha256
from trivium.errors import ConfigError, Unsupported
from trivium.generation.reading import device_of
from trivium.lm.hosted.failure import ServiceError
from trivium.lm.load import base_folder, load, saved_folder
from trivium.lm.local import LocalModel
from trivium.recipes.adapting import ADAPTER, Adapted, adapt, adapted_further, hold_frozen, require_same_start, writing
from trivium.recipes.align.compared import Compared, compared, told
from trivium.recipes.align.looks import read_looks
from trivium.recipes.align.policy_config import PolicyRecipeConfig
from trivium.recipes.align.prompts import Prompts, encoded, read_prompts, split_prompts
from trivium.recipes.align.rewards import reward_of
from trivium.recipes.align.watch import watch_sections
from trivium.recipes.align.watched import WatchedPolicy, Watcher
from trivium.recipes.align.writing import AnswerWriter
from trivium.recipes.continuing import as_saved, made_from, open_adapter
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.method_config import usual_rate
from trivium.recipes.run_report import write_run_report
from trivium.recipes.training import begin, own_device, require_free, run_folder
from trivium.reports.page import Section
from trivium.reports.run import SCORE
from trivium.runtime import processes, seeds
from trivium.training.learners.policy import PolicyLearner
from trivium.training.learners.policy_config import PolicyConfig
from trivium.training.references import Reference, copied, with_adapter, without_adapters
from trivium.training.rewards import CheckedReward
from trivium.training.rollouts import RolloutSource
from trivium.training.run import Run
from trivium.training.trainer import Trainer, TrainerConfig

DEFAULT_STEPS = 100
"""Where neither steps nor minutes are given."""
REFERENCE, VALUE = "reference", "value"
_USUAL = 0.1
"""The learning rate in that of fine-tuning by the same method: what is learnt is what the policy writes, and one long
step spoils it."""


def policy(config: PolicyRecipeConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`: where its answers were best.

    Raises `UserError` before any training for a model, prompts, a reward or a folder that cannot be used; `RewardFault`
    for an answer that gets no number; `RewardUnavailable`, and `Interrupted` after SIGINT or SIGTERM, once the present
    step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        run, sections = _trained(config, device, here)
        write_run_report(run, device, loss_of=SCORE, extra=sections)
        return run


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Started:
    """What is trained, and what it is held near."""

    adapted: Adapted
    reference: Reference
    value_adapter: str | None


def _trained(
    config: PolicyRecipeConfig, device: torch.device, here: processes.Place
) -> tuple[Run, Callable[[LocalModel], Sequence[Section]]]:
    folder = saved_folder(config.model)
    model = _opened(config, folder, str(device))
    prompts = prompts_of(config)
    started = _started(config, model, folder)
    learning = learning_of(config, model.network)
    rewards = _rewards(config, config.reward, model, prompts, "reward")
    gold = _rewards(config, config.gold, model, prompts, "gold score") if config.gold else None
    _train_only(model, started)
    (asked, stop), (held_out, _), (unseen, _) = (
        encoded(part, model, prompt_format=config.prompt_format, max_new_tokens=config.max_new_tokens)
        for part in (prompts.training, prompts.held_out, prompts.unseen)
    )
    metadata = {**_facts(config, folder), **started.adapted.facts()}
    if config.resume:
        require_same_start(Run.open(run_folder(config)), metadata)
    steps = config.steps or (DEFAULT_STEPS if config.minutes is None else None)
    seeds.seed_everything(config.seed + here.rank)
    learner = _learner(config, model, started, steps)
    write = AnswerWriter(model=model, max_new_tokens=config.max_new_tokens, temperature=learning.temperature, stop=stop)
    source = RolloutSource(
        asked,
        write,
        rewards,
        learner.rollout,
        config.rollouts,
        seed=config.seed,
        rank=here.rank,
        world=here.world,
    )
    run = Run.start(run_folder(config), _resolved(config, learning), resume=config.resume)
    watcher = Watcher(prompts=held_out, write=write, proxy=rewards, gold=gold, config=config.watch)
    watched = WatchedPolicy(learner, watcher, run.folder)
    if not run.saved_steps():
        watched.forget()
        if not read_looks(run.folder):
            watched.evaluate(held_out)  # where it begins
    publish = _publishing(model, started, config, metadata)
    cadence = _cadence(config, steps)
    Trainer(run, watched, source, cadence, validation=[held_out], publish=publish, device=device, title="policy").fit()
    found = compared(run, unseen, config.best_of, watcher, started.reference, model) if here.is_first else None
    _tell(run, watched, found, here)

    def sections(_: LocalModel) -> Sequence[Section]:
        looks = read_looks(run.folder)
        return watch_sections(
            looks,
            config.watch,
            frontier=() if found is None else found.frontier,
            parting=watched.parting,
            rolled_back_to=None if watched.parting is None else _best_step(run),
        )

    return run, sections


def _learner(config: PolicyRecipeConfig, model: LocalModel, started: _Started, steps: int | None) -> PolicyLearner:
    return PolicyLearner(
        model.network,
        learning_of(config, model.network),
        steps=steps or sys.maxsize,  # refused where the rate would go with them
        reference=started.reference,
        begins_as_reference=True,
        longest_answer=config.max_new_tokens,
        value_adapter=started.value_adapter,
        factors=started.adapted.factors,
    )


def _best_step(run: Run) -> int:
    """The step of the checkpoint that the run ended with: the best of those that were looked at and saved."""
    return step_of(run.checkpoints / "best")


def _tell(run: Run, watched: WatchedPolicy, found: Compared | None, here: processes.Place) -> None:
    if not here.is_first:
        return
    if watched.parting is not None:
        best, kept = watched.parting.best_step, _best_step(run)
        which = (
            f"the best step, {kept}," if kept == best else f"step {best} is not saved: the best that is, step {kept},"
        )
        print(f"{watched.parting.reason}\n{which} is in {run.checkpoints / 'best'}", file=sys.stderr)
    if found is not None:
        print(told(found), file=sys.stderr)


# What is trained ------------------------------------------------------------------------------------------------------


def _opened(config: PolicyRecipeConfig, folder: pathlib.Path, device: str) -> LocalModel:
    """The model, in evaluation mode; an adapter that goes on is active on its base."""
    if is_adapter(folder):
        if config.trained == "full":
            raise ConfigError(
                "an adapter is trained further as an adapter",
                received=f"{config.model} is one, and trained is full",
                fix=f"make it part of its base first: trivium merge {config.model} --output FOLDER",
            )
        model = open_adapter(folder, device)
    else:
        quantize = "nf4" if config.trained == "qlora" else None
        frozen = config.trained == "lora"
        model = load(folder, device=device, dtype=config.dtype if frozen else "float32", quantize=quantize)
    if "generate" not in model.capabilities or model.architecture.kind not in ("decoder", "recurrent"):
        raise Unsupported(
            "a policy is a model that reads left to right and writes",
            received=f"{model.architecture.name}, of kind {model.architecture.kind!r}",
            expected="a decoder or a recurrent language model",
        )
    if model.tokenizer is None or model.tokenizer.eos_id is None:
        raise Unsupported(
            "a policy needs a tokenizer with an end token",
            received=f"{config.model}: " + ("no tokenizer" if model.tokenizer is None else "no eos_token"),
            fix="copy the tokenizer's files into the model's folder, and name its eos_token in tokenizer_config.json",
        )
    return model


def _started(config: PolicyRecipeConfig, model: LocalModel, folder: pathlib.Path) -> _Started:
    """Puts the adapters in place; the reference is what the policy is now."""
    network = model.network
    if has_adapters(network):
        clone_frozen(network, ADAPTER, REFERENCE)
        reference = with_adapter(network, REFERENCE)
        tuned = as_saved(FinetuneConfig(model=config.model, data=config.data), folder, network)
        adapted = adapted_further(network, tuned.decided_method, lora_plus_ratio=tuned.lora_plus_ratio)
    elif config.trained == "full":
        reference = copied(network)
        return _Started(adapted=adapt(network, "full", SelectiveConfig()), reference=reference, value_adapter=None)
    else:
        adapted = adapt(network, config.trained, config.lora, seed=config.seed)
        hold_frozen(network, config.dtype)
        reference = without_adapters(network)
    if config.critic == "adapter":
        attach(network, VALUE, config.lora)
        activate(network, ADAPTER)
    value = VALUE if config.critic == "adapter" else None
    return _Started(adapted=adapted, reference=reference, value_adapter=value)


def _train_only(model: LocalModel, started: _Started) -> None:
    """Of adapters the policy's, and the critic's: one that a reward brought along is not trained."""
    if not started.adapted.is_adapter:
        return
    model.network.requires_grad_(False)
    for name in (ADAPTER, started.value_adapter):
        for parameter in [] if name is None else adapter_parameters(model.network, name).values():
            parameter.requires_grad_(True)
    activate(model.network, ADAPTER)


def learning_of(config: PolicyRecipeConfig, network: nn.Module) -> PolicyConfig:
    """How the policy learns, at the rate that is usual where none is named."""
    learning = config.learning
    if learning.optimiser.learning_rate is not None:
        return learning
    rate = _USUAL * usual_rate(config.trained, network)
    return dataclasses.replace(learning, optimiser=dataclasses.replace(learning.optimiser, learning_rate=rate))


# What it learns from --------------------------------------------------------------------------------------------------


def prompts_of(config: PolicyRecipeConfig) -> Prompts:
    """What is to be answered. Raises `DataError` for files that have no prompts, or too few."""
    found = read_prompts(config.data, prompt_format=config.prompt_format)
    others = None
    if config.validation is not None:
        others = read_prompts(config.validation, prompt_format=config.prompt_format)
    return split_prompts(found, others, config.watch.prompts)


def _rewards(
    config: PolicyRecipeConfig, names: Sequence[str], model: LocalModel, prompts: Prompts, called: str
) -> CheckedReward:
    # On a base that changes, an adapter would score otherwise with every step.
    shared = None if config.trained == "full" else model
    device = str(device_of(model.network))
    reward = reward_of(names, wanted=prompts.wanted, conversations=prompts.conversations, on=shared, device=device)
    return CheckedReward(reward, name=called, on_fault=config.on_fault, unavailable=(ServiceError,))


# The run --------------------------------------------------------------------------------------------------------------


def _facts(config: PolicyRecipeConfig, folder: pathlib.Path) -> dict[str, Any]:
    """What the saved model tells of its training."""
    came = made_from(folder, config.model) if is_adapter(folder) else parent_facts(folder, named=config.model)
    return {
        "objective": f"policy, {config.learning.advantages.kind}",
        **came,
        "data": str(config.data),
        "data_fingerprint": content_sha256(config.data),
        "reward": list(config.reward),
    }


def _resolved(config: PolicyRecipeConfig, learning: PolicyConfig) -> dict[str, Any]:
    """What config.yaml says: what decides what is computed."""
    settings = configuration.to_dict(dataclasses.replace(config, learning=learning))
    return {name: value for name, value in settings.items() if name not in ("output", "run", "resume")}


def _publishing(
    model: LocalModel, started: _Started, config: PolicyRecipeConfig, metadata: dict[str, Any]
) -> Callable[..., None]:
    write = writing(started.adapted, run_folder(config), base_folder(saved_folder(config.model)))

    def publish(writer: Any, network: Any, weights: Any) -> None:
        write(
            writer,
            network,
            weights,
            tokenizer=model.tokenizer,
            generation=model.generation,
            metadata=metadata,
        )

    return publish


def _cadence(config: PolicyRecipeConfig, steps: int | None) -> TrainerConfig:
    cadence = config.cadence
    return TrainerConfig(
        steps=steps,
        minutes=config.minutes,
        log_every_steps=cadence.log_every_steps,
        evaluate_every_steps=cadence.look_every_steps,
        checkpoint_every_steps=cadence.checkpoint_every_steps,
        keep_last=cadence.keep_last,
        keep_best=cadence.keep_best,
    )
