"""What a training recipe measures on its finished model, and the page about it: `report.html` of any run.

write_run_report(run, device, validation=prepared.validation)      # a language model
write_run_report(run, device, pairs=[(source, reference), ...])    # a translation
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence

import torch

from trivium.adapters.counting import numbers_in
from trivium.data.sentences import first_sentence
from trivium.data.shards import TokenStore
from trivium.errors import Unsupported, UserError
from trivium.evaluation.alignment import alignment
from trivium.evaluation.gate_activations import GateActivations, gate_activations
from trivium.evaluation.gradient_lag import GradientByLag, gradient_by_lag, spread_windows
from trivium.generation.reading import context_limit
from trivium.lm.classifying import label_ids, label_token
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.reports.labels import Labelled, label_sections
from trivium.reports.page import Section, write
from trivium.reports.recurrent import GateFacts, LagCurve, gate_section, lag_section
from trivium.reports.run import TOKEN, RunFacts, run_page
from trivium.reports.translation import Looks, Translated, translation_sections
from trivium.runtime import machine, processes
from trivium.tokenizers.pieces import readable_bytes
from trivium.training.run import Run

_LAGS, _CONTEXT, _POSITIONS = 100, 32, 64
_SENTENCE_TOKENS = (8, 40)
_DOCUMENTS_LOOKED_AT, _TOKENS_LOOKED_AT = 50, 5000
_ENDS = (".", "!", "?")
_GATE_TEXTS, _GATE_TOKENS = 16, 128
_SENTENCES, _TRANSLATION_TOKENS = 6, 128
_SAMPLES, _GIVEN_TOKENS, _WRITTEN_TOKENS, _TEMPERATURE = 3, 8, 48, 0.8
_LABELS = 10  # more would fill the page
_LONGEST_MAP = 60  # pieces; more cannot be read


def write_run_report(
    run: Run,
    device: torch.device,
    *,
    validation: TokenStore | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    labelled: Callable[[LocalModel], Labelled] | None = None,
    loss_of: str = TOKEN,
    extra: Callable[[LocalModel], Sequence[Section]] | None = None,
    told: Sequence[str] = (),
    plays: bool = False,
) -> None:
    """Writes `run.report`, from the run's metrics and from what is seen in its model, opened on `device`.

    Of a language model it shows how it continues the texts of `validation`, and of a recurrent one gradients by time
    lag and gates; of a translation model, what it makes of the first of `pairs`, each a source and its reference; of a
    model that labels, what `labelled` measures; of a generative classifier, texts of each label. `loss_of` is what the
    loss is a mean over, and with `plays` it is that of a game. `extra` gives further sections, after looking at the
    model where they need it; the sentences of `told` come before all else. Under several
    processes the first one does it. A page that cannot be made is told on stderr: the run itself is done.
    """
    if not processes.place().is_first:
        return
    try:
        model = load(run.folder, device=str(device))
        sections = []
        if validation is not None and model.architecture.kind == "recurrent":
            sections += recurrent_sections(model, validation)
        if pairs:
            sections += translation_sections(translated(model, pairs[:_SENTENCES]))
        if labelled is not None:
            sections += label_sections(labelled(model))
        if extra is not None:
            sections += extra(model)
        samples = of_each_label(model) if validation is None else continuations(model, validation)
        facts = dataclasses.replace(_facts(run, model, loss_of, samples), told=told, plays=plays)
        write(run_page(facts, sections), run.report)
    except (UserError, torch.OutOfMemoryError, MemoryError) as error:
        print(f"the run is saved, but no report of it could be made: {error}", file=sys.stderr)


def _facts(run: Run, model: LocalModel, loss_of: str, samples: Sequence[tuple[str, str]]) -> RunFacts:
    here = machine.describe()
    return RunFacts(
        name=run.folder.name,
        architecture=model.architecture.name,
        paper=model.architecture.paper,
        machine=f"{here.processor} with {here.cores:g} core{'s' * (here.cores != 1)}",
        parameters=numbers_in(model.network),
        metrics=run.metrics(),
        settings=run.config,
        loss_of=loss_of,
        samples=samples,
    )


def of_each_label(model: LocalModel) -> list[tuple[str, str]]:
    """(the label's token, a text of that class) of a generative classifier; nothing of other models."""
    described = {} if model.origin is None else model.origin.described
    if described.get("method") != "generative" or model.tokenizer is None:
        return []
    labels = model.labels[:_LABELS]
    asked = [[label] for label in label_ids(model.tokenizer, labels)]
    written = model.generate(asked, max_new_tokens=_WRITTEN_TOKENS, temperature=_TEMPERATURE, seed=0, n=_SAMPLES)
    names = [label_token(label) for label in labels for _ in range(_SAMPLES)]
    return [(f"{name} ", answer.text) for name, answer in zip(names, written, strict=True)]


def continuations(model: LocalModel, text: TokenStore) -> list[tuple[str, str]]:
    """(beginning, what the model makes of it) of a few documents that it has not seen."""
    assert model.tokenizer is not None
    room = (context_limit(model.network) or _GIVEN_TOKENS + _WRITTEN_TOKENS) - _GIVEN_TOKENS
    count = min(_SAMPLES, text.num_documents)
    if room < 1 or not count:
        return []
    chosen = [text.document(index * text.num_documents // count)[:_GIVEN_TOKENS].tolist() for index in range(count)]
    written = model.generate(chosen, max_new_tokens=min(room, _WRITTEN_TOKENS), temperature=_TEMPERATURE, seed=0)
    return [(model.tokenizer.decode(ids), answer.text) for ids, answer in zip(chosen, written, strict=True)]


def recurrent_sections(model: LocalModel, text: TokenStore) -> list[Section]:
    """How far back a recurrent language model learns, and what its gates do; nothing where there is hardly a text."""
    lags = min(_LAGS, text.num_tokens // 2 - 2)
    if lags < 2:
        return []
    context = min(_CONTEXT, text.num_tokens - lags - 2)
    windows = spread_windows(text, _POSITIONS, context + lags + 2)
    curves = lag_curves(gradient_by_lag(model.network, windows, lags=lags))
    sections = [lag_section(curves, len(windows))]
    ids = sentence(model, text)
    shown = gate_activations(model.network, torch.tensor([ids]))
    if shown:
        longer = spread_windows(text, _GATE_TEXTS, min(_GATE_TOKENS, text.num_tokens))
        facts = [gate_facts(*pair) for pair in zip(shown, gate_activations(model.network, longer), strict=True)]
        sections.append(gate_section(facts, pieces_of(model, ids)))
    return sections


def lag_curves(found: GradientByLag) -> list[LagCurve]:
    """One curve a layer."""
    columns = zip(found.quantile(0.1), found.mean, found.quantile(0.9), found.factor, strict=True)
    return [
        LagCurve(
            name=f"layer {layer}",
            norms=list(zip(low.tolist(), mean.tolist(), high.tolist(), strict=True)),
            factor=float(factor),
        )
        for layer, (low, mean, high, factor) in enumerate(columns, start=1)
    ]


def gate_facts(sentence: GateActivations, text: GateActivations) -> GateFacts:
    """What is shown of one gate, from what it did over one sentence and over a longer text."""
    of_sentence = (sentence.mean()[0], sentence.closed(-1)[0], sentence.open(-1)[0])
    of_units = (text.closed((0, 1)), text.open((0, 1)))
    return GateFacts(
        layer=sentence.layer,
        gate=sentence.gate,
        sentence=list(zip(*(values.tolist() for values in of_sentence), strict=True)),
        units=list(zip(*(values.tolist() for values in of_units), strict=True)),
        mean=float(text.values.mean()),
    )


def sentence(model: LocalModel, text: TokenStore) -> list[int]:
    """The ids of a sentence that begins a paragraph of `text`, of a size to be drawn; of a beginning where there is
    none."""
    assert model.tokenizer is not None
    least, most = _SENTENCE_TOKENS
    for index in range(min(text.num_documents, _DOCUMENTS_LOOKED_AT)):
        beginning = model.tokenizer.decode(text.document(index)[:_TOKENS_LOOKED_AT].tolist())
        for found in map(first_sentence, beginning.splitlines()):
            if found.endswith(_ENDS):
                ids = model.prompt_ids(found)
                if least <= len(ids) <= most:
                    return ids
    return spread_windows(text, 1, min(most, text.num_tokens))[0].tolist()


def translated(model: LocalModel, pairs: Sequence[tuple[str, str]]) -> list[Translated]:
    """Each source as the model translates it, with where it looked."""
    longest = min(_TRANSLATION_TOKENS, model.generation.get("max_new_tokens", _TRANSLATION_TOKENS))
    answers = model.generate([source for source, _ in pairs], max_new_tokens=longest)
    return [
        Translated(
            source=source,
            reference=reference,
            translation=answer.text,
            looks=looks(model, model.prompt_ids(source), list(answer.token_ids)),
        )
        for (source, reference), answer in zip(pairs, answers, strict=True)
    ]


def looks(model: LocalModel, source: list[int], target: list[int]) -> Looks | None:
    """Where the model looked while it wrote `target`; None where it has no attention, or where there is too much."""
    if not target or max(len(source), len(target)) > _LONGEST_MAP:
        return None
    try:
        weights = alignment(model.network, source, target)
    except Unsupported:  # one fixed context
        return None
    return Looks(source=pieces_of(model, source), target=pieces_of(model, target), weights=weights.tolist())


def pieces_of(model: LocalModel, ids: Sequence[int]) -> list[str]:
    """The pieces as they are spelt."""
    assert model.tokenizer is not None
    return [readable_bytes(model.tokenizer.token_bytes(id)) for id in ids]
