"""What the quickstart measures on its models for the report."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from trivium.data.embedded import ORIGIN, PACKAGES
from trivium.data.prepared import Prepared
from trivium.data.sentences import first_sentence
from trivium.data.shards import TokenStore
from trivium.evaluation import inspection
from trivium.evaluation.baselines import bits_per_byte as ngram_bits_per_byte
from trivium.evaluation.baselines import ngram_bits, xz_bits_per_byte
from trivium.evaluation.bits_per_byte import bits_per_byte
from trivium.evaluation.metrics import rouge
from trivium.evaluation.metrics.rouge import most_typical
from trivium.evaluation.nearest import nearest_by_spelling
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.planning.sizing import Plan
from trivium.recipes.tuning_data import encode_example, read_pairs
from trivium.reports.quickstart import (
    AFTER,
    ASKED_ALIKE,
    BEFORE,
    COPIED,
    OURS,
    InsideFacts,
    LearningFacts,
    QuickstartFacts,
    TextFacts,
    TuningFacts,
)
from trivium.tokenizers import Tokenizer
from trivium.training.run import Run

_TEMPERATURES = (0.0, 0.4, 0.8, 1.1)
_SAMPLE_TOKENS = 90
_SUMMARY_TOKENS = 40
_TRIES, _TRY_TEMPERATURE = 24, 0.5
_MEASURED_PAIRS = 400
_SHOWN_PAIRS = 8
_SIGNATURE_CHARACTERS = 160
_INSPECTED_DOCUMENTS = 48


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What the stages of a quickstart left behind."""

    machine: str
    plan: Plan
    prepared: Prepared
    base: Run
    tuned: Run | None
    seed: int


def summary_prompt(name: str, signature: str) -> str:
    """What a user asks: a name as it is called, signatures of great length cut."""
    return name + (signature if len(signature) <= _SIGNATURE_CHARACTERS else signature[:_SIGNATURE_CHARACTERS] + " ...")


def gather(measured: Measured) -> QuickstartFacts:
    """Everything that the report tells but the stages, which are not over yet, and the commands."""
    base, prepared = load(measured.base.folder), measured.prepared
    decisions = [(d.what, d.value, d.reason) for d in measured.plan.decisions]
    # xz takes ten seconds on one thread, while generating is mostly one thread of Python: they go on side by side.
    with ThreadPoolExecutor(1) as aside:
        xz = aside.submit(xz_bits_per_byte, list(prepared.texts("train")), list(prepared.texts("validation")))
        tuning = None if measured.tuned is None else _tuning(base, load(measured.tuned.folder), measured)
        return QuickstartFacts(
            machine=measured.machine,
            decisions=decisions,
            text=_text(prepared),
            inside=_inside(base, measured),
            tuning=tuning,
            learning=_learning(base, measured, xz.result()),
            stages=(),
            commands=(),
        )


def _text(prepared: Prepared) -> TextFacts:
    manifest, tokenizer = prepared.manifest, prepared.tokenizer
    special = set(tokenizer.special_tokens.values())
    pieces = [tokenizer.token_bytes(i) for i in range(tokenizer.vocabulary_size) if i not in special]
    words = sorted((p for p in pieces if p.strip().isalpha()), key=lambda piece: (-len(piece.strip()), piece))
    return TextFacts(
        source=_source_in_words(manifest["settings"]["sources"]),
        documents_in=manifest["documents_in"],
        documents_out=manifest["documents_out"],
        bytes_in=manifest["bytes_in"],
        bytes_out=manifest["bytes_out"],
        removed={rule: count for rule, count in manifest["removed"].items() if count},
        splits={name: (side["documents"], side["tokens"]) for name, side in manifest["sides"].items()},
        pieces=[piece.decode("utf-8", "replace") for piece in words[:24]],
        vocabulary_size=tokenizer.vocabulary_size,
    )


def _source_in_words(sources: Sequence[str]) -> str:
    """The sources as a reader knows them."""
    names = {"python": "Python's reference and standard library"}
    for source in sources:
        origin, _, chosen = source.partition(":")
        if origin == ORIGIN:
            packages = [names.get(name, name) for name in (chosen.split(",") if chosen else PACKAGES)]
            return f"documentation found on this machine ({', '.join(packages)})"
    return "text from " + ", ".join(pathlib.Path(source).name for source in sources)


