"""`trivium plan WORK`: the memory and the time that fine-tuning, pre-training or generation will need."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro
from rich.table import Table

from trivium.cli import arguments, common
from trivium.cli.flags import flags_of
from trivium.cli.numbers import readable_count
from trivium.cli.output import print_facts, print_json, print_settings
from trivium.cli.terminal import console
from trivium.cli.verbs import Options, Verb
from trivium.config import did_you_mean
from trivium.errors import ConfigError, Unsupported, UserError
from trivium.planning.account import PUBLISHED_EXAMPLE, readable_bytes
from trivium.recipes.method_config import WAYS, MethodName
from trivium.recipes.plan import (
    COMPARED,
    Planned,
    PlannedMachine,
    Room,
    model_facts,
    plan_finetuning,
    plan_generation,
    plan_pretraining,
)
from trivium.recipes.plan_model import PlannedModel, planned_model
from trivium.recipes.plan_steps import OptimiserName, Step
from trivium.recipes.training import require_at_least
from trivium.runtime.progress import duration


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanFinetuneConfig:
    """Says what fine-tuning a model will need, by one method or by several side by side."""

    model: str
    """Folder of a model or of a run, or a published size, whose weights need not be here: llama-65b, mistral-7b."""
    method: MethodName | None = None
    """The method, as `trivium finetune` has it; null to set the usual ones side by side."""
    rank: int | None = None
    """Rank of a LoRA; null for the usual one."""
    rows: int = 8
    """Rows of a batch."""
    context: int = 256
    """Tokens of a row."""
    documents: int = 1
    """Examples of equal length that share a row without seeing each other."""
    micro_batches: int = 1
    """Parts that a batch is computed in, one after the other."""
    optimiser: OptimiserName = "adamw"
    """AdamW, the same with moments of 8 bits, Muon or SGD."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass; done in any case where they would not fit."""
    machine: tyro.conf.OmitArgPrefixes[PlannedMachine] = dataclasses.field(default_factory=PlannedMachine)

    def __post_init__(self) -> None:
        _check_step(self)
        require_at_least(1, rank=self.rank)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanPretrainConfig:
    """Says what training all of a model will need."""

    model: str
    """Folder of a model or of a run, or a published size: gpt2, llama-7b, t5-base."""
    rows: int = 8
    """Rows of a batch."""
    context: int = 256
    """Tokens of a row; of an encoder-decoder, of the text that is read and of the one that is written."""
    documents: int = 1
    """Texts of equal length that share a row without seeing each other."""
    micro_batches: int = 1
    """Parts that a batch is computed in, one after the other."""
    optimiser: OptimiserName = "adamw"
    """AdamW, the same with moments of 8 bits, Muon or SGD."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass; done in any case where they would not fit."""
    machine: tyro.conf.OmitArgPrefixes[PlannedMachine] = dataclasses.field(default_factory=PlannedMachine)

    def __post_init__(self) -> None:
        _check_step(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanGenerateConfig:
    """Says what continuing texts with a model will need: its weights, and what it remembers of the texts."""

    model: str
    """Folder of a model or of a run, or a published size: llama-7b, mistral-7b."""
    rows: int = 1
    """Texts that are continued at once."""
    context: int = 256
    """Tokens of a prompt."""
    max_new_tokens: int = 256
    """Tokens that are written after it."""
    nf4: bool = False
    """Read the matrices of the blocks in 4 bits."""
    machine: tyro.conf.OmitArgPrefixes[PlannedMachine] = dataclasses.field(default_factory=PlannedMachine)

    def __post_init__(self) -> None:
        require_at_least(1, rows=self.rows, context=self.context, max_new_tokens=self.max_new_tokens)


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Prints the plan of the work that the first word names; without one, `--help` lists them."""
    if not words or words[0].startswith("-"):
        if not {"-h", "--help"} & set(words):
            raise UserError("plan what?", expected=_names(verb), fix=f"try: {verb.example}")
        _help(verb, options)
        return
    work = next((task for task in verb.tasks if _word(task) == words[0]), None)
    if work is None:
        near = did_you_mean(words[0], [_word(task) for task in verb.tasks])
        fix = near or f"see `trivium {verb.name} --help`"
        raise UserError("there is no such work to plan", received=words[0], expected=_names(verb), fix=fix)
    common.check(work, words[1:], [flag for settings in work.settings for flag in flags_of(settings)])
    kind, carry_out = _WORKS[_word(work)]
    settings = arguments.parse(kind, work, words[1:])
    if options.dry_run:
        print_settings(settings, options)
    else:
        carry_out(settings, options)


def _finetune(settings: PlanFinetuneConfig, options: Options) -> None:
    model, room = planned_model(settings.model), Room.of(settings.machine)
    _announce(model)
    planned: list[Planned] = []
    refused: dict[str, str] = {}
    ways: Sequence[tuple[MethodName, OptimiserName]] = COMPARED
    if settings.method is not None:
        ways = ((settings.method, settings.optimiser),)
    for method, optimiser in ways:
        step = dataclasses.replace(_step(settings), optimiser=optimiser)
        try:
            planned.append(plan_finetuning(model, method, settings.rank, step, room))
        except (Unsupported, ConfigError) as error:
            if settings.method is not None or (not planned and method == COMPARED[-1][0]):
                raise
            refused[method] = str(error)
    facts = model_facts(model, planned[0]) | {"lora_example": str(PUBLISHED_EXAMPLE)}
    if refused:
        facts["left_out"] = refused
    if options.json:
        print_json({**facts, "methods": [one.facts() for one in planned]})
        return
    if settings.method is not None and WAYS[settings.method].settings != "lora":
        del facts["lora_example"]
    print_facts(facts, indent="")
    if len(planned) > 1:
        print()
        console().print(_table(planned))
    else:
        _print_one(planned[0])


def _pretrain(settings: PlanPretrainConfig, options: Options) -> None:
    model, room = planned_model(settings.model), Room.of(settings.machine)
    _announce(model)
    _tell(model, plan_pretraining(model, _step(settings), room), options)


def _generate(settings: PlanGenerateConfig, options: Options) -> None:
    model, room = planned_model(settings.model), Room.of(settings.machine)
    _announce(model)
    planned = plan_generation(
        model,
        rows=settings.rows,
        prompt_tokens=settings.context,
        new_tokens=settings.max_new_tokens,
        nf4=settings.nf4,
        dtype=settings.machine.torch_dtype,
        room=room,
    )
    _tell(model, planned, options)


_WORKS: dict[str, tuple[type, Callable[[Any, Options], None]]] = {
    "finetune": (PlanFinetuneConfig, _finetune),
    "pretrain": (PlanPretrainConfig, _pretrain),
    "generate": (PlanGenerateConfig, _generate),
}


def _announce(model: PlannedModel) -> None:
    """Why there is nothing to see for a while."""
    print(f"rehearsing {model.name} without its weights; with many experts it takes a minute", file=sys.stderr)


def _tell(model: PlannedModel, planned: Planned, options: Options) -> None:
    facts = model_facts(model, planned)
    if options.json:
        print_json({**facts, **planned.facts()})
        return
    print_facts(facts, indent="")
    _print_one(planned)


def _step(settings: PlanFinetuneConfig | PlanPretrainConfig) -> Step:
    return Step(
        rows=settings.rows,
        context_tokens=settings.context,
        documents=settings.documents,
        micro_batches=settings.micro_batches,
        activation_checkpointing=settings.activation_checkpointing,
        optimiser=settings.optimiser,
        dtype=settings.machine.torch_dtype,
    )


def _check_step(settings: PlanFinetuneConfig | PlanPretrainConfig) -> None:
    require_at_least(
        1,
        rows=settings.rows,
        context=settings.context,
        documents=settings.documents,
        micro_batches=settings.micro_batches,
    )


def _print_one(planned: Planned) -> None:
    facts = planned.facts()
    print(f"\n{planned.way}: {'it fits' if planned.fits else 'it does not fit'}")
    parts = {name: readable_bytes(size) for name, size in facts["memory_bytes"].items()}
    told = {
        "trained": f"{facts['trained_parameters']:,} numbers" if facts["trained_parameters"] else "nothing",
        "activations": "computed again in the backward pass" if planned.recomputed else None,
        "rows that fit": facts["most_rows"] and f"about {facts['most_rows']:,}",
        "longest rows that fit": facts["longest_context"] and f"about {facts['longest_context']:,} tokens",
        "an update" if facts["trained_parameters"] else "reading the prompts": facts["seconds"]
        and f"about {duration(facts['seconds'])}, {facts['tokens_per_second']:,.0f} tokens/s",
    }
    print_facts({**parts, **{name: said for name, said in told.items() if said}})


def _table(planned: Sequence[Planned]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("method", "trains", "needs", "weights", "gradients", "optimiser", "activations", "fits"):
        table.add_column(name, justify="left" if name in ("method", "fits") else "right")
    for one in planned:
        memory = one.rehearsed.memory
        held = (memory.weights + memory.adapters, memory.gradients, memory.optimiser)
        working = memory.activations + memory.temporaries
        table.add_row(
            one.way,
            readable_count(one.rehearsed.trained_parameters),
            *(readable_bytes(size) for size in (one.in_all, *held, working)),
            _reach(one),
        )
    return table


def _reach(planned: Planned) -> str:
    if not planned.fits:
        return "no"
    rows, tokens = planned.most_rows, planned.longest_context
    again = ", activations computed again" if planned.recomputed else ""
    return f"yes: about {rows:,} rows, or {tokens:,} tokens a row{again}" if rows and tokens else f"yes{again}"


def _help(verb: Verb, options: Options) -> None:
    if options.json:
        print_json({_word(task): task.summary for task in verb.tasks})
        return
    width = max(len(_word(task)) for task in verb.tasks)
    lines = [f"usage: trivium {verb.name} WORK --model MODEL [--setting value ...]", ""]
    lines += [f"  {_word(task):<{width}}  {task.summary}" for task in verb.tasks]
    lines += ["", f"Example: {verb.example}", "", f"`trivium {verb.name} WORK --help` tells the settings of each."]
    print("\n".join(lines))


def _word(task: Verb) -> str:
    return task.name.split()[-1]


def _names(verb: Verb) -> str:
    return "one of " + ", ".join(_word(task) for task in verb.tasks)
