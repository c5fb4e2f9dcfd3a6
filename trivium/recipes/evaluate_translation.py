"""How near a model's translations come to those of people, and how probable it thinks theirs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trivium.data.pairs import seq2seq_batch
from trivium.data.parallel import is_pair_file, read_parallel
from trivium.errors import ConfigError
from trivium.evaluation import metrics
from trivium.evaluation.intervals import bootstrap
from trivium.evaluation.metrics.bleu import bleu_counts, bleu_of, sacrebleu_metrics
from trivium.evaluation.metrics.chrf import chrf_counts, chrf_of
from trivium.generation.reading import context_limit
from trivium.lm.local import LocalModel
from trivium.lm.together import TOKENS_AT_ONCE, together
from trivium.objectives.seq2seq import seq2seq
from trivium.recipes.evaluate_text import perplexity_of
from trivium.recipes.translation import encode_pairs
from trivium.recipes.writing import cut_source, room_for, source_prefix, stated_new_tokens, write_texts
from trivium.runtime.progress import bar

_AT_ONCE = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translated:
    """One sentence with its translation."""

    text: str
    """What was to be translated."""
    target: str
    """Its translation in the data."""
    translation: str
    """The model's."""


def read_references(data: Path, references: Path | None, *, encoding: str = "utf-8") -> list[tuple[str, str]]:
    """(source, its right translation) of every line.

    Raises `ConfigError` where there is nothing to compare translations with, or two files say what it is, `DataError`
    for files that are not parallel, `Unsupported` where sacreBLEU is not installed.
    """
    sacrebleu_metrics()
    if references is None and not is_pair_file(data):
        raise ConfigError(
            "there is nothing to compare the translations with",
            received=data,
            expected="a file of their right translations, line by line; or one .tsv or .jsonl of both",
            fix="add --references FILE",
        )
    if references is not None and is_pair_file(data):
        raise ConfigError(f"{data} holds both sides", received=f"--references {references}", fix="leave it out")
    return read_parallel(data, references, encoding=encoding)


def evaluate_translation(
    model: LocalModel,
    pairs: Sequence[tuple[str, str]],
    *,
    limit: int | None = None,
    beams: int | None = None,
    silent: bool = True,
) -> tuple[dict[str, Any], list[Translated]]:
    """`{"task", "metrics", "intervals", "count", "settings"}` and every translation; `count` is of sentences.

    BLEU and chrF as sacreBLEU has them, whose signatures are among the settings, with the intervals of a bootstrap over
    sentences, at 95 %. "perplexity" is that of a token of the right translation, given those before it and the source;
    `None` for a vocabulary without an end token.
    """
    pairs = pairs[:limit]
    answered: list[Translated] = []
    cut = 0
    with bar("translation", total=len(pairs), unit="sentences", silent=silent) as progress:
        for start in range(0, len(pairs), _AT_ONCE):
            some = pairs[start : start + _AT_ONCE]
            found = write_texts(model, [source for source, _ in some], beams=beams)
            answered += [
                Translated(text=source, target=target, translation=one.text)
                for (source, target), one in zip(some, found, strict=True)
            ]
            cut += sum(one.cut_tokens > 0 for one in found)
            progress.advance(len(some))
    loss, tokens = teacher_forced(model, pairs)
    figures, intervals, signatures = _figures(answered)
    figures |= {"loss": loss, "perplexity": None if loss is None else perplexity_of(loss)}
    settings = {"limit": limit, "beams": beams or model.generation.get("num_beams", 1), "cut_texts": cut}
    settings |= {"max_new_tokens": stated_new_tokens(model), "target_tokens": tokens, **signatures, "confidence": 0.95}
    return {
        "task": "translation",
        "metrics": figures,
        "intervals": intervals,
        "count": len(answered),
        "settings": settings,
    }, answered


@torch.inference_mode()
def teacher_forced(model: LocalModel, pairs: Sequence[tuple[str, str]]) -> tuple[float | None, int]:
    """(mean of -log p(y_t | y_<t, x) in nats, number of y_t), the end of each target among them.

    Sources are cut as `write_texts` cuts them; pairs whose target is longer than the model holds do not count. The mean
    is `None`, and the number 0, where there is nothing to predict, or the vocabulary has no end token.
    """
    assert model.tokenizer is not None
    if model.tokenizer.eos_id is None:
        return None, 0
    before = source_prefix(model)
    ids = encode_pairs(model.tokenizer, [(before + source, target) for source, target in pairs])
    read, written = room_for(model), context_limit(model.network)
    if read is not None:
        ids = [(cut_source(source, read, model.tokenizer), target) for source, target in ids]
    if written is not None:
        ids = [(source, target) for source, target in ids if len(target) < written]
    if not ids:
        return None, 0
    device = next(model.network.parameters()).device
    total, tokens = 0.0, 0
    for chosen in together([len(source) + len(target) + 1 for source, target in ids], TOKENS_AT_ONCE):
        batch = seq2seq_batch(ids, chosen, start_id=model.config.start_id, eos_id=model.tokenizer.eos_id)
        total += float(seq2seq(model.network, batch.to(device)).total)
        tokens += batch.num_tokens
    return total / tokens, tokens


def _figures(answered: Sequence[Translated]) -> tuple[dict[str, Any], dict[str, list[float]], dict[str, str]]:
    given, wanted = [one.translation for one in answered], [one.target for one in answered]
    bleu, chrf = metrics.bleu(given, wanted), metrics.chrf(given, wanted)
    figures = {"bleu": bleu["bleu"], "chrf": chrf["chrf"], "brevity_penalty": bleu["brevity_penalty"]}
    signatures = {"bleu_signature": bleu["signature"], "chrf_signature": chrf["signature"]}
    if len(answered) < 2:  # of one sentence nothing can be drawn
        return figures, {}, signatures
    drawn = {
        "bleu": bootstrap(bleu_counts(given, wanted), bleu_of()),
        "chrf": bootstrap(chrf_counts(given, wanted), chrf_of()),
    }
    return figures, {name: [interval.low, interval.high] for name, interval in drawn.items()}, signatures
