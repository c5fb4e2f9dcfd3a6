"""What a caller asks of a service, checked before anything is sent: settings, prompts, conversations."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.errors import ConfigError, DataError, Unsupported
from trivium.generation.resolve import resolve
from trivium.generation.settings import GenerationSettings
from trivium.lm.chat import check_messages
from trivium.lm.hosted.images import Image, read_image
from trivium.lm.hosted.providers import PROVIDERS
from trivium.lm.hosted.service import Service
from trivium.lm.hosted.wire import Turns
from trivium.templates import Message

_ALWAYS = ("max_new_tokens", "eos_ids", "n")  # n answers that a service does not give at once are asked for one by one


def generation_of(service: Service) -> dict[str, Any]:
    """What stands in place of ``generation_config.json``: a service whose temperature cannot be chosen samples."""
    return {} if "temperature" in service.published.takes else {"do_sample": True}


def settings_of(
    service: Service, *, max_new_tokens: int, adapter: str | None = None, draft: object = None, **arguments: Any
) -> GenerationSettings:
    """The effective settings: argument, else greedy, or temperature 1 where the service chooses it.

    Raises ``ConfigError`` as ``resolve`` does, and ``Unsupported`` for what this service does not take: nothing that
    was asked for is left out silently.
    """
    settings = resolve(generation_of(service), max_new_tokens=max_new_tokens, **arguments)
    takes, provider = service.published.takes, service.published
    for name, given in (("adapter", adapter), ("draft", draft)):
        if given is not None:
            raise _not_taken(service, name, given)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in takes or field.name in _ALWAYS or value == field.default:
            continue
        if field.name == "temperature" and value == 1:
            continue
        raise _not_taken(service, field.name, value)
    if "temperature" not in takes and settings.temperature != 1:
        raise _not_taken(service, "temperature", settings.temperature)
    if "temperature" in takes and settings.temperature > provider.hottest:
        raise ConfigError(
            f"{provider.title} takes no such temperature",
            received=f"temperature={settings.temperature:g}",
            expected=f"0 to {provider.hottest:g}",
        )
    if provider.most_stops is not None and len(settings.stop) > provider.most_stops:
        raise ConfigError(
            f"{provider.title} takes fewer stop texts",
            received=f"{len(settings.stop)} stop texts",
            expected=f"at most {provider.most_stops}",
        )
    return settings


def _not_taken(service: Service, name: str, value: object) -> Unsupported:
    taken = ", ".join(["max_new_tokens", *service.published.takes])
    return Unsupported(
        f"{service.name} does not take the setting {name}",
        received=f"{name}={value}",
        expected=taken,
        fix=f"leave {name} out; where the service has come to take it, name it under takes in a file of settings",
    )


def require(service: Service, capability: str) -> None:
    """Raises ``Unsupported`` for what this model cannot do."""
    can = service.published.can
    if capability in can:
        return
    able = [
        name
        for name, provider in PROVIDERS.items()
        if capability in provider.can.union(*(each.can or () for each in provider.families))
    ]
    elsewhere = f"a model on this machine, or behind {', '.join(able)}" if able else "a model on this machine"
    raise Unsupported(
        f"{service.name} cannot {capability}",
        received=capability,
        expected=", ".join(sorted(can)),
        fix=f"use {elsewhere}",
    )


def one_answer_each(service: Service, settings: GenerationSettings) -> list[GenerationSettings]:
    """The requests that ``settings.n`` answers to one prompt take: one where the service gives several at once, else
    one an answer, with seeds that follow on each other."""
    if settings.n == 1 or "n" in service.published.takes:
        return [settings]
    seeds = [None if settings.seed is None else settings.seed + number for number in range(settings.n)]
    return [dataclasses.replace(settings, n=1, seed=seed) for seed in seeds]


def texts_of(prompts: Any) -> list[str]:
    """The prompts. Raises ``DataError`` for what is none, ``Unsupported`` for ids."""
    if isinstance(prompts, str):
        return [prompts]
    if not isinstance(prompts, list | tuple):
        raise DataError(
            "this is no prompt",
            received=type(prompts).__name__,
            expected="a text, or a list of texts",
            fix='generate("Once upon a time", ...)',
        )
    for prompt in prompts:
        if isinstance(prompt, int) or (isinstance(prompt, list | tuple) and all(isinstance(id, int) for id in prompt)):
            raise Unsupported(
                "a service takes texts: its tokens are its own",
                received="ids",
                expected="a text, or a list of texts",
                fix="give the text",
            )
        if not isinstance(prompt, str):
            raise DataError(
                "this is no prompt", received=repr(prompt)[:60], expected="a text", fix='generate("Once upon", ...)'
            )
    return list(prompts)


def turns_of(service: Service, messages: Sequence[Message]) -> Turns:
    """A conversation, its images read. The content of a message is a text, or parts: ``{"type": "text", "text": ...}``
    and ``{"type": "image", "image": path or bytes}``.

    Raises ``DataError`` as ``LocalModel.chat`` does, and for an image that cannot be sent; ``Unsupported`` for an image
    where the model reads none.
    """
    messages = list(messages)
    parted = [_parts(message) for message in messages]
    plain = [
        message if parts is None else {**message, "content": "".join(_text(part) for part in parts)}
        for message, parts in zip(messages, parted, strict=True)
    ]
    check_messages(plain)
    turns = []
    for message, parts in zip(plain, parted, strict=True):
        if parts is None:
            turns.append((str(message["role"]), [str(message["content"])]))
            continue
        turns.append((str(message["role"]), [_sent(service, message, part) for part in parts]))
    return turns


def _parts(message: Any) -> list[Mapping[str, Any]] | None:
    """The parts of a message; None for one whose content is no list."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return None
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        held = part.get(kind) if isinstance(kind, str) and isinstance(part, Mapping) else None
        fits = isinstance(held, str) if kind == "text" else isinstance(held, str | bytes | pathlib.Path)
        if kind not in ("text", "image") or not fits:
            raise DataError(
                "this is no part of a message",
                received=repr(part)[:80],
                expected='{"type": "text", "text": ...} or {"type": "image", "image": a path or bytes}',
            )
    return content


def _text(part: Mapping[str, Any]) -> str:
    return str(part["text"]) if part["type"] == "text" else ""


def _sent(service: Service, message: Message, part: Mapping[str, Any]) -> str | Image:
    if part["type"] == "text":
        return str(part["text"])
    if "images" not in service.published.can:
        raise Unsupported(f"{service.name} reads no images", received="a message with an image", fix="leave it out")
    if message["role"] != "user":
        raise DataError("an image is what a user shows", received=f"an image from {message['role']}")
    return read_image(part["image"], most_bytes=int(service.most_image_mib * 2**20))
