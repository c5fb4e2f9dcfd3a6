"""What a model knows, layer by layer, as far as it can be measured: probes, the senses of a word, where a word looks.

found = understand(UnderstandConfig(model=Path("runs/pretrain"), texts=Path("reviews.csv")))
found.texts.best.accuracy, found.to_json()

The model is only read. Each part is a hint of its own with its own check, and docs/understanding.md says what may be
concluded from it.
"""

import dataclasses
from pathlib import Path
from typing import Literal

from trivium import config as configuration
from trivium.checkpoints.model_folder import read_hf_config
from trivium.errors import ConfigError, Unsupported
from trivium.evaluation.attention_of import TIGER, WordAttention, attention_of, words_of
from trivium.evaluation.layers import text_vectors
from trivium.evaluation.probes import Probed, probe_texts, probe_words
from trivium.evaluation.word_in_context import BANK, Distances, Use, sense_distances
from trivium.lm.load import load, saved_folder
from trivium.lm.local import LocalModel
from trivium.lm.reading import at_most, longest_row
from trivium.models import Architecture, architecture
from trivium.nn.classification_head import Pooling
from trivium.recipes.probing_data import sentences_to_probe, texts_to_probe
from trivium.recipes.understanding_result import Given, Understanding, page_of
from trivium.reports import page
from trivium.runtime.progress import bar
from trivium.tokenizers import Tokenizer

_NO_HEIGHTS = ("text_cnn",)
"""Classifiers that have no layers of a vector a position."""
_TIGER_ABOUT = ("tiger", "tree")
_CHOSEN = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnderstandConfig:
    """Looks into a model layer by layer: what its layers tell of texts and words, and where a word looks."""

    model: Path
    """Folder of a model, or of a run (its best checkpoint)."""
    texts: Path | None = None
    """Labelled texts to probe for, such as polarity: .jsonl, .csv, .tsv, or a folder or .zip by label."""
    text_field: str | None = None
    """Field of the text in ``texts``; text or sentence if not given."""
    label_field: str = "label"
    """Field of the label in ``texts``."""
    sentences: Path | None = None
    """A CoNLL file of tagged words to probe for, such as entities."""
    uses: Path | None = None
    """YAML or JSON with a word and its uses, each a sentence and a sense; "bank" if not given."""
    sentence: str = TIGER
    """A sentence in which attention is looked at."""
    word: str = "it"
    """The word of that sentence that looks."""
    about: tuple[str, ...] = ()
    """Words of it whose share is shown head by head; tiger and tree, or the two that it looks at most."""
    limit: int = 1200
    """Texts, and sentences, that probes learn from at most; half as many others are held out."""
    longest_tokens: int = 128
    """Texts are read up to here; longer sentences in several stretches."""
    pooling: Pooling = "mean"
    """How a text's vectors become one."""
    output: Path = Path("understanding.html")
    """The page that is written."""
    seed: int = 0
    """Of what is drawn: examples, and the labels of the control task."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Literal["float32", "bfloat16", "float16", "float64", "auto"] = "float32"
    """Number format to read in; probes are always fitted in float64."""

    def __post_init__(self) -> None:
        if self.limit < 4:
            raise ConfigError("limit is too small", received=self.limit, expected="at least 4")
        if self.longest_tokens < 8:
            raise ConfigError("longest_tokens is too small", received=self.longest_tokens, expected="at least 8")
        if self.output.suffix not in (".html", ".htm"):
            raise ConfigError("the output is a page", received=self.output, fix="let its name end in .html")
        known = words_of(self.sentence)
        for word in (self.word, *self.about):
            if word not in known:
                raise ConfigError(
                    "the word is not in the sentence",
                    received=word,
                    expected=f"one of {', '.join(dict.fromkeys(known))}",
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SensedSentence:
    """One use of a word."""

    sentence: str
    """Its words apart by spaces, the word among them."""
    sense: str
    """What it means there."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class UsesFile:
    """A word in several senses."""

    word: str
    """As it stands in every sentence."""
    uses: tuple[SensedSentence, ...]
    """Two at least of one sense, and one of another."""


