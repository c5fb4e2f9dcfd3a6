"""What `trivium align dpo` is asked, and its aliases `ipo`, `kto`, `orpo` and `simpo`."""

import dataclasses
import pathlib
from typing import Literal

from trivium.adapters.lora import LoRAConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.errors import ConfigError
from trivium.lm.turns import PromptFormat
from trivium.objectives.dpo import DPO
from trivium.objectives.ipo import IPO
from trivium.objectives.kto import KTO
from trivium.objectives.orpo import ORPO
from trivium.objectives.simpo import SimPO
from trivium.recipes.lengths import TooLong
from trivium.recipes.training import TrainingConfig, check_request, require_at_least
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.schedules import ScheduleConfig

Preference = Literal["dpo", "ipo", "kto", "orpo", "simpo"]
DPOMethod = Literal["full", "lora", "qlora", "rslora", "dora", "pissa", "lora+"]
PreferenceLoss = DPO | IPO | KTO | ORPO | SimPO
LOSSES: dict[Preference, type[PreferenceLoss]] = {"dpo": DPO, "ipo": IPO, "kto": KTO, "orpo": ORPO, "simpo": SimPO}
_SETTINGS = (
    "beta",
    "label_smoothing",
    "nll_weight",
    "margin_weight",
    "gamma",
    "desirable_weight",
    "undesirable_weight",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DPOConfig:
    """Trains a finished model on preferences, without a reward model."""

    model: pathlib.Path
    """Folder of the model, or of the run that made it; of an adapter, which then goes on."""
    data: pathlib.Path
    """A file of preferences, or a folder of them: pairs, rankings, or, for kto, answers that are good or bad."""
    columns: tuple[str, ...] = ()
    """Of a table, which columns are meant: prompt=question chosen=better rejected=worse."""
    validation: pathlib.Path | None = None
    """A file like `data` to measure on; null to hold out one prompt in twenty."""
    criterion: str | None = None
    """By which of the criteria of the data answers are better; null for all of them."""
    from_scores: bool = False
    """Also make pairs of answers that have scores and no ranks: the higher one is better."""
    objective: Preference = "dpo"
    """dpo; ipo, which aims at one difference and no larger; kto, which needs no pairs; orpo and simpo, which need no
    reference."""
    beta: float | None = None
    """Weight of the reward, or of orpo's odds ratio; null for what is usual: 0.1, of simpo 2. Of dpo, ipo and kto: the
    higher, the nearer the model stays to what it was."""
    label_smoothing: float | None = None
    """Of dpo and simpo: the share of pairs that is believed to stand the wrong way round; null for none."""
    nll_weight: float | None = None
    """Of dpo: weight of the likelihood of the chosen answer, which the loss alone lets fall; null for none."""
    margin_weight: float | None = None
    """Of dpo: by how much further an answer must be ahead for each unit of its margin in the data; null for none."""
    gamma: float | None = None
    """Of simpo: by how much the better answer must be ahead, in rewards; null for 1."""
    desirable_weight: float | None = None
    """Of kto: what a good answer weighs; null for 1."""
    undesirable_weight: float | None = None
    """Of kto: what a bad answer weighs; null for 1."""
    store_reference: bool = False
    """Read all data with the model as it is before training begins, instead of at each step: no copy of what is trained
    is held, and of several passes all but the first are faster."""
    method: DPOMethod | None = None
    """What is trained, as `trivium finetune` has it. Null is full, and where `model` is an adapter, that."""
    lora: LoRAConfig = dataclasses.field(default_factory=lambda: LoRAConfig(targets=ALL_LINEAR))
    """Of all methods but full."""
    prompt_format: PromptFormat = "chat"
    """chat: the prompt is what a user says and the answer the assistant's turn; plain: both as they stand."""
    context_tokens: int = 512
    """Longest prompt with its answer, in tokens."""
    too_long: TooLong = "drop"
    """What becomes of pairs with a longer text: they are left out, cut at the end, or refused; and counted."""
    rows: int = 16
    """Pairs of a batch, of all processes together; of kto, answers."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "dpo"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    optimiser: OptimiserConfig = dataclasses.field(default_factory=lambda: OptimiserConfig(weight_decay=0.0))
    """The optimiser; AdamW by default, at a tenth of the rate of fine-tuning by the method."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear"))
    """How the learning rate goes with the step."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """How a step is computed, and how often to look and save."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or one pass."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    seed: int = 0
    """Of the order of the pairs and the new weights of an adapter."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, rows=self.rows, context_tokens=self.context_tokens)
        loss = self.loss
        if self.store_reference and not needs_reference(loss):
            raise ConfigError(
                f"the objective {self.objective} has no reference to store",
                received="store_reference true",
                fix="leave it out, or choose the objective dpo, ipo or kto",
            )

    @property
    def loss(self) -> PreferenceLoss:
        """What is minimised. `ConfigError` for settings that the objective does not read, or that are impossible."""
        kind = LOSSES[self.objective]
        given = {name: getattr(self, name) for name in _SETTINGS if getattr(self, name) is not None}
        unread = given.keys() - {field.name for field in dataclasses.fields(kind) if field.init}
        for name in sorted(unread):
            readers = [
                each for each, other in LOSSES.items() if name in {field.name for field in dataclasses.fields(other)}
            ]
            raise ConfigError(
                f"the objective {self.objective} reads no {name}",
                received=given[name],
                fix=f"leave it out, or choose the objective {' or '.join(readers)}",
            )
        return kind(**given)


def needs_reference(loss: PreferenceLoss) -> bool:
    """Whether the loss compares with what the model was."""
    return isinstance(loss, KTO) or loss.needs_reference
