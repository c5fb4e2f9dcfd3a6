"""One request over HTTP: sent once, bounded in time and size, and every way in which it can fail told apart.

Redirects are refused, since they would carry the key elsewhere; nothing of the environment is used (proxies, .netrc);
replies are asked for uncompressed, so that a small one cannot become a large one.
"""

import contextlib
import functools
import json
import logging
import ssl
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from trivium.errors import Unsupported
from trivium.lm.hosted.anthropic import VERSION
from trivium.lm.hosted.clock import Clock
from trivium.lm.hosted.failure import MalformedReply, ServiceError, shortened
from trivium.lm.hosted.key import Key
from trivium.lm.hosted.providers import Protocol
from trivium.lm.hosted.retry import RETRIED, asked_wait
from trivium.lm.hosted.service import Service
from trivium.lm.hosted.sse import events

_HEADERS: dict[Protocol, dict[str, str]] = {"openai": {}, "anthropic": {"anthropic-version": VERSION}}
_KEY_HEADERS: dict[Protocol, tuple[str, str]] = {
    "openai": ("authorization", "Bearer {}"),
    "anthropic": ("x-api-key", "{}"),
}
_LONGEST_REFUSAL = 64 << 10  # bytes that are read of a reply that is an error
_LOST = "ask again; patience.resend does so by itself, and a lost answer may be charged"


