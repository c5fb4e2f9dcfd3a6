"""From the Elman network to LLaMA: six language models of one size, trained for one length of time on the same text.

    python benchmarks/figures/language_models.py --minutes 4              # every cell that is not finished
    python benchmarks/figures/language_models.py --data wikitext2 --model lstm
    python benchmarks/figures/language_models.py --smoke                  # some minutes: a few steps on little text

Data. `wikitext2`: the validation split of WikiText-2 is the training text here (213,886 words), and its test split is
cut in two halves, for validation and test, between two articles; its articles are documents. `litbank_novels`: whole
novels; every tenth, from the fifth on, is for validation, and every tenth, from the tenth on, for test. Each data set
has one byte-level BPE vocabulary of 4,096 pieces, learnt from its training part. A vocabulary of words would be the
published way for WikiText-2, and would put most parameters of so small a model into its embedding; instead bits per
byte and the perplexity of words, which do not depend on pieces, are given of all. Words stand between white space; that
`<unk>` is in the text, as it was published, makes the task easier and comparisons with other work on it impossible.

Models. All parameters are counted, tied ones once, and are within 3 % of 2.13 million: all embeddings are 192 wide and
tied. Equal time is seconds of updates on one machine with one number of threads: some updates are measured and become a
number of them, over which the learning rate rises and falls; the seconds that they really took are in the table. What
is judged is the checkpoint with the lowest loss on about 20,000 tokens of the validation text.

Context. Each text is read from its beginning. A recurrent model reads it in one go: its state is all it sees. A
Transformer reads windows of 128 tokens, as long as those it was trained on, and scores the latter half of each (of a
text's first window all), so that a token has 64 to 127 before it; every token is scored once by every model.
References: Witten-Bell n-grams over the same pieces, and xz that has read the training text before.

Optimisers. Each family was tried alike on wikitext2, for about 100,000 tokens (an LSTM 170,000: as many as take half a
minute), under AdamW at three rates and under Muon, with AdamW at 0.004 for the rest, at two; nothing else was tuned.
Validation loss in nats a piece (between families not to be compared: rows are of unlike length):

              AdamW 0.002   0.004   0.008   Muon 0.01    0.02
    rnn             12.26    6.68    6.49        5.89    5.87
    gru              6.09    6.70    6.94        5.81    5.77
    lstm             6.13    6.10    6.20        6.02    5.83
    awd_lstm         6.41    6.18    6.34        6.42    6.36
    gpt2             5.44    5.80    5.80        5.14    5.16
    llama            5.39    5.45    5.81        5.07    5.16

Results: benchmarks/results/language-models-DATA-MODEL.json. The text is looked for in TRIVIUM_SHARED, else in
shared/data beside the repository.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import torch

import trivium
from trivium import tokenizers
from trivium.data.batches import CausalBatch
from trivium.data.evaluation import scored_tokens
from trivium.data.prepared import Prepared
from trivium.data.provenance import text_sha256
from trivium.data.shards import TokenStore
from trivium.evaluation import baselines
from trivium.evaluation.bits_per_byte import bits_per_byte, store_of_texts
from trivium.objectives.causal import causal
from trivium.recipes.language_model import ModelConfig, RegularisationConfig, build_model
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, pretraining_job
from trivium.recipes.training import TrainingConfig, begin, planned_steps, seconds_a_step, steps_within, train
from trivium.runtime import machine, processes
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_PIECES = 4096
_PARAMETERS, _WITHIN = 2_130_000, 0.03
_EVALUATIONS = 6
_EVALUATION_TOKENS = 20_000
_WINDOW = 128
_AT_ONCE = 4096
_MEASURED_STEPS = 24
_SMOKE_MINUTES = 1 / 30
_BASELINES = "baselines"
_ARTICLE = re.compile(r"^(?= = [^=\n]+ = $)", re.MULTILINE)


LIGHT = RegularisationConfig(
    input_dropout=0.1,
    hidden_dropout=0.05,
    embedding_dropout=0.02,
    weight_dropout=0.1,
    activation_regularisation=0.5,
    temporal_activation_regularisation=0.25,
)
"""A quarter or less of what the authors train with for 750 passes over the text."""


def _recipe(model: ModelConfig, batch: BatchConfig, optimiser: OptimiserConfig) -> PretrainConfig:
    return PretrainConfig(
        data=_SHARED,
        model=model,
        batch=batch,
        optimiser=optimiser,
        schedule=ScheduleConfig(kind="linear"),
        training=TrainingConfig(evaluation_tokens=_EVALUATION_TOKENS),
    )


def _recurrent(name: str, width: int, layers: int, optimiser: OptimiserConfig, **more: Any) -> PretrainConfig:
    model = ModelConfig(architecture=name, width=width, layers=layers, embedding_width=192, **more)
    return _recipe(model, BatchConfig(rows=16, context_tokens=64), optimiser)


def transformer(name: str, optimiser: OptimiserConfig) -> PretrainConfig:
    model = ModelConfig(architecture=name, width=192, layers=3, heads=6)
    return _recipe(model, BatchConfig(rows=8, context_tokens=_WINDOW, reading="windows"), optimiser)


def muon(rate: float) -> OptimiserConfig:
    return OptimiserConfig(kind="muon", learning_rate=4e-3, muon_learning_rate=rate)


_ADAMW = OptimiserConfig(learning_rate=4e-3)

FAMILIES = {
    "rnn": _recurrent("rnn", 608, 2, muon(0.02)),
    "gru": _recurrent("gru", 344, 2, muon(0.02)),
    "lstm": _recurrent("lstm", 296, 2, muon(0.02)),
    "awd_lstm": _recurrent("awd_lstm", 256, 3, _ADAMW, dropout=0.1, regularisation=LIGHT),
    "gpt2": transformer("gpt2", muon(0.01)),
    "llama": transformer("llama", muon(0.01)),
}
"""How each is built and trained, in the order of history."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Texts:
    """A data set: documents of each part."""

    training: Sequence[str]
    validation: Sequence[str]
    test: Sequence[str]


