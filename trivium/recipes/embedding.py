"""Embedding: a pre-trained encoder learns to put texts that mean the same near to each other.

    run = embedding(EmbeddingConfig(data=Path("sentences.txt"), base=Path("runs/pretrain")))
    trivium.load(run.folder).embed(["A dog runs.", "A hound is running."])

From single texts, each of which is to be found again under another dropout (Gao et al. 2021, "SimCSE", section 3), or
from pairs that belong together, such as a question with its answer, among the other pairs of their batch (Reimers and
Gurevych 2019, "Sentence-BERT"; Henderson et al. 2017). The saved folder opens in sentence-transformers as well.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from trivium.checkpoints.folder import FolderWriter
from trivium.checkpoints.model_folder import read_hf_config, write_model
from trivium.data.batches import ContrastiveBatch
from trivium.data.labelled import LabelledText, read_labelled
from trivium.data.pair_batches import pairs_batch, pairs_source
from trivium.data.provenance import file_sha256
from trivium.data.sentence_pairs import Sentences, read_sentences
from trivium.data.splits import is_held_out
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.lm.embedding import EmbeddingFacts
from trivium.lm.load import saved_folder
from trivium.lm.local import LocalModel
from trivium.lm.reading import at_most, head_rows, longest_row
from trivium.models import architecture
from trivium.objectives.contrastive import contrastive
from trivium.recipes.embedding_config import USUAL_OPTIMISER, EmbeddingConfig
from trivium.recipes.evaluate_embedding import evaluate_embedding
from trivium.recipes.run_report import write_run_report
from trivium.recipes.starting import (
    architecture_of,
    start_facts,
    transplanted,
    usual_optimiser,
    usual_warmup,
)
from trivium.recipes.training import Job, begin, own_device, require_free, train
from trivium.reports.labels import Labelled, Mistake
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer
from trivium.training.run import Run

_HELD_OUT = 0.05
_WARMUP_STEPS = 20
_MISTAKES = 6


def embedding(config: EmbeddingConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`, by the loss on held-out texts.

    Raises `UserError` before any training for a base, data, sizes or a folder that cannot be used; `Interrupted` after
    SIGINT or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        _require_alone(here)
        device = begin(config, here)
        training, held_out = share_out_sentences(config)
        scored = read_scored(config)
        model, tokenizer = body_and_vocabulary(config)
        sides = [_rows(config, model, tokenizer, side) for side in _sides(training)]
        source = functools.partial(pairs_source, *sides, rows=config.rows, seed=config.seed)
        facts = EmbeddingFacts(
            pooling=config.pooling, context_tokens=at_most(config.context_tokens, longest_row(model))
        )
        job = Job(
            model=model.to(device),
            tokenizer=tokenizer,
            source=source,
            validation=_validation(config, [_rows(config, model, tokenizer, side) for side in _sides(held_out)]),
            objective=functools.partial(contrastive, temperature=config.temperature, pooling=config.pooling),
            metadata={
                **facts.to_json(),
                "architecture": architecture_of(model),
                **start_facts(config.base, config.fresh),
                "data": str(config.data),
                "data_fingerprint": file_sha256(config.data),
                "texts": len(training),
            },
            write=functools.partial(write_sentence_model, embeds=facts),
        )
        steps = max(2, round(config.epochs * source().batches_per_epoch))
        run = train(
            dataclasses.replace(config, optimiser=usual_optimiser(config.optimiser, USUAL_OPTIMISER, model)),
            job,
            title="embedding",
            default_steps=steps,
            usual_warmup_steps=usual_warmup(model, config.steps or steps, _WARMUP_STEPS),
        )
        measure = functools.partial(_measured, examples=scored) if scored else None
        write_run_report(run, device, labelled=measure, loss_of="a text")
        return run


def _require_alone(here: processes.Place) -> None:
    if here.world > 1:
        raise ConfigError(
            "texts are told from the others of their batch, which several processes cannot share",
            received=f"{here.world} processes",
            fix="start one",
        )


def _measured(model: LocalModel, *, examples: Sequence[LabelledText]) -> Labelled:
    """Whether texts that people find alike are near to each other; those that are furthest off."""
    result, found = evaluate_embedding(model, examples)
    order = {name: _ranks([getattr(one, name) for one in found]) for name in ("similarity", "target")}
    off = sorted(range(len(found)), key=lambda place: -abs(order["similarity"][place] - order["target"][place]))
    return Labelled(
        count=result["count"],
        figures={name: result["metrics"][name] for name in ("spearman", "pearson")},
        intervals=result["intervals"],
        per_label={},
        mistakes=[
            Mistake(
                text=f"{found[place].text} | {found[place].text_pair}",
                wanted=f"{found[place].target:g}",
                given=f"cosine {found[place].similarity:.2f}",
            )
            for place in off[:_MISTAKES]
        ],
    )


def _ranks(values: Sequence[float]) -> list[int]:
    places = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    for rank, place in enumerate(places):
        ranks[place] = rank
    return ranks


# Texts ---------------------------------------------------------------------------------------------------------------


def share_out_sentences(config: EmbeddingConfig) -> tuple[list[Sentences], list[Sentences]]:
    """(to train on, to measure the loss on), each different text once. Raises `DataError` for what cannot be used."""
    found = read_sentences(
        config.data,
        text_field=config.text_field,
        second_field=config.second_field,
        negative_field=config.negative_field,
        encoding=config.encoding,
    )
    training, held_out = [], []
    for one in dict.fromkeys(found):  # a text that is there twice would be told from itself
        (held_out if is_held_out(one.text, _HELD_OUT) else training).append(one)
    if len(training) < 2:
        raise DataError(
            "there are too few different texts", received=f"{config.data}: {len(training)}", fix="give more"
        )
    return training, held_out


def read_scored(config: EmbeddingConfig) -> list[LabelledText]:
    """Pairs with the numbers that people gave them; none where none are asked for. Raises `DataError`."""
    if config.scored is None:
        return []
    found = read_labelled(
        config.scored,
        text_field="sentence1",
        second_field="sentence2",
        label_field="score",
        encoding=config.encoding,
    )
    if len({one.number for one in found}) < 2:
        raise DataError("all scores are equal, so nothing can be measured on them", received=config.scored)
    return found


def _sides(found: Sequence[Sentences]) -> list[list[str]]:
    """The texts, what belongs to each (itself, where they stand alone), and what does not."""
    sides = [[one.text for one in found], [one.text if one.second is None else one.second for one in found]]
    negatives = [one.negative for one in found if one.negative is not None]
    return [*sides, negatives] if negatives else sides


def row_lengths(
    config: EmbeddingConfig, network: nn.Module, tokenizer: Tokenizer, found: Sequence[Sentences]
) -> list[int]:
    """Tokens that are read of each text and what belongs to it together."""
    sides = [_rows(config, network, tokenizer, side) for side in _sides(found)]
    return [sum(map(len, rows)) for rows in zip(*sides, strict=True)]


def _rows(config: EmbeddingConfig, network: nn.Module, tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [row.ids for row in head_rows(network, tokenizer, texts, config.context_tokens)]


def _validation(config: EmbeddingConfig, sides: Sequence[list[list[int]]]) -> list[ContrastiveBatch]:
    """Every held-out text once in whole batches; none where there are too few for one."""
    first, second, *negatives = sides
    cuts = range(0, len(first) - 1, config.rows)  # of one text nothing could be told apart
    indices = [range(start, min(start + config.rows, len(first))) for start in cuts]
    return [pairs_batch(first, second, negatives[0] if negatives else None, list(each)) for each in indices]


# Model ---------------------------------------------------------------------------------------------------------------


def body_and_vocabulary(config: EmbeddingConfig) -> tuple[nn.Module, Tokenizer]:
    """The base without its head. Raises `UserError` for what cannot be."""
    entry = architecture(read_hf_config(saved_folder(config.base))["model_type"])
    if entry.kind != "encoder":
        raise Unsupported(
            "texts are embedded by an encoder",
            received=f"{config.base}: {entry.name}, of kind {entry.kind!r}",
            expected="a saved bert, roberta, electra, modernbert or xlnet",
        )
    has = {field.name for field in dataclasses.fields(entry.config_class())}
    dropout = dict.fromkeys({"dropout", "attention_dropout"} & has, config.dropout)
    return transplanted(config.base, "none", (), fresh=config.fresh, **dropout)


def write_sentence_model(
    writer: FolderWriter, model: nn.Module, weights: Mapping[str, Tensor], *, embeds: EmbeddingFacts, **told: Any
) -> None:
    """Writes the files of a model folder, and beside them those that tell sentence-transformers how to pool."""
    write_model(writer, model, weights, **told)
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    writer.write_json("modules.json", modules)
    config: Any = model.config
    is_mean = embeds.pooling == "mean"
    pooling = {
        "word_embedding_dimension": config.width,
        "pooling_mode_cls_token": not is_mean,
        "pooling_mode_mean_tokens": is_mean,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    writer.write_json("1_Pooling/config.json", pooling)
    writer.write_json("sentence_bert_config.json", {"max_seq_length": embeds.context_tokens, "do_lower_case": False})
