"""What is done to each document by itself: clean it, take furniture out, judge it, take personal data out.

The order is that of cost and of meaning: rules judge the text that would be learnt from, and privacy comes last, so
that no placeholder sways a judgement. Every step is a function of one document, which is why any number of processes
give the same corpus.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from trivium.data.boilerplate import BoilerplateConfig, strip_boilerplate
from trivium.data.cleaning import CleaningConfig, clean
from trivium.data.documents import Document
from trivium.data.funnel import Funnel
from trivium.data.privacy import Privacy, redact
from trivium.data.quality import QualityConfig, Verdict, harm, judge, language, perplexity
from trivium.data.quality.blocklist import load_blocklist
from trivium.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """What is done to each document."""

    clean: bool = True
    """Normalise Unicode, line ends and white space."""
    cleaning: CleaningConfig = field(default_factory=CleaningConfig)
    """How."""
    strip_boilerplate: bool = False
    """Remove lines that are furniture of a web page; see `boilerplate`."""
    boilerplate: BoilerplateConfig = field(default_factory=BoilerplateConfig)
    """Which lines go."""
    languages: tuple[str, ...] = ()
    """Keep only these, by ISO 639-1 codes such as en; none keeps all. What a source states of itself is believed."""
    identify_language: bool = False
    """Identify the language of documents whose source does not state it, to count and to weigh by."""
    language_probability: float = 0.5
    """Least probability of an identified language."""
    quality: QualityConfig = field(default_factory=lambda: QualityConfig(rules=()))
    """Rules with published thresholds, made for prose from the web; none by default."""
    perplexity_model: Path | None = None
    """Folder of an n-gram model of text to resemble; see `trivium.data.quality.perplexity`."""
    perplexity_limit: float = 1000.0
    """Remove what it finds more surprising, in units of a character's perplexity."""
    harm_model: Path | None = None
    """Folder of a classifier of harmful text; see `trivium.data.quality.harm`."""
    harm_threshold: float = 0.9
    """Remove what is harmful with at least this probability."""
    redact: bool = False
    """Replace personal data and secrets by the names of their kinds; see `privacy`. Names of people are not found."""
    privacy: Privacy = field(default_factory=Privacy)
    """Which kinds."""

    def __post_init__(self) -> None:
        for name in ("language_probability", "harm_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be a probability", received=getattr(self, name), expected="0 to 1")


def refine(document: Document, config: TextConfig, funnel: Funnel) -> Document | None:
    """The document as it goes on, or None where a rule removes it; ``funnel`` is told either way."""
    if config.clean:
        document = _altered(document, clean(document.text, config.cleaning), "cleaning", funnel, rule="cleaned")
    if not document.text.strip():
        funnel.remove("cleaning", document, rule="nothing left after cleaning")
        return None
    if config.strip_boilerplate:
        stripped = strip_boilerplate(document.text, config.boilerplate)
        document = _altered(document, stripped.text, "boilerplate", funnel, details=stripped.removed)
        if not document.text.strip():
            funnel.remove("boilerplate", document, rule="nothing but boilerplate")
            return None
    if config.languages or config.identify_language:
        document, verdict = _language(document, config)
        if verdict.rule is not None:
            funnel.remove("language", document, verdict.detail, rule=verdict.rule)
            return None
    for stage, verdict in _judged(document, config):
        if verdict.rule is not None:
            funnel.remove(stage, document, verdict.detail, rule=verdict.rule)
            return None
    if config.redact:
        text, counts = redact(document.text, config.privacy)
        document = _altered(document, text, "privacy", funnel, details=dict(sorted(counts.items())))
    return document


def forget_models() -> None:
    """Reads models and lists again when they are needed next."""
    for cached in (_ngram_model, _classifier, load_blocklist):
        cached.cache_clear()


def _altered(
    document: Document,
    text: str,
    stage: str,
    funnel: Funnel,
    *,
    rule: str | None = None,
    details: dict[str, int] | None = None,
) -> Document:
    if text == document.text:
        return document
    after = replace(document, text=text)
    if text.strip():
        funnel.change(stage, document, after, details, rule=rule)
    return after


def _language(document: Document, config: TextConfig) -> tuple[Document, Verdict]:
    """The document with its language, and whether it is one of those asked for."""
    if document.language is not None:
        code, told = document.language.lower().split("-")[0], "as stated"
    else:
        code, probability = language.identify(document.text, minimum_probability=config.language_probability)
        told = f"{probability:.2f}"
        if code != language.UNDETERMINED:
            document = replace(document, language=code)
    if not config.languages or code in config.languages:
        return document, Verdict()
    return document, Verdict(rule=f"language: not {', '.join(config.languages)}", detail=f"{code} ({told})")


def _judged(document: Document, config: TextConfig):
    """(stage, verdict) of each judge, only as far as the caller goes on."""
    if config.quality.rules or config.quality.blocklists:
        yield "quality", judge(document.text, config.quality, document.language)
    if config.perplexity_model is not None:
        model = _ngram_model(str(config.perplexity_model))
        yield "perplexity", perplexity.judge(document.text, model, config.perplexity_limit)
    if config.harm_model is not None:
        yield "harm", harm.judge(document.text, _classifier(str(config.harm_model)), config.harm_threshold)


@lru_cache(maxsize=1)
def _ngram_model(folder: str) -> perplexity.NgramModel:
    return perplexity.NgramModel.load(folder)


@lru_cache(maxsize=1)
def _classifier(folder: str) -> harm.HarmClassifier:
    return harm.HarmClassifier.load(folder)
