"""What `generate`, `chat`, `predict` and `evaluate` will need: the model, what a token takes, how tokens are chosen."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.cli.dry_run.network import MIB, Saved, saved, state_bytes
from trivium.cli.sampling import LOOKUP
from trivium.data.readers import Part, ReadOptions, list_parts
from trivium.data.shards import TokenStore
from trivium.errors import DataError
from trivium.evaluation.tasks import find_task
from trivium.generation.resolve import resolve
from trivium.generation.settings import GenerationSettings
from trivium.lm.hosted.address import is_service, read_service
from trivium.lm.hosted.asking import require, settings_of
from trivium.lm.load import stated_generation
from trivium.recipes.evaluate import TEXT_TASKS, EvaluateConfig, chosen_task
from trivium.recipes.predict import PredictConfig, check_model
from trivium.recipes.texts_to_predict import STDIN, read_texts

_EXAMPLE_PROMPT = 256
"""Tokens of a prompt that is not known yet."""


def generating(settings: Any, prompts: Sequence[str] | None = None) -> dict[str, Any]:
    """Of a `GenerateConfig`; `prompts` where they are known. Raises `UserError` for a model that cannot be used."""
    if is_service(settings.model):
        known = {"prompts": len(prompts)} if prompts else {}
        facts = _served(settings.model, "generate" if settings.suffix is None else "complete")
        asked = settings.arguments(None) | {"draft": settings.searching.draft}
        return {**facts, **known, "choosing": _chosen_by_service(settings, asked)}
    model = saved(settings.model, settings.device, settings.dtype)
    # A model that is given ids only has none.
    tokenizer = model.tokenizer() if prompts or settings.sampling.holds_text else None
    chosen = _resolved(model, settings.arguments(tokenizer))
    lengths = [len(tokenizer.encode(prompt)) for prompt in prompts or () if tokenizer] or [_EXAMPLE_PROMPT]
    grown = max(chosen.beams, chosen.n, chosen.search.best_of or 1)
    facts = {**model.facts(), **_memory(model, max(lengths), chosen.max_new_tokens, grown)}
    known: dict[str, Any] = {"prompts": len(prompts)} if prompts else {"prompt": "not known yet, its length is assumed"}
    if settings.searching.draft is not None:
        known["draft"] = _drafting(settings.searching.draft, settings)
    return {**facts, **known, "longest_prompt_tokens": max(lengths), "choosing": choosing(chosen)}


def _drafting(draft: str, settings: Any) -> str:
    if draft == LOOKUP:
        return "guesses from the text itself"
    smaller = saved(draft, settings.device, settings.dtype)
    return f"{smaller.facts()['model']}, {smaller.weights_mib():,.1f} MiB"


def chatting(settings: Any) -> dict[str, Any]:
    """Of a `ChatConfig`. Raises `UserError` for a model that cannot be used."""
    if is_service(settings.model):
        return {
            **_served(settings.model, "chat"),
            "choosing": _chosen_by_service(settings, settings.sampling.arguments(None)),
        }
    model = saved(settings.model, settings.device, settings.dtype)
    tokenizer = model.tokenizer() if settings.sampling.holds_text else None
    chosen = _resolved(model, settings.sampling.arguments(tokenizer))
    longest = getattr(model.network.config, "context_tokens", None) or 4 * _EXAMPLE_PROMPT
    facts = {**model.facts(), **_memory(model, longest, chosen.max_new_tokens, 1)}
    return {**facts, "conversation": f"{longest:,} tokens assumed", "choosing": choosing(chosen)}


def predicting(settings: PredictConfig) -> dict[str, Any]:
    """Of `trivium predict`. Raises `UserError` for a model or texts that cannot be used."""
    purpose = check_model(settings)
    if is_service(str(settings.model)):
        return {**_served(str(settings.model), "embed"), "for": purpose}
    model = saved(settings.model, settings.device, settings.dtype)
    model.tokenizer()
    facts = {**model.facts(), "weights_mib": round(model.weights_mib(), 3), "for": purpose}
    if settings.input == STDIN:
        return facts | {"texts": "standard input: known when it has ended"}
    return facts | {"texts": sum(1 for _ in read_texts(settings.input, purpose))}


def evaluating(settings: EvaluateConfig) -> dict[str, Any]:
    """Of an `EvaluateConfig`. Raises `UserError` for a model or data that cannot be used."""
    assert settings.data is not None
    task = chosen_task(settings)
    if is_service(str(settings.model)):
        needed = "score" if find_task(task).method == "choose" else "generate"
        return {**_served(str(settings.model), needed), "task": task}
    model = saved(settings.model, settings.device, settings.dtype)
    facts = {**model.facts(), "weights_mib": round(model.weights_mib(), 3), "task": task}
    if task in TEXT_TASKS:
        return facts | {"data": data_facts(settings.data)}
    # What a task is given may be of a form that only it reads.
    files = [file for file in (settings.data, *settings.data.rglob("*")) if file.is_file()]
    if not files:
        raise DataError("there are no examples here", received=settings.data, fix="check the path")
    return facts | {"data": {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}}


def _served(name: str, capability: str) -> dict[str, Any]:
    """Of a model that is reached as a service; it is not asked, and no key is read. Raises ``Unsupported`` for one
    without the ``capability``."""
    service = read_service(name)
    require(service, capability)
    limit = service.spending.limit
    return {"model": service.name, "address": service.url, "limit": "none" if limit is None else limit}


def _chosen_by_service(settings: Any, asked: Mapping[str, Any]) -> list[str]:
    return choosing(settings_of(read_service(settings.model), **asked))


def data_facts(data: pathlib.Path) -> dict[str, Any]:
    """Tokens of what is prepared, else files and bytes. Raises `UserError` for what is not there."""
    for folder in (data, data / "validation"):
        if (folder / "shards.json").is_file():
            store = TokenStore.open(folder, verify=False)
            return {"documents": store.num_documents, "tokens": store.num_tokens, "bytes": store.num_bytes}
    parts = [part for part in list_parts(str(data), ReadOptions()) if isinstance(part, Part)]
    return {"files": len({part.path for part in parts}), "bytes": sum(part.num_bytes for part in parts)}


def choosing(chosen: GenerationSettings) -> list[str]:
    """How tokens are chosen, step after step in the order in which it is done; what does nothing is left out."""
    plain = {field.name: field.default for field in dataclasses.fields(GenerationSettings)}
    steps = []
    for name in chosen.order:
        value = getattr(chosen, name)
        if value == plain[name] or (name == "temperature" and value == 1):
            continue
        if name == "constraints":
            steps += [f"{rule} {given}" for rule, given in _unlike_default(value)]
        else:
            steps.append(f"{name} {value:g}")
    if chosen.beams > 1:
        steps.append(f"the best of {chosen.beams} beams, length_penalty {chosen.length_penalty:g}")
    elif not chosen.search.contrastive_alpha:
        steps.append("the most probable token" if chosen.greedy else "a token by chance")
    steps += [f"{rule} {given}" for rule, given in _unlike_default(chosen.search)]
    return [*steps, f"at most {chosen.max_new_tokens:,} tokens"]


def _unlike_default(values: Any) -> list[tuple[str, Any]]:
    given = [(field, getattr(values, field.name)) for field in dataclasses.fields(values)]
    return [(field.name, value) for field, value in given if value != field.default]


def _resolved(model: Saved, asked: Mapping[str, Any]) -> GenerationSettings:
    """The effective settings: what is asked, else what the model's folder says, else greedy."""
    stated = stated_generation(model.folder, model.hf)
    return resolve(stated, encoder_decoder="encoder-decoder" in model.kind, **asked)


def _memory(model: Saved, prompt: int, new: int, answers: int) -> dict[str, Any]:
    """Of weights and of what is remembered of the text; activations of one token are little beside them."""
    whole = prompt + new
    remembered = state_bytes(model.network, whole) * answers
    a_token = state_bytes(model.network, 2) - state_bytes(model.network, 1)
    return {
        "weights_mib": round(model.weights_mib(), 3),
        "cache_bytes_a_token": a_token,
        "cache_mib": round(remembered / MIB, 3),
        "memory_mib": round(model.weights_mib() + remembered / MIB, 3),
    }
