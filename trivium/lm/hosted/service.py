"""The settings of a service: which model, where, with which key, how patiently, how fast and for how much."""

import dataclasses
import ipaddress
import pathlib
import re
import urllib.parse
from dataclasses import dataclass, field

from trivium.config import did_you_mean
from trivium.errors import ConfigError
from trivium.lm.hosted.providers import CAPABILITIES, PROVIDERS, Family, Provider, family
from trivium.lm.hosted.rate import Rate
from trivium.lm.hosted.retry import Patience
from trivium.lm.hosted.spending import Spending

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A model that is reached as a service. No secret is among its settings: they say where the key is kept."""

    provider: str
    """What it speaks and can: openai, anthropic, gemini, cohere, vllm, ollama or llamacpp."""
    model: str
    """The model's name, as the service calls it."""
    base_url: str | None = None
    """Where the service is, up to its version, as in http://127.0.0.1:8000/v1; the provider's own if not given."""
    key_variable: str | None = None
    """Environment variable that holds the key. The provider's own if not given, but at its own address only: a key is
    never sent to an address that it was not meant for."""
    key_file: pathlib.Path | None = None
    """File that holds the key, in place of a variable; only its owner may be able to read it (mode 0600)."""
    can: tuple[str, ...] | None = None
    """What the model can do, where the table of providers does not know it: generate, stream, chat, images, score,
    embed."""
    takes: tuple[str, ...] | None = None
    """Which settings of generation it takes, where the table does not know it: temperature, top_p, stop ..."""
    context_tokens: int | None = None
    """Tokens that the model holds, where that is to be told; nothing is cut here."""
    concurrency: int = 4
    """Requests that are under way at the same time."""
    patience: Patience = field(default_factory=Patience)
    """How long and how often it is asked."""
    rate: Rate = field(default_factory=Rate)
    """How often a minute."""
    spending: Spending = field(default_factory=Spending)
    """Prices and a limit."""
    most_reply_mib: float = 64.0
    """A longer reply is broken off."""
    most_image_mib: float = 5.0
    """A larger image is refused before it is sent."""

    def __post_init__(self) -> None:
        if self.provider not in PROVIDERS:
            raise ConfigError(
                "there is no such provider",
                received=self.provider,
                expected=f"one of {', '.join(PROVIDERS)}; openai for any server that is compatible with it",
                fix=did_you_mean(self.provider.lower(), PROVIDERS),
            )
        if not self.model.strip():
            raise ConfigError("the model has no name", received=repr(self.model), fix=f"{self.provider}:MODEL")
        _check_url(self.url)
        if self.key_variable is not None and not _VARIABLE.fullmatch(self.key_variable):
            raise ConfigError(
                "key_variable is the name of an environment variable, never the key",
                received=f"{len(self.key_variable)} characters that are no name",  # they may be the key
                expected="a name such as OPENAI_API_KEY",
                fix="keep the key in a variable and give the variable's name, or name a file as key_file",
            )
        for name, valid in (("can", sorted(CAPABILITIES)), ("takes", list(self._published.takes))):
            for given in getattr(self, name) or ():
                if given not in valid:
                    raise ConfigError(
                        f"{name}: the {self._published.title} client knows nothing of this",
                        received=given,
                        expected=", ".join(valid),
                        fix=did_you_mean(given, valid),
                    )
        for name, least in (("concurrency", 1), ("most_reply_mib", 0.001), ("most_image_mib", 0.001)):
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} is too small", received=getattr(self, name), expected=f"at least {least}")

    @property
    def name(self) -> str:
        """``provider:model``, for messages."""
        return f"{self.provider}:{self.model}"

    @property
    def url(self) -> str:
        """The address that requests go to, without a slash at its end."""
        return (self.base_url or self._published.base_url).rstrip("/")

    @property
    def at_home(self) -> bool:
        """Whether that is the provider's own address."""
        return self.url == self._published.base_url

    @property
    def key_place(self) -> str | None:
        """The environment variable that the key is read from, if any."""
        return self.key_variable or (self._published.key_variable if self.at_home else None)

    @property
    def needs_key(self) -> bool:
        """Whether there has to be one."""
        return self.key_variable is not None or (self.at_home and self._published.key_variable is not None)

    @property
    def published(self) -> Provider:
        """What the table says of this model: its provider, with what its family changes and these settings overrule."""
        provider, own = self._published, self._family
        takes = self.takes if self.takes is not None else own.takes
        return dataclasses.replace(
            provider,
            can=frozenset(self.can) if self.can is not None else own.can or provider.can,
            takes={ours: theirs for ours, theirs in provider.takes.items() if takes is None or ours in takes},
            # What is compatible with OpenAI knows the name that it gave the longest answer at first.
            longest=provider.longest if self.at_home else "max_tokens",
            continues=provider.continues if own.continues is None else own.continues,
        )

    @property
    def _published(self) -> Provider:
        return PROVIDERS[self.provider]

    @property
    def _family(self) -> Family:
        # What is behind another address is another model, whatever it is called.
        return family(self._published, self.model) if self.at_home else Family(pattern=".*")


def _check_url(url: str) -> None:
    """Raises ``ConfigError`` for an address that no key or text may be sent to."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urllib.parse.urlsplit(""), None
    example = "https://HOST/v1, or http://127.0.0.1:PORT/v1"
    if parts.scheme not in ("http", "https") or not host or any(not each.isprintable() or each == " " for each in url):
        shown = "one with @, ? or #" if set(url) & set("@?#") else repr(url)  # there may be a secret in it
        raise ConfigError("this is no address of a service", received=shown, expected=example)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError(
            "an address holds no password, question mark or #",
            received=f"{parts.scheme}://{host}/...",  # the rest may be a secret
            expected=example,
            fix="name the place of the key: key_variable or key_file",
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            "what is sent without encryption can be read on its way",
            received=f"http to {host}",
            expected="https; http only to this machine (127.0.0.1, ::1, localhost)",
            fix=f"use https://{host}..., or a tunnel to 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """Whether an address never leaves this machine; of names only ``localhost`` is known to be one."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
