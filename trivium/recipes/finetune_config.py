"""What `trivium finetune` is asked."""

import dataclasses
import math
import pathlib
from typing import Any

from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.llama_adapter import LlamaAdapterConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.parallel_adapter import ParallelAdapterConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.selective import SelectiveConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.errors import ConfigError
from trivium.lm.turns import PromptFormat
from trivium.recipes.examples import Answers
from trivium.recipes.forgetting import ForgettingConfig
from trivium.recipes.lengths import TooLong
from trivium.recipes.method_config import WAYS, MethodName, Settings, settings_of
from trivium.recipes.mixing import MixingConfig
from trivium.recipes.rehearsal import RehearsalConfig
from trivium.recipes.retention import RetentionConfig
from trivium.recipes.training import TrainingConfig, check_request, require_at_least
from trivium.training.layer_sampling import LayerSamplingConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.private_gradients import PrivacyConfig
from trivium.training.schedules import ScheduleConfig

LORA_PLUS_RATIO = 16.0


def _every_matrix() -> LoRAConfig:
    """Of all matrices of the blocks, which is worth more than a higher rank (Dettmers et al. 2023, section 4)."""
    return LoRAConfig(targets=ALL_LINEAR)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Trains a finished model further on conversations, or on prompts with their completions."""

    model: pathlib.Path
    """Folder of the model, or of the run that made it."""
    data: pathlib.Path
    """A file of examples, or a folder of them: .jsonl whose lines have "messages", "prompt" and "completion",
    "instruction" and "output", "conversations" or "text"; .json, .csv, .tsv or .parquet."""
    columns: tuple[str, ...] = ()
    """Of a table, which columns are meant: prompt=question completion=answer."""
    validation: pathlib.Path | None = None
    """A file like `data` to measure on; null to hold out one prompt in twenty."""
    method: MethodName | None = None
    """What is trained: full, the whole model, or lisa, a few of its blocks at a time; last-k, layers, bitfit, norms or
    embeddings, some of it; the others an adapter beside it, of a hundredth of its size, which is then what is saved.
    qlora reads the model in 4 bits. Null is full, and where `model` is an adapter, which goes on, the adapter's own."""
    prompt_format: PromptFormat = "chat"
    """chat: the prompt is what a user says and the completion the answer; plain: the prompt as it stands."""
    answers: Answers = "last"
    """Which answers of a conversation to train on: the last, or all; the others are read only."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "finetune"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    rows: int = 8
    """Rows of a batch, of all processes together; short examples share a row without seeing each other."""
    context_tokens: int = 256
    """Tokens of a row."""
    too_long: TooLong = "drop"
    """What becomes of examples that are longer: they are left out, cut at the end, or refused; and counted."""
    optimiser: OptimiserConfig = dataclasses.field(default_factory=lambda: OptimiserConfig(weight_decay=0.0))
    """The optimiser; AdamW by default, at the rate that is usual of the method."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear", warmup_steps=0))
    """How the learning rate goes with the step."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """How a step is computed, and how often to look and save."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or three passes."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    seed: int = 0
    """Of the order of the examples, the dropout and the new weights of an adapter."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""
    forgetting: ForgettingConfig = dataclasses.field(default_factory=ForgettingConfig)
    """What the model is measured on before and after, to see what it has forgotten."""
    mixing: MixingConfig = dataclasses.field(default_factory=MixingConfig)
    """How often which task, class and group is read; every example once a pass, unless something is given."""
    rehearsal: RehearsalConfig = dataclasses.field(default_factory=RehearsalConfig)
    """What is rehearsed, so that it is not forgotten."""
    retention: RetentionConfig = dataclasses.field(default_factory=RetentionConfig)
    """What holds the model near what it was."""
    privacy: PrivacyConfig = dataclasses.field(default_factory=PrivacyConfig)
    """How much what is learnt may tell of any one example; as much as there is, unless epsilon or noise is given."""
    lora: LoRAConfig = dataclasses.field(default_factory=_every_matrix)
    """Of lora, qlora, rslora, dora, pissa and lora+."""
    lora_plus_ratio: float = LORA_PLUS_RATIO
    """Of lora+: the rate of B in that of A (Hayou et al. 2024)."""
    ia3: IA3Config = dataclasses.field(default_factory=IA3Config)
    """Of ia3."""
    bottleneck: BottleneckConfig = dataclasses.field(default_factory=BottleneckConfig)
    """Of houlsby and pfeiffer, which say its kind."""
    parallel: ParallelAdapterConfig = dataclasses.field(default_factory=ParallelAdapterConfig)
    """Of parallel."""
    llama_adapter: LlamaAdapterConfig = dataclasses.field(default_factory=LlamaAdapterConfig)
    """Of llama-adapter."""
    prefix: PrefixConfig = dataclasses.field(default_factory=PrefixConfig)
    """Of prefix."""
    soft_prompt: SoftPromptConfig = dataclasses.field(default_factory=SoftPromptConfig)
    """Of soft-prompt."""
    p_tuning: PTuningConfig = dataclasses.field(default_factory=PTuningConfig)
    """Of p-tuning."""
    selective: SelectiveConfig = dataclasses.field(default_factory=SelectiveConfig)
    """Of full, last-k, layers, bitfit, norms and embeddings."""
    layer_sampling: LayerSamplingConfig = dataclasses.field(default_factory=LayerSamplingConfig)
    """Of lisa."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, rows=self.rows, context_tokens=self.context_tokens)
        _ = self.method_settings
        if not 0 < self.lora_plus_ratio < math.inf:  # NaN fails every comparison
            raise ConfigError("lora_plus_ratio must be a finite number above 0", received=self.lora_plus_ratio)
        if self.lora_plus_ratio != LORA_PLUS_RATIO and self.method != "lora+":
            raise ConfigError(
                f"the method {self.decided_method} reads no lora_plus_ratio",
                received=self.lora_plus_ratio,
                fix="leave it out, or choose the method lora+",
            )

    @property
    def decided_method(self) -> MethodName:
        """The method; full where nothing is said."""
        return self.method or "full"

    @property
    def method_settings(self) -> Settings:
        """What the method is carried out with. `ConfigError` for settings of a method that was not chosen."""
        usual = self.usual_settings()
        return settings_of(self.decided_method, {name: getattr(self, name) for name in usual}, usual)

    def usual_settings(self) -> dict[str, Any]:
        """The settings of every method as they are by default, by the name of their field."""
        usual = {field.name: field.default_factory for field in dataclasses.fields(self)}
        return {name: usual[name]() for name in dict.fromkeys(way.settings for way in WAYS.values())}
