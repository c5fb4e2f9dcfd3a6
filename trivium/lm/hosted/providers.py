"""Which service has what: one table, by provider and by family of models.

It says what was documented when it was written. Services change faster than releases, so the settings of a service
(`trivium.lm.hosted.service`) may overrule ``can`` and ``takes``; nothing else knows a provider by its name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Protocol = Literal["openai", "anthropic"]

_CHAT = frozenset({"generate", "stream", "chat", "images"})
_TEXT = frozenset({"generate", "stream"})
_EMBED = frozenset({"embed"})

CAPABILITIES = frozenset({*_CHAT, *_EMBED, "score"})
"""All that a service may be able to do."""

# Our name of a setting of generation -> the protocol's.
_OPENAI = {
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop",
    "n": "n",
}
_ANTHROPIC = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "stop": "stop_sequences"}


@dataclass(frozen=True, kw_only=True)
class Family:
    """Models of a provider that are unlike the others."""

    pattern: str
    """A regular expression that their whole name matches."""
    can: frozenset[str] | None = None
    """What they can do; None for what the provider's others can."""
    takes: frozenset[str] | None = None
    """The settings they take, of those that the provider knows; None for all."""
    continues: bool | None = None
    """Whether they continue a text, where the provider's others answer it."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A service, or a server that one runs oneself."""

    title: str
    """Its name in a message."""
    protocol: Protocol = "openai"
    """What it speaks."""
    base_url: str
    """Where it is unless it is said otherwise; its version is a part of the path."""
    key_variable: str | None = None
    """Environment variable that its key is kept in; read for ``base_url`` alone. None: it asks for none."""
    can: frozenset[str] = _CHAT
    """What its models can do."""
    takes: Mapping[str, str] = field(default_factory=lambda: _OPENAI)
    """The settings of generation that it takes, and what it calls them."""
    longest: str = "max_tokens"
    """What it calls the longest answer of a chat."""
    continues: bool = False
    """``generate`` continues a text, through the completions endpoint; else the text is a user's turn."""
    logprobs: bool = False
    """It tells the probability of each token it wrote."""
    hottest: float = 2.0
    """The highest temperature that it takes."""
    most_stops: int | None = None
    """How many stop texts it takes; None for any number."""
    families: tuple[Family, ...] = ()
    """Unlike the others; the first that matches counts."""


PROVIDERS: dict[str, Provider] = {
    # https://platform.openai.com/docs/api-reference
    "openai": Provider(
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        longest="max_completion_tokens",
        most_stops=4,
        families=(
            Family(pattern=r"text-embedding-.*", can=_EMBED),
            Family(pattern=r"(davinci|babbage)-002", can=_TEXT | {"score"}, continues=True),
            Family(pattern=r"gpt-3\.5-turbo-instruct.*", can=_TEXT, continues=True),
            # Models that think first choose their tokens themselves, and take no stop texts.
            Family(pattern=r"o\d.*|gpt-([5-9]|\d\d).*", takes=frozenset({"seed", "n"})),
            Family(pattern=r"gpt-3\.5.*|gpt-4(-\d{4}.*)?", can=_CHAT - {"images"}),
        ),
    ),
    # https://docs.claude.com/en/api/messages
    "anthropic": Provider(
        title="Anthropic",
        protocol="anthropic",
        base_url="https://api.anthropic.com/v1",
        key_variable="ANTHROPIC_API_KEY",
        takes=_ANTHROPIC,
        hottest=1.0,
        families=(
            Family(pattern=r"claude-(2|instant).*", can=_CHAT - {"images"}),
            Family(pattern=r"claude-3.*|claude-(opus|sonnet|haiku)-4(-[0-6])?(-\d{8}|-latest)?"),
            # From Claude Opus 4.7 on a temperature, top_p or top_k is refused.
            Family(pattern=r".*", takes=frozenset({"stop"})),
        ),
    ),
    # https://ai.google.dev/gemini-api/docs/openai
    "gemini": Provider(
        title="Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variable="GEMINI_API_KEY",
        takes={name: _OPENAI[name] for name in ("temperature", "top_p", "stop", "n")},
        most_stops=5,
        families=(Family(pattern=r"(gemini-|text-)embedding.*", can=_EMBED),),
    ),
    # https://docs.cohere.com/docs/compatibility-api
    "cohere": Provider(
        title="Cohere",
        base_url="https://api.cohere.ai/compatibility/v1",
        key_variable="COHERE_API_KEY",
        can=_CHAT - {"images"},
        takes={name: name for name in _OPENAI if name != "n"},
        hottest=1.0,
        most_stops=5,
        families=(
            Family(pattern=r"embed-.*", can=_EMBED),
            Family(pattern=r".*(vision|aya-vision).*", can=_CHAT),
        ),
    ),
    # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
    "vllm": Provider(
        title="vLLM",
        base_url="http://127.0.0.1:8000/v1",
        can=_CHAT | _EMBED | {"score"},
        takes={
            **_OPENAI,
            "top_k": "top_k",
            "min_p": "min_p",
            "repetition_penalty": "repetition_penalty",
        },
        continues=True,
        logprobs=True,
    ),
    # https://github.com/ollama/ollama/blob/main/docs/openai.md
    "ollama": Provider(
        title="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        can=_CHAT | _EMBED,
        takes={name: name for name in _OPENAI if name != "n"},
        continues=True,
    ),
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    "llamacpp": Provider(
        title="llama.cpp",
        base_url="http://127.0.0.1:8080/v1",
        can=_CHAT | _EMBED,
        takes={
            **{name: name for name in _OPENAI if name != "n"},
            "top_k": "top_k",
            "min_p": "min_p",
            "typical_p": "typical_p",
            "repetition_penalty": "repeat_penalty",
        },
        continues=True,
    ),
}
"""By the name that stands before the colon of an address."""


def family(provider: Provider, model: str) -> Family:
    """The family that a model belongs to; one like all others where none is named."""
    found = (each for each in provider.families if re.fullmatch(each.pattern, model))
    return next(found, Family(pattern=".*"))
