"""The spelling of a service where a model is asked for.

    openai:gpt-4o                                the provider's own address
    openai:MODEL@http://127.0.0.1:8000/v1        any server that is compatible with OpenAI's
    ollama:llama3.2:3b                           a server of one's own, at its usual address
    service.yaml                                 a file of settings, see `trivium.lm.hosted.service.Service`

What stands before the first colon is the provider; the address begins after @.
"""

import difflib
import pathlib
import re

from trivium.config import did_you_mean, from_yaml
from trivium.errors import ConfigError
from trivium.lm.hosted.providers import PROVIDERS
from trivium.lm.hosted.service import Service

_ADDRESS = re.compile(r"(?P<provider>[A-Za-z][\w.+-]+):(?P<model>.*?)(?:@(?P<url>https?:/.*))?", re.DOTALL)
_ONE_SLASH = re.compile(r"(https?):/+")
_SETTINGS = (".yaml", ".yml")


def is_service(name: str) -> bool:
    """Whether this asks for a service: it is spelt like one and no file or folder, or it is a file of settings."""
    path = pathlib.Path(name)
    if path.suffix in _SETTINGS:
        return path.is_file()
    return bool(_ADDRESS.fullmatch(name)) and not path.exists()


def read_service(name: str) -> Service:
    """The settings that a name stands for. Raises ``ConfigError`` with the likely meaning, ``StorageError`` for a file
    that cannot be read."""
    if pathlib.Path(name).suffix in _SETTINGS and "@" not in name:
        return from_yaml(Service, name)
    found = _ADDRESS.fullmatch(name)
    if found is None:
        raise ConfigError("this is no service", received=name, expected="PROVIDER:MODEL, or PROVIDER:MODEL@URL")
    provider, model, url = found["provider"], found["model"], found["url"]
    if provider not in PROVIDERS:
        raise ConfigError(
            "there is neither such a folder nor such a provider",
            received=name if "@" not in name else f"{provider}:...",  # an address may hold a password
            expected=f"a model's folder, or PROVIDER:MODEL, the provider one of {', '.join(PROVIDERS)}",
            fix=_meant(provider, model),
        )
    if not model or "://" in model:
        raise ConfigError(
            "this address names no model",
            received=f"{provider}:...",
            expected=f"{provider}:MODEL, or {provider}:MODEL@http://127.0.0.1:8000/v1",
        )
    # A name that was a path on its way here (pathlib) has lost one of two slashes.
    return Service(provider=provider, model=model, base_url=url and _ONE_SLASH.sub(r"\1://", url, count=1))


def _meant(provider: str, model: str) -> str | None:
    """What was likely meant: another provider, or the address before the model."""
    if provider.lower() in ("http", "https") or "+http" in provider:
        return "put the address last: openai:MODEL@http://127.0.0.1:8000/v1"
    near = difflib.get_close_matches(provider.lower(), list(PROVIDERS), n=1)
    return f"did you mean {near[0]}:{model}?" if near else did_you_mean(provider.lower(), PROVIDERS)
