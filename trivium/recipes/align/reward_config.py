"""What `trivium align reward` may be told."""

import dataclasses
import math
import pathlib
from typing import Any, Literal

from trivium.adapters.ia3 import IA3Config
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.selective import SelectiveConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.errors import ConfigError
from trivium.lm.reward_rows import LongRows
from trivium.lm.turns import PromptFormat
from trivium.objectives.preference import CENTRING
from trivium.recipes.method_config import WAYS, MethodName, Settings, settings_of
from trivium.recipes.training import TrainingConfig, check_request, require_at_least
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.schedules import ScheduleConfig

LossName = Literal["bradley-terry", "regression", "ordinal", "logistic"]


def _every_matrix() -> LoRAConfig:
    return LoRAConfig(targets=ALL_LINEAR)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """Trains a reward model: a network that scores answers as people judged them."""

    model: pathlib.Path
    """Folder of the model to begin with, or of the run that made it: the one that the policy begins with, say. A
    decoder, a recurrent language model or an encoder; its output becomes a head of scores."""
    data: pathlib.Path
    """Answers that were compared, ranked, scored or called good or bad: .jsonl, .json, .csv, .tsv or .parquet, or a
    folder of them."""
    columns: tuple[str, ...] = ()
    """Of a table, which columns are meant: chosen=better rejected=worse."""
    validation: pathlib.Path | None = None
    """A file like `data` to measure on; null to hold out one prompt in ten, with all of its answers."""
    criteria: tuple[str, ...] = ()
    """What to score, each by a number of its own; all that the data speaks of where none is named."""
    criterion_weights: tuple[float, ...] = ()
    """By what each criterion is multiplied in the one number of an answer; the same of all where none is given."""
    loss: LossName | None = None
    """Null for what the data has: bradley-terry for rankings and pairs, regression for scores, logistic for answers
    that are good or bad. ordinal learns how far apart grades are; bradley-terry takes scores for rankings as well."""
    margins: bool = False
    """bradley-terry: ask for a difference as large as the margin that the data states, or the difference of scores."""
    centring: float = CENTRING
    """bradley-terry: weight of the squared sum of the two scores of a pair, which keeps scores near 0."""
    members: int = 1
    """Reward models that are trained one after the other, by other seeds, and score together: `run`, `run`-2, ..."""
    method: MethodName = "full"
    """What is trained beside the head: full, the whole model; last-k, layers, bitfit, norms or embeddings, some of it;
    lora, qlora, rslora, dora, lora+ or ia3 an adapter, which is then what is saved, and which a policy on the same base
    can be scored with without another copy of it."""
    prompt_format: PromptFormat = "chat"
    """chat: the prompt is what a user says and the answer the assistant's turn; plain: both as they stand."""
    context_tokens: int = 512
    """Tokens of a prompt with its answer; never more than the base holds."""
    long_rows: LongRows = "cut"
    """What becomes of longer ones: the beginning of the prompt is cut off, and they are counted; or they are
    refused."""
    rows: int = 16
    """Prompts of a batch, of all processes together, each with all of its answers; of scores and labels, answers."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "reward"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there; of several members, with the one that was at work."""
    optimiser: OptimiserConfig = dataclasses.field(default_factory=lambda: OptimiserConfig(weight_decay=0.0))
    """The optimiser; AdamW by default, at half the rate that is usual of the method in fine-tuning."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear"))
    """How the learning rate goes with the step; the usual warm-up is a tenth of the run."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """How a step is computed, and how often to look and save."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or make `passes`."""
    minutes: float | None = None
    """Time to train each member for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    passes: float = 1.0
    """Over the prompts, where neither steps nor minutes are given. More than one overfits soon (Ouyang et al. 2022,
    appendix C.2)."""
    seed: int = 0
    """Of the head, the order of the prompts, the dropout and the weights of an adapter."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""
    lora: LoRAConfig = dataclasses.field(default_factory=_every_matrix)
    """Of lora, qlora, rslora, dora and lora+."""
    ia3: IA3Config = dataclasses.field(default_factory=IA3Config)
    """Of ia3."""
    selective: SelectiveConfig = dataclasses.field(default_factory=SelectiveConfig)
    """Of full, last-k, layers, bitfit, norms and embeddings."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(2, context_tokens=self.context_tokens)
        require_at_least(1, rows=self.rows, members=self.members)
        _ = self.method_settings
        for name, value, least in (("passes", self.passes, 1e-9), ("centring", self.centring, 0)):
            if not least <= value < math.inf:  # NaN fails every comparison
                raise ConfigError(f"{name} must be a finite number of {least:g} or more", received=value)
        if self.criterion_weights and len(self.criterion_weights) != len(self.criteria):
            raise ConfigError(
                "every criterion has one weight",
                received=f"{len(self.criteria)} criteria, {len(self.criterion_weights)} criterion_weights",
                fix="name the criteria, and as many weights",
            )
        if len(set(self.criteria)) < len(self.criteria):
            raise ConfigError("a criterion is named twice", received=", ".join(self.criteria))
        if self.training.several_processes == "shard":
            raise ConfigError(
                "a reward model is not sharded over processes: one of them scores the reference answers",
                received="training.several_processes shard",
                fix="set it to replicate",
            )

    @property
    def method_settings(self) -> Settings:
        """What the method is carried out with. `ConfigError` for a method that a head of scores does not go with, and
        for settings of one that was not chosen."""
        usual: dict[str, Any] = {"lora": _every_matrix(), "ia3": IA3Config(), "selective": SelectiveConfig()}
        if WAYS[self.method].settings not in usual:
            raise ConfigError(
                "a head of scores is not trained with this method",
                received=f"method {self.method}",
                expected=", ".join(name for name, way in WAYS.items() if way.settings in usual),
            )
        return settings_of(self.method, {name: getattr(self, name) for name in usual}, usual)
