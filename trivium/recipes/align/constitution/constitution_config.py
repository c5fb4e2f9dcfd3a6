"""What `trivium align constitution` is asked."""

import dataclasses
import pathlib
from typing import Literal

from trivium.errors import ConfigError
from trivium.lm.turns import PromptFormat
from trivium.recipes.method_config import MethodName
from trivium.recipes.training import TrainingConfig, check_request, require_at_least
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision

Then = Literal["dpo", "ppo", "none"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RevisingConfig:
    """How answers are made, criticised and revised (Bai et al. 2022, section 3.1)."""

    answers: int = 1
    """Answers to each prompt that are revised, each by itself."""
    rounds: int = 4
    """Critiques and revisions of each answer, each under a principle of its own."""
    trained: Literal["last", "all"] = "all"
    """Which revisions are trained on: those of the last round, or of every round, as in the paper."""
    temperature: float = 1.0
    """Of the answers and of the critic."""
    max_new_tokens: int = 256
    """Longest answer, and longest revision."""
    critique_tokens: int = 128
    """Longest critique."""

    def __post_init__(self) -> None:
        require_at_least(1, answers=self.answers, max_new_tokens=self.max_new_tokens)
        require_at_least(1, rounds=self.rounds, critique_tokens=self.critique_tokens)
        _check_temperature(self.temperature)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """How the model is tuned on the revisions; what is not here is as `trivium finetune` has it."""

    helpful: pathlib.Path | None = None
    """A file of examples that are mixed in so that the model stays helpful, in a form of `trivium finetune`."""
    method: MethodName = "full"
    """What is trained, as `trivium finetune --method`."""
    rows: int = 8
    """Rows of a batch."""
    context_tokens: int = 512
    """Tokens of a row; longer examples are left out, and counted."""
    steps: int | None = None
    """Updates; null for three passes."""
    optimiser: OptimiserConfig = dataclasses.field(default_factory=lambda: OptimiserConfig(weight_decay=0.0))
    """The optimiser."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """How a step is computed, and how often to look and save."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeedbackConfig:
    """How pairs of answers are made and judged (section 4.1)."""

    pairs: int = 1
    """Pairs of answers to each prompt; 0 to stop after the tuning on revisions."""
    principles: int = 2
    """Principles that a pair is judged under: where they disagree, the one of higher priority prevails. 1 as in the
    paper, which finds no conflicts."""
    temperature: float = 1.0
    """Of the answers."""
    max_new_tokens: int = 256
    """Longest answer."""
    chain_of_thought: bool = False
    """The judge writes down reasons first. What it then says is held between 0.4 and 0.6, since it is never unsure."""
    thought_tokens: int = 128
    """Longest reasons."""
    least_mass: float = 0.01
    """A judge that gives " (A)" and " (B)" less probability than this together has said neither."""
    comparisons: pathlib.Path | None = None
    """A file of people's preferences, as of which answer is more helpful, that are mixed in."""

    def __post_init__(self) -> None:
        require_at_least(1, principles=self.principles, max_new_tokens=self.max_new_tokens)
        require_at_least(1, thought_tokens=self.thought_tokens)
        require_at_least(0, pairs=self.pairs)
        _check_temperature(self.temperature)
        if not 0 <= self.least_mass < 1:
            raise ConfigError("least_mass must be 0 or more, and less than 1", received=self.least_mass)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreferringConfig:
    """How the tuned model is trained on the preferences (section 4.2)."""

    method: Then = "dpo"
    """dpo: on the pairs themselves; ppo: against a preference model that is trained on them first, as in the paper;
    none: not at all, the preferences are only written."""
    train: Literal["full", "lora", "qlora"] = "full"
    """What is trained: the whole model, or an adapter, with qlora on a base in 4 bits. A model that is an adapter goes
    on as one."""
    rows: int = 8
    """Pairs of a batch, or prompts."""
    context_tokens: int = 512
    """Tokens of a prompt with its answer."""
    steps: int | None = None
    """Updates of each training; null for what is usual of it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuringConfig:
    """What is compared before and after, on prompts that nothing was trained on."""

    held_out: float = 0.1
    """Share of the prompts that is kept for it; 0 for none."""
    harm: pathlib.Path | None = None
    """Folder of a classifier of harmful text (`trivium filters --kind harm`), which then also measures."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ConfigError("held_out must be 0 or more, and less than 1", received=self.held_out)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConstitutionConfig:
    """Makes a model harmless by written principles: answers, critiques and revisions, tuning, and AI feedback."""

    model: pathlib.Path
    """Folder of the model that answers, usually one that was tuned to be helpful only."""
    prompts: pathlib.Path
    """What it is asked: .txt, a prompt a line; lines of JSON with "prompt"; examples, or preference data, of which the
    prompts are read."""
    constitution: str = "harmless"
    """harmless, company, or a YAML file of principles."""
    tags: tuple[str, ...] = ()
    """Of the constitution only the principles with one of these tags; all where none are given."""
    start: pathlib.Path | None = None
    """Folder of the model that is tuned on the revisions, such as one that was pre-trained only; null for `model`."""
    critic: str | None = None
    """What criticises and revises: a folder, or a service as openai:MODEL; null for `model` itself."""
    judge: str | None = None
    """What says which answer is better; null for the critic."""
    exemplars: pathlib.Path | None = None
    """YAML file of worked examples for critic and judge; null for ours."""
    prompt_format: PromptFormat = "chat"
    """chat: a prompt is what a user says; plain: it is continued as it stands."""
    revising: RevisingConfig = dataclasses.field(default_factory=RevisingConfig)
    """Answers, critiques and revisions."""
    supervised: SupervisedConfig = dataclasses.field(default_factory=SupervisedConfig)
    """Tuning on the revisions."""
    feedback: FeedbackConfig = dataclasses.field(default_factory=FeedbackConfig)
    """Pairs of answers, and the judge."""
    preferring: PreferringConfig = dataclasses.field(default_factory=PreferringConfig)
    """Training on the preferences."""
    measuring: MeasuringConfig = dataclasses.field(default_factory=MeasuringConfig)
    """Before and after."""
    together: int = 16
    """Prompts that are answered, revised or judged together, and saved together."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "constitution"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    seed: int = 0
    """Of the answers, of which principle is drawn when, and of the training."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=None, minutes=None, seed=self.seed)
        require_at_least(1, together=self.together)


def _check_temperature(temperature: float) -> None:
    if not 0 <= temperature <= 2:  # NaN fails every comparison
        raise ConfigError("the temperature is out of range", received=temperature, expected="0 to 2")