def understand(config: UnderstandConfig, *, silent: bool = False) -> Understanding:
    """Measures what is asked for and writes the page.

    Raises ``UserError`` before any weight is read for data that cannot be used and for a model that does not read text
    layer by layer. Of a model without attention that part alone is left out, and the result and the page say so.
    """
    row = check_model(config)
    given = read_given(config)
    model = load(config.model, device=config.device, dtype=config.dtype)
    if model.tokenizer is None:
        raise Unsupported(
            "the model has no tokenizer, so text cannot be read",
            received=config.model,
            fix="copy tokenizer.json into the model's folder",
        )
    attention, left_out = _looked(config, model, model.tokenizer)
    about = () if attention is None else _about(config, attention)
    texts, words, distances = _measured(config, given, model, model.tokenizer, silent)
    found = Understanding(
        model=str(config.model),
        architecture=row.name,
        longest_tokens=config.longest_tokens,
        pooling=config.pooling,
        sentence=config.sentence,
        given=given,
        texts=texts,
        words=words,
        distances=distances,
        attention=attention,
        stack="layer" if _start_id(model) is None else "encoder",
        about=about,
        left_out=left_out,
    )
    page.write(page_of(found), config.output)
    return found


def check_model(config: UnderstandConfig) -> Architecture:
    """The architecture of the model. Raises ``Unsupported`` where its layers cannot be read; no weight is read."""
    row = architecture(read_hf_config(saved_folder(config.model))["model_type"])
    if row.kind == "recurrent encoder-decoder" or row.name in _NO_HEIGHTS:
        raise Unsupported(
            "the layers of this model cannot be looked at one by one",
            received=row.name,
            expected="an encoder, a decoder, a recurrent language model, or a Transformer with both stacks",
        )
    return row


def read_given(config: UnderstandConfig) -> Given:
    """The data. Raises ``UserError`` for what cannot be used."""
    texts = sentences = None
    if config.texts is not None:
        fields = {"text_field": config.text_field, "label_field": config.label_field}
        texts = texts_to_probe(config.texts, limit=config.limit, seed=config.seed, **fields)
    if config.sentences is not None:
        sentences = sentences_to_probe(config.sentences, limit=config.limit, seed=config.seed)
    if config.uses is None:
        return Given(texts=texts, sentences=sentences, word="bank", uses=BANK)
    file = configuration.from_yaml(UsesFile, config.uses)
    uses = tuple(Use.of(each.sentence, file.word, each.sense) for each in file.uses)
    return Given(texts=texts, sentences=sentences, word=file.word, uses=uses)


# The parts ------------------------------------------------------------------------------------------------------------


def _start_id(model: LocalModel) -> int | None:
    """What the decoder of an encoder-decoder begins with."""
    return model.config.start_id if model.architecture.kind == "encoder-decoder" else None


def _looked(
    config: UnderstandConfig, model: LocalModel, tokenizer: Tokenizer
) -> tuple[WordAttention | None, tuple[str, ...]]:
    encoder = _start_id(model) is not None
    try:
        return attention_of(model.network, tokenizer, config.sentence, config.word, encoder=encoder), ()
    except Unsupported:
        return None, (f"Where “{config.word}” looks: {model.architecture.name} has no attention to look at.",)


def _about(config: UnderstandConfig, attention: WordAttention) -> tuple[str, ...]:
    """What is asked for; else of the default sentence its two animals, so to speak; else what is looked at most."""
    if config.about:
        return config.about
    if config.sentence == TIGER:
        return _TIGER_ABOUT
    share = attention.weights.mean((0, 1))
    of_words = set(words_of(config.sentence)) - {config.word}
    order = [attention.words[place] for place in share.argsort(descending=True, stable=True).tolist()]
    named = [str(word) for word in order if word in of_words]
    return tuple(dict.fromkeys(named))[:_CHOSEN]


def _measured(
    config: UnderstandConfig, given: Given, model: LocalModel, tokenizer: Tokenizer, silent: bool
) -> tuple[Probed | None, Probed | None, list[Distances]]:
    network, start_id = model.network, _start_id(model)
    longest = at_most(config.longest_tokens, longest_row(network))
    # A short text first: it tells how many layers there are, and whether the model can be read so at all.
    short = [each.ids for each in tokenizer.encode_joined([config.word], longest)]
    heights = len(text_vectors(network, short, pooling=config.pooling, start_id=start_id))
    sides = [each for each in (given.texts, given.sentences) if each is not None]
    texts = words = None
    with bar("understand", heights * (len(sides) + 1), unit="layers", silent=silent) as progress:
        distances = sense_distances(network, tokenizer, given.uses, start_id=start_id)
        progress.advance(heights)
        if given.texts is not None:
            texts = probe_texts(
                network,
                tokenizer,
                given.texts.train,
                given.texts.held_out,
                pooling=config.pooling,
                longest=longest,
                start_id=start_id,
                told=progress.advance,
            )
        if given.sentences is not None:
            words = probe_words(
                network,
                tokenizer,
                given.sentences.train,
                given.sentences.held_out,
                outside=given.sentences.outside,
                longest=longest,
                start_id=start_id,
                seed=config.seed,
                told=progress.advance,
            )
    return texts, words, distances