class Transport:
    """The connections to one service; safe to share between threads.

    Raises ``Unsupported`` where the HTTP client is not installed.
    """

    def __init__(self, service: Service, key: Key | None, clock: Clock) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise Unsupported(
                "reaching a service needs an HTTP client", received=error, fix='pip install "trivium-lm[hosted]"'
            ) from None
        self._httpx = httpx2
        self._service = service
        self._key = key
        self._headers = {"accept-encoding": "identity", **_HEADERS[service.published.protocol]}
        self._clock = clock
        encrypted = service.url.startswith("https:")
        self._client = httpx2.Client(
            # Certificates take a tenth of a second to read. Without encryption a context that trusts nobody will do.
            verify=True if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=service.concurrency),
            follow_redirects=False,
            trust_env=False,
        )
        weakref.finalize(self, self._client.close).atexit = False  # the end of the process closes everything at once
        if key is not None:  # the layer below logs, for debugging, the headers of replies, and some quote what was sent
            log, hiding = logging.getLogger("httpcore2.http11"), functools.partial(_hide_in_record, key)
            log.addFilter(hiding)
            weakref.finalize(self, log.removeFilter, hiding)

    def post(self, path: str, body: Mapping[str, Any], ends: float) -> Any:
        """The parsed reply to one request, which has to end at ``ends``. Raises ``ServiceError``."""
        with self._sent(path, body, ends) as chunks:
            content = b"".join(chunks)
        return self.parsed(content.decode("utf-8", "replace"))

    def stream(self, path: str, body: Mapping[str, Any], ends: float) -> Iterator[str]:
        """The data of each event of one streamed reply. Raises ``ServiceError``, also in the middle."""
        with self._sent(path, body, ends, stream=True) as chunks:
            yield from events(chunks)

    def parsed(self, text: str) -> Any:
        """JSON, with the key hidden in it. Raises ``MalformedReply``."""
        try:
            value = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise MalformedReply(
                "the service's reply is not JSON",
                received=shortened(self.hidden(text)) or "nothing",
                fix=f"check that {self._service.url} speaks the protocol of {self._service.provider}",
            ) from None
        return value if self._key is None else self._key.hide_in(value)

    def hidden(self, text: str) -> str:
        """``text`` without the key."""
        return text if self._key is None else self._key.hide(text)

    @contextlib.contextmanager
    def _sent(
        self, path: str, body: Mapping[str, Any], ends: float, *, stream: bool = False
    ) -> Iterator[Iterator[bytes]]:
        """Sends, and gives the chunks of a reply that is no error."""
        failure, left = None, max(1e-3, ends - self._clock.now())
        try:
            with self._client.stream(
                "POST",
                f"{self._service.url}/{path}",
                content=json.dumps(body, ensure_ascii=False).encode(),
                headers={
                    "content-type": "application/json",
                    "accept": "text/event-stream" if stream else "application/json",
                    **self._headers,
                    **self._authorisation(),
                },
                timeout=self._timeout(left),
            ) as response:
                self._check(response, ends)
                if stream and "text/event-stream" not in response.headers.get("content-type", ""):
                    raise self._no_stream(response)
                yield self._bounded(response, ends)
                return
        except (self._httpx.TransportError, self._httpx.DecodingError) as error:
            failure = self._failure(error, left)
        except UnicodeEncodeError:  # half of a character, as an escape in JSON can make it
            failure = ServiceError("this text cannot be sent", expected="text that is Unicode")
        # Not from within the handler: what failed holds the request, and with it the key.
        raise failure

    def _timeout(self, left: float) -> Any:
        patience = self._service.patience
        return self._httpx.Timeout(min(patience.read_s, left), connect=min(patience.connect_s, left))

    def _authorisation(self) -> dict[str, str]:
        name, form = _KEY_HEADERS[self._service.published.protocol]
        return {} if self._key is None else {name: form.format(self._key.reveal())}

    def _bounded(self, response: Any, ends: float) -> Iterator[bytes]:
        most, size = int(self._service.most_reply_mib * 2**20), 0
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > most:
                raise MalformedReply(
                    "the service's reply is too long",
                    received=f"more than {most:,} bytes",
                    fix="ask for less at once, or raise most_reply_mib",
                )
            if self._clock.now() > ends:
                raise ServiceError(
                    "the service did not finish in time",
                    received=f"{size:,} bytes in {self._service.patience.total_s:g} s",
                    fix="ask for a shorter answer, or raise patience.total_s",
                    charged=True,
                )
            yield chunk

    # What can go wrong -----------------------------------------------------------------------------------------------

    def _check(self, response: Any, ends: float) -> None:
        """Raises ``ServiceError`` for every reply but a plain success."""
        status = response.status_code
        if 300 <= status < 400:
            raise ServiceError(
                "the service sends the request elsewhere, and it is not followed: the key would go with it",
                received=f"{status} to {shortened(self.hidden(response.headers.get('location', '')))}",
                fix="give that address as base_url, if you trust it",
            )
        if status != 200:
            raise self._refusal(status, response, ends)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise MalformedReply(
                "the service's reply is compressed, which it was asked not to be",
                received=shortened(self.hidden(response.headers["content-encoding"])),
            )

    def _refusal(self, status: int, response: Any, ends: float) -> ServiceError:
        chunks, size = [], 0
        with contextlib.suppress(self._httpx.TransportError):
            for chunk in response.iter_raw():
                chunks.append(chunk)
                size += len(chunk)
                if size > _LONGEST_REFUSAL or self._clock.now() > ends:
                    break
        text = b"".join(chunks)[:_LONGEST_REFUSAL].decode("utf-8", "replace")
        code, said = _said(text)
        again = (status in RETRIED or status >= 500) and code != "insufficient_quota"
        wait = asked_wait(response.headers, self._clock) if again else None
        return ServiceError(
            f"{self._service.name} refuses the request",
            received=f"{status}: {shortened(self.hidden(said))}",
            fix=self._fix(status, code),
            again=again,
            wait_s=wait,
        )

    def _fix(self, status: int, code: str) -> str | None:
        service = self._service
        place = service.key_file or (f"${service.key_place}" if service.key_place else None)
        if status in (401, 403):
            return f"check the key in {place}" if place else "name the place of the key: key_variable or key_file"
        if code == "insufficient_quota":
            return "look at your account with the service"
        if status == 404:
            return f"check the model's name, and the address {service.url}"
        if status == 429:
            return "ask less often: set rate.requests_per_minute and rate.tokens_per_minute"
        return "wait, and look whether the service is up" if status >= 500 else None

    def _no_stream(self, response: Any) -> MalformedReply:
        kind = shortened(self.hidden(response.headers.get("content-type", "no type")))
        return MalformedReply(
            "the service was asked for a stream, and sends something else",
            received=kind,
            expected="text/event-stream",
            fix="use generate in place of stream, where this service has no streams",
        )

    def _failure(self, error: Exception, left: float) -> ServiceError:
        """What a failure below HTTP is to its user, where there were ``left`` seconds for all of it."""
        httpx, patience, url = self._httpx, self._service.patience, self._service.url
        connecting = isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
        # What was not wholly sent was surely not answered.
        sent = not isinstance(error, httpx.ConnectError | httpx.WriteError | httpx.WriteTimeout) and not connecting
        if isinstance(error, httpx.TimeoutException) and left <= (
            patience.connect_s if connecting else patience.read_s
        ):
            return ServiceError(
                "the service did not finish in time",
                received=f"nothing from {url} for the last {left:.2g} s of {patience.total_s:g} s",
                fix="ask for a shorter answer, or raise patience.total_s",
                charged=sent,
            )
        if connecting:
            return ServiceError(
                "the service cannot be reached",
                received=f"no connection to {url} within {patience.connect_s:g} s",
                fix="check the address and the network, or raise patience.connect_s",
                again=True,
            )
        if isinstance(error, httpx.TimeoutException):
            return ServiceError(
                "the service does not answer",
                received=f"nothing from {url} for {patience.read_s:g} s",
                fix="raise patience.read_s for models that take long; patience.resend asks again, which may cost twice",
                again=True,
                charged=sent,
            )
        reached = not isinstance(error, httpx.ConnectError)
        return ServiceError(
            "the connection to the service broke" if reached else "the service cannot be reached",
            received=shortened(self.hidden(f"{url}: {error}")),
            fix=_LOST if sent else None if reached else "check that the address is right and the service runs",
            again=True,
            charged=sent,
        )


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)  # NaN and Infinity, which JSON has not, and Python reads


def _hide_in_record(key: Key, record: logging.LogRecord) -> bool:
    record.msg, record.args = key.hide(record.getMessage()), ()
    return True


def _said(text: str) -> tuple[str, str]:
    """(code, message) of an error as services word it; the whole text where it is none of their forms."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "", text
    value = value[0] if isinstance(value, list) and value else value  # as Gemini wraps it
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return "", error if isinstance(error, str) else text
    message = next((error[name] for name in ("message", "detail", "error") if isinstance(error.get(name), str)), text)
    return str(error.get("code") or error.get("type") or ""), message
