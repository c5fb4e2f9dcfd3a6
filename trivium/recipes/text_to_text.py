"""A text for a text: summaries, translations, answers in words, by a pre-trained encoder-decoder or a new one.

    run = text_to_text(TextToTextConfig(data=Path("train.jsonl"), task="summarisation", prefix="summarize: "))
    trivium.load(run.folder).generate(["summarize: We show that ..."], max_new_tokens=40)

A prefix before every source tells a model of several tasks which one is meant (Raffel et al. 2020, section 2.4).
Sources that are too long are cut, since a text begins with what it is about; targets that are too long are left out.
`trivium.recipes.translation` trains on pairs of sentences, with more of what is special there.
"""

import dataclasses
import functools
import importlib.util
import math
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from torch import nn

from trivium.checkpoints.model_folder import read_hf_config
from trivium.data.pairs import Seq2SeqSource
from trivium.data.parallel import read_parallel
from trivium.data.provenance import file_sha256
from trivium.data.questions import read_questions
from trivium.data.splits import is_held_out
from trivium.errors import DataError, Unsupported
from trivium.lm.answering import question_text
from trivium.lm.load import load, saved_folder
from trivium.lm.local import LocalModel
from trivium.models import architecture
from trivium.objectives.seq2seq import seq2seq
from trivium.recipes.evaluate_summarisation import Document, evaluate_summarisation, read_documents
from trivium.recipes.evaluate_translation import evaluate_translation
from trivium.recipes.run_report import write_run_report
from trivium.recipes.starting import (
    architecture_of,
    start_facts,
    usual_epochs,
    usual_optimiser,
    usual_warmup,
)
from trivium.recipes.text_to_text_config import USUAL_OPTIMISER, TextToTextConfig
from trivium.recipes.training import Job, begin, measured_on, own_device, require_free, train
from trivium.recipes.translation import (
    Ids,
    encode_pairs,
    end_of_texts,
    learn_vocabulary,
    measured_batches,
)
from trivium.recipes.translator import build_translator
from trivium.recipes.writing import cut_source
from trivium.reports.labels import Labelled
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer
from trivium.training.run import Run

_HELD_OUT = 0.05
_WARMUP_STEPS = 200
_REPORTED, _SHOWN = 64, 6


