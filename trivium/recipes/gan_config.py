"""What `trivium pretrain gan` is asked."""

import dataclasses
import pathlib
from typing import Any, Literal

from trivium.config import did_you_mean
from trivium.errors import ConfigError
from trivium.models import architecture
from trivium.objectives.coldgan import ColdConfig
from trivium.objectives.leakgan import LeakGANTraining
from trivium.objectives.maligan import MaliGANConfig
from trivium.objectives.relgan import RelGANConfig
from trivium.objectives.seqgan import SeqGANConfig
from trivium.objectives.textgan import TextGANConfig
from trivium.recipes.gan_ways import ON_PAIRS, WAYS, MethodName, Way
from trivium.recipes.lengths import TooLong
from trivium.recipes.training import check_request, require_at_least


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextsConfig:
    """How texts are read: one a line."""

    kind: Literal["word", "byte_bpe", "character"] = "word"
    """Vocabulary: a token a word, as in all the papers; byte-level BPE, which needs its size; a token a character."""
    vocabulary_size: int | None = None
    """Tokens in the vocabulary; null for all words or characters."""
    minimum_count: int = 2
    """Words that are rarer in the texts to learn from are unknown. With 1 every word of theirs is known, and nothing is
    learnt of the likelihood that unknown ones have, in held-out text."""
    longest: int = 48
    """Tokens of the longest text, with its end token; of pairs, of either side."""
    too_long: TooLong = "refuse"
    """What becomes of longer ones: they are refused with their line, cut at the end, or dropped;
    both are counted and told."""
    field: str | None = None
    """Field or column of the text, where the data is no plain text; null for text or sentence."""
    validation_fraction: float = 0.1
    """Share of the different texts to hold out, two at least."""

    def __post_init__(self) -> None:
        require_at_least(1, minimum_count=self.minimum_count)
        require_at_least(2, longest=self.longest)
        if not 0 < self.validation_fraction < 1:
            raise ConfigError("validation_fraction must be above 0 and below 1", received=self.validation_fraction)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworksConfig:
    """The generator and the discriminator; null for those of the method's paper."""

    architecture: str | None = None
    """Of the generator: any decoder or recurrent language model. LeakGAN's is its own. ColdGANs also play with an
    encoder-decoder (t5, bart, transformer, luong, seq2seq, cho, sutskever): it writes a text for a source."""
    width: int | None = None
    """Of the generator."""
    embedding_width: int | None = None
    """Of the generator's embedding, where the architecture lets it differ."""
    layers: int = 1
    """Of the generator; of an encoder-decoder, of each of the two."""
    heads: int | None = None
    """Attention heads of the generator; null for as many as are usual, of a relational memory 2."""
    dropout: float = 0.0
    """Of the generator, in training by likelihood; in the game it is off. It is the first remedy where there are few
    texts."""
    filters: float = 0.25
    """Filters of the discriminator for one of the published, 1,720 in all and of RelGAN 1,200; 1 for as many."""

    def __post_init__(self) -> None:
        require_at_least(
            1, width=self.width, embedding_width=self.embedding_width, layers=self.layers, heads=self.heads
        )
        if not 0 < self.filters <= 4:
            raise ConfigError("filters is a share of those published", received=self.filters, expected="such as 0.25")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhasesConfig:
    """What comes before the game."""

    likelihood_steps: int | None = None
    """Updates by maximum likelihood; null for twenty passes over the texts. The game begins with the weights that were
    best on held-out text."""
    likelihood_rate: float | None = None
    """Learning rate of these; null for the method's."""
    discriminator_steps: int | None = None
    """Then steps in which the discriminator learns alone; null for the method's."""

    def __post_init__(self) -> None:
        require_at_least(1, likelihood_steps=self.likelihood_steps)
        require_at_least(0, discriminator_steps=self.discriminator_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TurnsConfig:
    """How the two take turns in a step of the game."""

    generator_rate: float | None = None
    """Learning rate; null for the method's."""
    discriminator_rate: float | None = None
    """Likewise."""
    generator_updates: int = 1
    """Updates of the generator in a step, each on texts of its own."""
    discriminator_updates: int | None = None
    """Updates of the discriminator before them, each on other texts; null for the method's."""
    saturated: float | None = None
    """A discriminator that is right about this share of the texts waits until it is not; 1 never waits; null for the
    method's, 1 for relgan and 0.98 for all others."""
    clip_norm: float | None = 5.0
    """Longest gradient that is applied as it is; null for no limit."""
    parts: int = 1
    """Parts that an update of the generator is computed in: less memory, the same update."""

    def __post_init__(self) -> None:
        require_at_least(1, generator_updates=self.generator_updates, parts=self.parts)
        require_at_least(0, discriminator_updates=self.discriminator_updates)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """What each method is carried out with."""

    seqgan: SeqGANConfig = dataclasses.field(default_factory=SeqGANConfig)
    """Of seqgan."""
    maligan: MaliGANConfig = dataclasses.field(default_factory=MaliGANConfig)
    """Of maligan."""
    textgan: TextGANConfig = dataclasses.field(default_factory=TextGANConfig)
    """Of textgan."""
    leakgan: LeakGANTraining = dataclasses.field(default_factory=LeakGANTraining)
    """Of leakgan."""
    relgan: RelGANConfig = dataclasses.field(default_factory=RelGANConfig)
    """Of relgan."""
    coldgan: ColdConfig = dataclasses.field(default_factory=ColdConfig)
    """Of coldgan."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CadenceConfig:
    """How often to look and save, in the game; the other phases are saved in twenty parts."""

    log_every_steps: int = 5
    """Steps between two lines of metrics.jsonl."""
    evaluate_every_steps: int = 25
    """Steps between two measurements of the likelihood of held-out text."""
    checkpoint_every_steps: int = 25
    """Steps between two checkpoints."""

    def __post_init__(self) -> None:
        require_at_least(1, **dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrontierConfig:
    """What the finished generator is measured on, beside the one that the game began with."""

    temperatures: tuple[float, ...] = (0.6, 0.8, 1.0, 1.25)
    """By which the logits are divided; 1 is the generator itself."""
    texts: int = 500
    """Texts that are written at each temperature, and draws of so many are compared."""
    draws: int = 3
    """Draws at each temperature, for the intervals."""
    order: int = 4
    """Longest n-grams of BLEU and Self-BLEU on the two axes."""
    judge_width: int = 64
    """Of the language models that judge texts at temperature 1, one of them of real texts and one of each generator's:
    LM score, reverse LM score and Fréchet distance."""
    judge_passes: int = 5
    """Passes of each of them over its texts; 0 leaves these figures out, and the different n-grams beside them."""

    def __post_init__(self) -> None:
        require_at_least(2, texts=self.texts, draws=self.draws)
        require_at_least(1, order=self.order, judge_width=self.judge_width)
        require_at_least(0, judge_passes=self.judge_passes)
        if 1.0 not in self.temperatures or not all(0 < each < float("inf") for each in self.temperatures):
            raise ConfigError("temperatures are above 0, and 1 among them", received=self.temperatures)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GANConfig:
    """Trains a generator of texts against a discriminator that tells its texts from real ones."""

    data: pathlib.Path
    """A file of texts or a folder of such files: .txt with one a line, or .jsonl, .json, .csv, .tsv or .parquet. For an
    encoder-decoder, records of the latter with a source and a target."""
    method: MethodName = "relgan"
    """SeqGAN and MaliGAN are rewarded for whole texts, LeakGAN is also told what the discriminator sees, ColdGANs learn
    from their likeliest texts; TextGAN and RelGAN receive the discriminator's gradient."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "gan"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    texts: TextsConfig = dataclasses.field(default_factory=TextsConfig)
    """How texts are read."""
    networks: NetworksConfig = dataclasses.field(default_factory=NetworksConfig)
    """The generator and the discriminator."""
    phases: PhasesConfig = dataclasses.field(default_factory=PhasesConfig)
    """What comes before the game."""
    turns: TurnsConfig = dataclasses.field(default_factory=TurnsConfig)
    """How the two take turns."""
    settings: MethodSettings = dataclasses.field(default_factory=MethodSettings)
    """The method's own settings."""
    rows: int = 64
    """Texts of an update; a step reads as many for each update of the discriminator."""
    cadence: CadenceConfig = dataclasses.field(default_factory=CadenceConfig)
    """How often to look and save."""
    frontier: FrontierConfig = dataclasses.field(default_factory=FrontierConfig)
    """What the finished generator is measured on."""
    steps: int | None = None
    """Steps of the game; null for those that fit in `minutes`, or the method's."""
    minutes: float | None = None
    """Minutes of the game after which it ends, or with `steps` ends at the latest; the phases before have their own
    numbers of steps."""
    seed: int = 0
    """Of the weights, the order of the texts and all that is drawn."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, rows=self.rows)
        if self.method not in WAYS:
            raise ConfigError(
                "there is no such method",
                received=self.method,
                expected=", ".join(WAYS),
                fix=did_you_mean(self.method, WAYS),
            )
        self._refuse_other_settings()

    def _refuse_other_settings(self) -> None:
        usual = MethodSettings()
        for name in WAYS:
            if name != self.method and getattr(self.settings, name) != getattr(usual, name):
                raise ConfigError(
                    f"settings of {name}, and the method is {self.method}",
                    received=f"settings.{name}",
                    fix=f"leave them out, or set method to {name}",
                )

    @property
    def way(self) -> Way:
        """What the method has where nothing is said."""
        return ON_PAIRS if self.reads_sources else WAYS[self.method]

    @property
    def of_method(self) -> Any:
        """The settings of the method."""
        return getattr(self.settings, self.method)

    @property
    def reads_sources(self) -> bool:
        """Whether the generator is an encoder-decoder: then texts are the targets of pairs."""
        name = self.networks.architecture or WAYS[self.method].architecture
        return architecture(name).kind.endswith("encoder-decoder")

    @property
    def discriminator_updates(self) -> int:
        """In a step."""
        asked = self.turns.discriminator_updates
        return self.way.discriminator_updates if asked is None else asked

    @property
    def saturated(self) -> float:
        """Share of the texts about which a discriminator is right that waits."""
        return self.way.saturated if self.turns.saturated is None else self.turns.saturated

    @property
    def discriminator_steps(self) -> int:
        """Of the discriminator alone."""
        asked = self.phases.discriminator_steps
        return self.way.discriminator_steps if asked is None else asked

    @property
    def game_steps(self) -> int | None:
        """Of the game; None for those that fit in the minutes."""
        return self.steps or (self.way.steps if self.minutes is None else None)

    def likelihood_steps(self, texts: int) -> int:
        """Updates by likelihood, with so many texts to learn from."""
        return self.phases.likelihood_steps or max(2, 20 * texts // self.rows)