def _learning(base: LocalModel, measured: Measured, xz: float) -> LearningFacts:
    prepared, rows = measured.prepared, measured.base.metrics()
    context = measured.plan.context_tokens
    # Windows overlap by half, so that every token sees at least half a window of what came before, as xz does.
    ours = bits_per_byte(base.network, prepared.validation, context_tokens=context, stride_tokens=context // 2)
    baselines = {
        name: ngram_bits_per_byte(ngram_bits(prepared.train, prepared.validation, order), prepared.validation)
        for order, name in ((1, "unigram"), (2, "bigram"), (3, "trigram"))
    }
    baselines["xz"] = xz
    train, validation = (_bits_a_byte_per_nat(store) for store in (prepared.train, prepared.validation))
    last = rows[-1]
    return LearningFacts(
        parameters=sum(parameter.numel() for parameter in base.network.parameters()),
        tokens=int(last["tokens"]),
        steps=last["step"],
        tokens_per_second=last["tokens"] / max(last["seconds"], 1e-9),
        train=[(row["step"], row["loss"] * train) for row in rows if row["loss"] is not None],
        validation=[
            (row["step"], row["validation_loss"] * validation) for row in rows if row["validation_loss"] is not None
        ],
        bits_per_byte=baselines | {OURS: ours.bits_per_byte},
    )


def _bits_a_byte_per_nat(store: TokenStore) -> float:
    """What turns nats a token into bits a byte."""
    return (store.num_tokens - store.num_documents) / store.num_bytes / math.log(2)


def _inside(base: LocalModel, measured: Measured) -> InsideFacts:
    prepared, network, tokenizer = measured.prepared, base.network, base.tokenizer
    assert tokenizer is not None
    context = measured.plan.context_tokens
    held_out = prepared.validation
    chosen = _spread(held_out.num_documents, _INSPECTED_DOCUMENTS)
    documents = [held_out.document(index)[: context + 1].tolist() for index in chosen]
    bits = inspection.token_bits(network, documents, context_tokens=context)
    return InsideFacts(
        kinds=_kinds(tokenizer, documents, bits, prepared),
        shaded=_shaded(tokenizer, documents, bits),
        guesses=_guesses(base, documents),
        maps=_maps(base, documents),
        neighbours=_neighbours(base, prepared.train),
        samples=_samples(base, documents, measured.seed),
    )


def _kinds(
    tokenizer: Tokenizer, documents: Sequence[list[int]], bits: Sequence[np.ndarray], prepared: Prepared
) -> list[tuple[str, float, float]]:
    """(kind, bits a byte of a unigram, of the model), the kinds that occur."""
    same = TokenStore.of(documents, vocabulary_size=prepared.train.vocabulary_size)
    flat = ngram_bits(prepared.train, same, 1)
    unigram = np.split(flat, np.cumsum([len(cost) for cost in bits])[:-1])
    before = inspection.bits_by_kind(tokenizer, documents, unigram)
    after = inspection.bits_by_kind(tokenizer, documents, bits)
    return [
        (kind, float(b), float(a))
        for kind, b, a in zip(inspection.KINDS, before, after, strict=True)
        if not math.isnan(a)
    ]


def _shaded(
    tokenizer: Tokenizer, documents: Sequence[list[int]], bits: Sequence[np.ndarray]
) -> list[tuple[str, float]]:
    """The document whose cost is most usual, piece by piece."""
    long = [index for index, document in enumerate(documents) if len(document) > 60] or [0]
    means = [bits[index].mean() for index in long]
    index = long[int(np.argsort(means)[len(means) // 2])]
    tokens, costs = documents[index][1:220], bits[index][:219]
    return [(_piece(tokenizer, token), float(cost)) for token, cost in zip(tokens, costs, strict=True)]


def _guesses(base: LocalModel, documents: Sequence[list[int]]) -> list[tuple[str, str, list[tuple[str, float]]]]:
    """Places where the model hesitates between a few: neither certain nor at a loss."""
    tokenizer = base.tokenizer
    assert tokenizer is not None
    found = []
    for number, document in enumerate(documents):
        for end in range(12 + number % 5, min(len(document) - 1, 80), 9):
            likely = inspection.expectations(base.network, document[:end], 6)
            # The entropy of the six, in bits: about two is a choice among four.
            entropy = -sum(p * math.log2(p) for _, p in likely if p > 0)
            if 1.2 < entropy < 2.2:
                beginning = tokenizer.decode(document[max(1, end - 24) : end])
                found.append(
                    (beginning, _piece(tokenizer, document[end]), [(_piece(tokenizer, t), p) for t, p in likely])
                )
                break
        if len(found) == 6:
            break
    return found


def _maps(base: LocalModel, documents: Sequence[list[int]]) -> list[tuple[str, list[str], list[list[float]]]]:
    tokenizer = base.tokenizer
    assert tokenizer is not None
    ids = max(documents, key=lambda document: len(set(document[:26])) * (len(document) >= 26))[:26]
    weights = inspection.attention_weights(base.network, ids)
    pieces = [_piece(tokenizer, token) for token in ids]
    return [
        (f"layer {layer + 1}, head {head + 1}", pieces, weights[layer][head].tolist())
        for layer, head in inspection.telling_heads(weights, 2)
    ]


def _neighbours(base: LocalModel, train: TokenStore) -> list[tuple[str, list[tuple[str, float]]]]:
    """The words, among the most frequent, that have found the closest company."""
    tokenizer = base.tokenizer
    assert tokenizer is not None
    counts = np.bincount(train.gather(np.arange(train.num_tokens)), minlength=train.vocabulary_size)
    special = set(tokenizer.special_tokens.values())
    words = [
        int(token)
        for token in np.argsort(-counts)[:500]
        if token not in special
        and len(_piece(tokenizer, int(token)).strip()) >= 4
        and _is_word(_piece(tokenizer, int(token)))
    ]
    if len(words) < 4:
        return []
    near = [(word, inspection.nearest_pieces(base.network, word, 5, words)) for word in words[:200]]
    clearest = sorted(near, key=lambda item: -item[1][0][1])[:12]
    return [
        (_piece(tokenizer, word), [(_piece(tokenizer, other), cosine) for other, cosine in others])
        for word, others in clearest
    ]


def _is_word(piece: str) -> bool:
    return piece.strip().isalpha()


def _samples(base: LocalModel, documents: Sequence[list[int]], seed: int) -> list[tuple[float, str, str]]:
    tokenizer = base.tokenizer
    assert tokenizer is not None
    long = [document for document in documents if len(document) > 40] or list(documents)
    beginning = long[len(long) // 2][:14]
    samples = []
    for temperature in _TEMPERATURES:
        answer = base.generate([beginning], max_new_tokens=_SAMPLE_TOKENS, temperature=temperature, seed=seed)[0]
        samples.append((temperature, tokenizer.decode(beginning), answer.text))
    return samples


def _tuning(base: LocalModel, tuned: LocalModel, measured: Measured) -> TuningFacts:
    """Summaries of held-out names: by both models and by copying, against the truth."""
    folder = measured.base.folder.parent / "pairs"
    train, held_out = read_pairs(folder / "train.jsonl"), read_pairs(folder / "validation.jsonl")
    chosen = [held_out[index] for index in _spread(len(held_out), _MEASURED_PAIRS)]
    prompts, truths = [prompt for prompt, _ in chosen], [summary for _, summary in chosen]
    nearest = nearest_by_spelling([_name(prompt) for prompt in prompts], [_name(prompt) for prompt, _ in train])
    copied = [train[index][1] for index in nearest]
    assert tuned.tokenizer is not None
    asked = [encode_example(tuned.tokenizer, prompt, "", prompt_format="chat")[0] for prompt in prompts]
    headings = [_as_documented(base, prompt) for prompt in prompts]
    # It writes nothing sensible and does not stop: one try of forty tokens shows that as well as many.
    alike = [first_sentence(a.text) for a in base.generate(asked, max_new_tokens=_SUMMARY_TOKENS, stop=("\n\n",))]
    before, before_bits = _summaries(base, headings, truths, measured.seed)
    after, after_bits = _summaries(tuned, asked, truths, measured.seed)
    answers = {ASKED_ALIKE: alike, BEFORE: before, COPIED: copied, AFTER: after}
    shown = range(0, len(chosen), max(1, len(chosen) // _SHOWN_PAIRS))
    return TuningFacts(
        pairs=len(train),
        held_out=len(chosen),
        tries=_TRIES,
        scores={name: 100 * rouge(texts, truths, kinds=("rougeL",))["rougeL"] for name, texts in answers.items()},
        bits=(before_bits, after_bits),
        examples=[(prompts[i], truths[i], before[i], after[i], copied[i]) for i in shown],
    )


def _name(prompt: str) -> str:
    return prompt.partition("(")[0]


def _as_documented(base: LocalModel, prompt: str) -> list[int]:
    """The heading under which such a summary stands in the text that the base was trained on."""
    tokenizer = base.tokenizer
    assert tokenizer is not None
    kind = "class" if _name(prompt).rpartition(".")[2][:1].isupper() else "function"
    return tokenizer.encode(f"\n\n\n{kind} {prompt}\n\n")


def _summaries(model: LocalModel, prompts: list[list[int]], truths: list[str], seed: int) -> tuple[list[str], float]:
    """The first sentence that a model writes after each of `prompts`, and bits per byte of the true ones.

    Of several tries the one is taken that is most like the others: with ROUGE-L as the likeness this is decoding for
    the least expected loss (Kumar and Byrne 2004, "Minimum Bayes-Risk Decoding", eq. 3).
    """
    tokenizer = model.tokenizer
    assert tokenizer is not None
    answers = model.generate(
        prompts, max_new_tokens=_SUMMARY_TOKENS, temperature=_TRY_TEMPERATURE, n=_TRIES, seed=seed, stop=("\n\n",)
    )
    sentences = [first_sentence(answer.text) for answer in answers]
    tries = [sentences[start : start + _TRIES] for start in range(0, len(sentences), _TRIES)]
    completions = [tokenizer.encode(truth) for truth in truths]
    whole = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
    bits = inspection.token_bits(model.network, whole, context_tokens=max(map(len, whole)))
    spent = sum(float(cost[len(cost) - len(c) :].sum()) for cost, c in zip(bits, completions, strict=True))
    return [most_typical(some) for some in tries], spent / sum(len(truth.encode()) for truth in truths)


def _spread(size: int, count: int) -> list[int]:
    """At most `count` of the numbers below `size`, evenly."""
    return sorted({index * size // count for index in range(count)})


def _piece(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.token_bytes(token).decode("utf-8", "replace")