def text_to_text(config: TextToTextConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`, by the loss of the held-out pairs.

    Raises `UserError` before any training for a base, data, sizes or a folder that cannot be used; `Interrupted` after
    SIGINT or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        training, held_out = share_out_texts(config)
        model, tokenizer, generation = network_and_vocabulary(config, training)
        read = functools.partial(pairs_to_learn, config, model, tokenizer)
        pairs, start_id, eos_id = read(training, tell=here.is_first), model.config.start_id, end_of_texts(tokenizer)
        source = functools.partial(
            Seq2SeqSource,
            pairs,
            start_id=start_id,
            eos_id=eos_id,
            rows=config.rows,
            seed=config.seed,
            rank=here.rank,
            world=here.world,
        )
        measured = measured_batches(read(held_out), config.rows, start_id, eos_id)
        job = Job(
            model=model.to(device),
            tokenizer=tokenizer,
            source=source,
            validation=measured_on(measured, config.training),
            objective=functools.partial(seq2seq, label_smoothing=config.label_smoothing),
            generation={
                **generation,
                "num_beams": config.beams,
                "early_stopping": True,
                "max_new_tokens": config.target_tokens,
            },
            metadata=_facts(config, model, len(pairs)),
        )
        steps = max(2, round(usual_epochs(config.epochs, config.base) * math.ceil(len(pairs) / config.rows)))
        run = train(
            _settled(config, model),
            job,
            title=config.task.replace("_", " "),
            default_steps=steps,
            usual_warmup_steps=_warmup(config, model, steps),
        )
        shown = [(config.prefix + one.text, one.summaries[0]) for one in _readable(config, model, tokenizer, held_out)]
        measure = functools.partial(_measured, documents=held_out[:_REPORTED], task=config.task)
        write_run_report(run, device, pairs=shown, labelled=measure if held_out else None)
        return run


def _measured(model: LocalModel, *, documents: Sequence[Document], task: str) -> Labelled:
    """How near the model comes to some held-out targets, in shares of 1: of translations by BLEU and chrF, where
    sacreBLEU is there, else by the words that are the same."""
    pairs = [(one.text, one.summaries[0]) for one in documents]
    if task == "translation" and importlib.util.find_spec("sacrebleu") is not None:
        result, _ = evaluate_translation(model, pairs)
        figures = {name: result["metrics"][name] / 100 for name in ("bleu", "chrf")}
        intervals = {name: [low / 100, high / 100] for name, (low, high) in result["intervals"].items()}
    else:
        result, _ = evaluate_summarisation(model, documents, task=task)
        figures, intervals = result["metrics"], result["intervals"]
    return Labelled(count=result["count"], figures=figures, intervals=intervals, per_label={}, mistakes=[])


# Pairs ---------------------------------------------------------------------------------------------------------------


def share_out_texts(config: TextToTextConfig) -> tuple[list[Document], list[Document]]:
    """(to train on, to measure on), no source on both sides. Raises `DataError` for files that cannot be used."""
    documents = _documents(config, config.data, config.target)
    if config.validation is None:
        training, held_out = [], []
        for one in documents:
            (held_out if is_held_out(one.group or one.text, _HELD_OUT) else training).append(one)
    else:
        held_out = _documents(config, config.validation, config.validation_target)
        known = {one.group or one.text for one in held_out}
        training = [one for one in documents if (one.group or one.text) not in known]
    if not training:
        raise DataError("there are too few different texts to train on", received=len(documents), fix="give more")
    return training, held_out


def _documents(config: TextToTextConfig, path: pathlib.Path, target: pathlib.Path | None) -> list[Document]:
    if config.task == "answering":
        asked = [one for one in read_questions(path, encoding=config.encoding) if one.answers]
        return [
            Document(text=question_text(one.question, one.context), summaries=one.answers, group=one.context)
            for one in asked
        ]
    if target is not None:
        pairs = read_parallel(path, target, encoding=config.encoding)
        return [Document(text=source, summaries=(written,)) for source, written in pairs]
    fields = {"text_field": config.source_field, "summary_field": config.target_field}
    return read_documents(path, encoding=config.encoding, **fields)


def pairs_to_learn(
    config: TextToTextConfig,
    network: nn.Module,
    tokenizer: Tokenizer,
    documents: Sequence[Document],
    *,
    tell: bool = False,
) -> list[tuple[Ids, Ids]]:
    """(source ids, target ids) of what fits, of several targets the first; `tell` says on stderr what does not.

    Raises `DataError` where every target is too long.
    """
    holds: Any = vars(network.config).get("context_tokens")
    most_source = min(config.source_tokens, holds or config.source_tokens)
    most_target = min(config.target_tokens, holds or config.target_tokens)
    pairs = encode_pairs(tokenizer, [(config.prefix + one.text, one.summaries[0]) for one in documents])
    cut = sum(len(source) > most_source for source, _ in pairs)
    fitting: list[tuple[Ids, Ids]] = [
        (cut_source(source, most_source, tokenizer), target) for source, target in pairs if len(target) < most_target
    ]
    if tell and cut:
        print(f"{cut:,} of {len(pairs):,} texts are cut after {most_source} tokens", file=sys.stderr)
    if tell and len(fitting) < len(pairs):
        left = len(pairs) - len(fitting)
        print(f"{left:,} of {len(pairs):,} targets are longer than {most_target} tokens and left out", file=sys.stderr)
    if not fitting and documents:
        raise DataError(
            "every target is longer than what is learnt",
            received=f"{len(documents):,} texts",
            expected=f"targets of at most {most_target} tokens",
            fix="raise target_tokens",
        )
    return fitting


def _readable(
    config: TextToTextConfig, network: nn.Module, tokenizer: Tokenizer, documents: Sequence[Document]
) -> list[Document]:
    """The first that the finished model reads without their being cut."""
    holds = vars(network.config).get("context_tokens")
    some = documents[:_REPORTED]
    sources = encode_pairs(tokenizer, [(config.prefix + one.text, one.summaries[0]) for one in some])
    return [one for one, (ids, _) in zip(some, sources, strict=True) if holds is None or len(ids) <= holds][:_SHOWN]


# Model ---------------------------------------------------------------------------------------------------------------


def network_and_vocabulary(
    config: TextToTextConfig, documents: Sequence[Document]
) -> tuple[Any, Tokenizer, dict[str, Any]]:
    """(network, its tokenizer, its settings for writing): the base's, or new. Raises `UserError` for what cannot be."""
    if config.base is None:
        texts = [(config.prefix + one.text, one.summaries[0]) for one in documents]
        tokenizer = learn_vocabulary(config.vocabulary, texts)
        longest = max(config.source_tokens, config.target_tokens)
        return build_translator(config.model, tokenizer, longest), tokenizer, {}
    model = load(config.base, device="cpu")
    if not model.architecture.kind.endswith("encoder-decoder") or "generate" not in model.capabilities:
        raise Unsupported(
            "a text is written for a text by an encoder-decoder",
            received=f"{config.base}: {model.architecture.name}, of kind {model.architecture.kind!r}",
            expected="a saved t5, bart or transformer, or a recurrent one",
        )
    if model.tokenizer is None:
        raise Unsupported("the base has no tokenizer", received=config.base, fix="copy its files into the folder")
    return _drawn_anew(config.base) if config.fresh else model.network, model.tokenizer, model.generation


def _drawn_anew(base: pathlib.Path) -> nn.Module:
    """A network of the base's shape."""
    hf = read_hf_config(saved_folder(base))
    entry = architecture(hf["model_type"])
    return entry.model_class()(entry.config_class().from_hf(hf))


def _settled(config: TextToTextConfig, network: nn.Module) -> TextToTextConfig:
    """With the optimiser that it has."""
    if config.base is None:
        return config
    return dataclasses.replace(config, optimiser=usual_optimiser(config.optimiser, USUAL_OPTIMISER, network))


def _warmup(config: TextToTextConfig, network: nn.Module, steps: int) -> int:
    return _WARMUP_STEPS if config.base is None else usual_warmup(network, config.steps or steps, _WARMUP_STEPS)


def _facts(config: TextToTextConfig, network: nn.Module, pairs: int) -> dict[str, Any]:
    """What the saved model tells of itself."""
    files = [path for path in (config.data, config.target) if path is not None]
    return {
        "objective": config.task,
        "prefix": config.prefix,
        "source_tokens": config.source_tokens,
        "architecture": architecture_of(network),
        **start_facts(config.base, config.fresh),
        "data": [str(path) for path in files],
        "data_fingerprint": [file_sha256(path) for path in files],
        "pairs": pairs,
    }