def wikitext2() -> Texts:
    """Articles of WikiText-2; the half of the test split that an article straddles is the first one."""
    folder = _SHARED / "wikitext2"
    training, held_out = (_articles((folder / f"{name}.txt").read_text("utf-8")) for name in ("valid", "test"))
    sizes = [len(article.encode()) for article in held_out]
    cut = next(i for i in range(len(sizes) + 1) if 2 * sum(sizes[:i]) >= sum(sizes))
    return Texts(training=training, validation=held_out[:cut], test=held_out[cut:])


def _articles(text: str) -> list[str]:
    return [article for article in _ARTICLE.split(text) if article.strip()]


def litbank_novels() -> Texts:
    """Whole novels, in the order of their numbers at Project Gutenberg."""
    novels: dict[int, str] = {}
    for path in sorted((_SHARED / "litbank_novels").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                novels[int(pathlib.PurePath(name).name.split("_")[0])] = archive.read(name).decode("utf-8")
    ordered = [novels[number] for number in sorted(novels)]
    parts: dict[bool | None, list[str]] = {None: [], False: [], True: []}
    for place, novel in enumerate(ordered, 1):
        parts[None if place % 5 else place % 10 == 0].append(novel)
    return Texts(training=parts[None], validation=parts[False], test=parts[True])


def short(texts: Texts) -> Texts:
    """Little of each part, for a trial."""
    parts = (texts.training, texts.validation, texts.test)
    training, validation, test = ([text[:40_000] for text in part[:6]] for part in parts)
    return Texts(training=training, validation=validation, test=test)


DATA = {"wikitext2": wikitext2, "litbank_novels": litbank_novels}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoded:
    """A data set in its vocabulary."""

    prepared: Prepared
    """Training and validation part, as the recipe takes them."""
    test: TokenStore
    words: int
    """Of the test part, between white space."""
    texts: Texts


def encode(name: str, texts: Texts) -> Encoded:
    """The data set in a vocabulary of its own."""
    tokenizer = tokenizers.train(texts.training, kind="byte_bpe", vocabulary_size=_PIECES)
    assert tokenizer.bos_id is not None and tokenizer.eos_id is not None
    stores = []
    for part in (texts.training, texts.validation):
        ids = [[tokenizer.bos_id, *each, tokenizer.eos_id] for each in tokenizer.encode_batch(part)]
        sizes = [len(text.encode()) for text in part]
        stores.append(TokenStore.of(ids, vocabulary_size=tokenizer.vocabulary_size, document_bytes=sizes))
    manifest = {"split": "group", "fingerprint": text_sha256("\n".join(store.fingerprint for store in stores))}
    prepared = Prepared(
        folder=_SHARED / name, manifest=manifest, tokenizer=tokenizer, train=stores[0], validation=stores[1]
    )
    test = store_of_texts(texts.test, tokenizer, tokenizer.vocabulary_size)
    words = sum(len(text.split()) for text in texts.test)
    return Encoded(prepared=prepared, test=test, words=words, texts=texts)


def trained(config: PretrainConfig, encoded: Encoded) -> Run:
    """The run, from where it was stopped where it was."""
    device = begin(config, processes.place())
    model = build_model(config.model, encoded.prepared.tokenizer.vocabulary_size, _WINDOW).to(device)
    config = dataclasses.replace(config, resume=(config.output / config.run / "config.yaml").is_file())
    job = pretraining_job(config, encoded.prepared, model)
    assert config.minutes is not None
    if config.resume:
        steps = planned_steps(config, job, default_steps=0)  # those it began with
    else:
        steps = steps_within(60 * config.minutes, seconds_a_step(config, job, steps=_MEASURED_STEPS))
    every = max(1, steps // _EVALUATIONS)
    cadence = dataclasses.replace(config.training, evaluate_every_steps=every, checkpoint_every_steps=every)
    config = dataclasses.replace(config, steps=steps, minutes=None, training=cadence)
    return train(config, job, title=config.run, usual_warmup_steps=max(1, steps // 20))


def judged(run: Run, reading: str, encoded: Encoded) -> dict[str, Any]:
    """The test part under the best checkpoint."""
    network = trivium.load(run.folder).network
    if reading == "windows":
        context = f"{_WINDOW // 2} to {_WINDOW - 1} tokens"
        nats = bits_per_byte(network, encoded.test, context_tokens=_WINDOW, stride_tokens=_WINDOW // 2).nats
    else:
        context, nats = "the text from its beginning", carried_nats(network, encoded.test)
    tokens = scored_tokens(encoded.test)
    return {
        "bits_per_byte": nats / math.log(2) / encoded.test.num_bytes,
        "word_perplexity": math.exp(nats / encoded.words),
        "perplexity": math.exp(nats / tokens),
        "tokens": tokens,
        "bytes": encoded.test.num_bytes,
        "words": encoded.words,
        "context": context,
    }


@torch.inference_mode()
def carried_nats(network: Any, store: TokenStore) -> float:
    """-log p of every token but the first of each document, the state being carried from its beginning to its end."""
    nats = 0.0
    for index in range(store.num_documents):
        ids = torch.from_numpy(store.document(index)).long()[None]
        state = network.new_state(1, 0)
        for first in range(0, ids.shape[1] - 1, _AT_ONCE):
            part = ids[:, first : first + _AT_ONCE + 1]
            tokens, targets = part[:, :-1], part[:, 1:]
            lengths = torch.tensor([tokens.shape[1]])
            mask = torch.ones_like(tokens, dtype=torch.bool)
            loss = causal(network, CausalBatch(tokens=tokens, targets=targets, mask=mask, lengths=lengths), state)
            state = loss.state
            nats += float(loss.total)
    return nats


def cell(name: str, config: PretrainConfig, encoded: Encoded) -> dict[str, Any]:
    """Trains what is left of a cell and tells its result."""
    run = trained(config, encoded)
    rows = run.metrics()
    tokens = [0.0, *(row["tokens"] for row in rows)]
    seconds = sum(
        (after - before) / row["tokens_per_second"]
        for before, after, row in zip(tokens, tokens[1:], rows, strict=False)
        if row["tokens_per_second"]
    )
    here = machine.describe()
    return {
        "model": name,
        "parameters": parameters(config.model),
        "test": judged(run, config.batch.reading, encoded),
        "validation_loss": min(row["validation_loss"] for row in rows if row["validation_loss"] is not None),
        "curve": [[row["step"], row["validation_loss"]] for row in rows if row["validation_loss"] is not None],
        "steps": rows[-1]["step"],
        "tokens": rows[-1]["tokens"],
        "passes": rows[-1]["tokens"] / encoded.prepared.train.num_tokens,
        "training_seconds": seconds,
        "tokens_per_second": rows[-1]["tokens"] / seconds,
        "machine": {"processor": here.processor, "cores": here.cores, "threads": torch.get_num_threads()},
        "recipe": run.config,
    }


def parameters(model: ModelConfig) -> int:
    """All numbers that are learnt, tied ones once."""
    with torch.device("meta"):
        network = build_model(model, _PIECES, _WINDOW)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert abs(count / _PARAMETERS - 1) <= _WITHIN, f"{model.architecture} has {count:,} parameters"
    return count


def references(encoded: Encoded) -> dict[str, Any]:
    """n-grams of one to three pieces, and xz, on the test part."""
    result: dict[str, Any] = {}
    for order in (1, 2, 3):
        bits = baselines.ngram_bits(encoded.prepared.train, encoded.test, order)
        result[f"{order}-gram"] = {
            "bits_per_byte": baselines.bits_per_byte(bits, encoded.test),
            "word_perplexity": math.exp(float(bits.sum()) * math.log(2) / encoded.words),
        }
    result["xz"] = {"bits_per_byte": baselines.xz_bits_per_byte(encoded.texts.training, encoded.texts.test)}
    return result


def table(data: str, results: pathlib.Path) -> None:
    """What is finished, one line a model."""
    print(f"\n{data:22s} parameters  seconds  tokens/s  passes  bits per byte  word perplexity")
    for name in (*FAMILIES, _BASELINES):
        path = results / f"language-models-{data}-{name}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text())
        if name == _BASELINES:
            for reference, figures in found.items():
                perplexity = figures.get("word_perplexity", math.nan)
                print(f"{reference:22s} {'':37s} {figures['bits_per_byte']:13.3f}  {perplexity:15.0f}")
            continue
        print(
            f"{name:22s} {found['parameters']:10,}  {found['training_seconds']:7.0f}"
            f"  {found['tokens_per_second']:8.0f}  {found['passes']:6.2f}"
            f"  {found['test']['bits_per_byte']:13.3f}  {found['test']['word_perplexity']:15.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=sorted(DATA), help="only this one")
    parser.add_argument("--model", choices=[*FAMILIES, _BASELINES], help="only this one")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training, for each cell")
    parser.add_argument("--smoke", action="store_true", help="two seconds of training each on little text, kept apart")
    parser.add_argument("--output", type=pathlib.Path, default=_REPOSITORY / "runs", help="folder of the runs")
    asked = parser.parse_args()
    results = asked.output / "trials" if asked.smoke else _HERE.parent / "results"
    results.mkdir(parents=True, exist_ok=True)
    for data in [asked.data] if asked.data else DATA:
        encoded: Encoded | None = None
        for name in [asked.model] if asked.model else [_BASELINES, *FAMILIES]:
            path = results / f"language-models-{data}-{name}.json"
            if path.is_file():
                continue
            encoded = encoded or encode(data, short(DATA[data]()) if asked.smoke else DATA[data]())
            if name == _BASELINES:
                result = references(encoded)
            else:
                config = dataclasses.replace(
                    FAMILIES[name],
                    data=encoded.prepared.folder,
                    output=asked.output,
                    run=f"language-models-{data}-{name}" + ("-smoke" if asked.smoke else ""),
                    minutes=_SMOKE_MINUTES if asked.smoke else asked.minutes,
                )
                result = cell(name, config, encoded)
            path.write_text(json.dumps(result, indent=2) + "\n")
        table(data, results)


if __name__ == "__main__":
    main()
