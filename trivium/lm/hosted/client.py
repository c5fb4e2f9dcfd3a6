"""A service as it is asked: every request at the rate, within the limit and with the patience of its settings."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from trivium.generation.settings import GenerationSettings
from trivium.lm.hosted.clock import Clock
from trivium.lm.hosted.failure import MalformedReply, ServiceError
from trivium.lm.hosted.images import Image
from trivium.lm.hosted.key import read_key
from trivium.lm.hosted.openai_replies import tokens
from trivium.lm.hosted.rate import RateLimit
from trivium.lm.hosted.retry import retry, retry_stream
from trivium.lm.hosted.service import Service
from trivium.lm.hosted.spending import Meter, Usage
from trivium.lm.hosted.transport import Transport
from trivium.lm.hosted.wire import Counted, Piece, Turns, Wire, Written

_BYTES_A_TOKEN, _TOKENS_AN_IMAGE = 3, 1600  # of estimates, on the side of too many

Read = TypeVar("Read")


class Client:
    """One service. Safe to share between threads.

    Raises ``ConfigError`` or ``StorageError`` where there is no key, ``Unsupported`` without an HTTP client.
    """

    def __init__(self, service: Service, clock: Clock) -> None:
        key = read_key(service.key_place, service.key_file, required=service.needs_key)
        self._service = service
        self._clock = clock
        self._transport = Transport(service, key, clock)
        self._rate = RateLimit(service.rate, clock)
        self._meter = Meter(service.spending)

    @property
    def usage(self) -> Usage:
        """What was used so far."""
        return self._meter.usage

    def ask(self, wire: Wire, turns: Turns, settings: GenerationSettings) -> list[Written]:
        """``settings.n`` answers. Raises ``ServiceError``."""
        provider = self._service.published
        body = wire.body(self._service.model, turns, settings, provider, False)

        def read(reply: Any) -> tuple[list[Written], Counted]:
            written, counted = wire.read(reply)
            if len(written) != settings.n:
                raise MalformedReply(
                    "the service gives another number of answers than it was asked for",
                    received=len(written),
                    expected=settings.n,
                    fix="ask without n" if settings.n > 1 else None,
                )
            return written, counted

        return self._send(wire.path, body, read, estimated(turns), settings.max_new_tokens * settings.n)

    def send(self, path: str, body: Mapping[str, Any], read: Callable[[Any], Read], estimate: int) -> Read:
        """What ``read`` makes of the reply to a request that writes nothing. Raises ``ServiceError``."""
        return self._send(path, body, lambda reply: (read(reply), tokens(reply)), estimate, 0)

    def _send(
        self,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[Any], tuple[Read, Counted]],
        reads: int,
        writes: int,
    ) -> Read:
        def attempt(ends: float) -> Read:
            reserved = self._meter.reserve(reads, writes)  # by each try: one whose answer was lost may be charged too
            try:
                found, counted = read(self._transport.post(path, body, ends))
                self._count(counted, reads, writes)
                return found
            except ServiceError as error:
                if error.charged:
                    self._count(Counted(), reads, writes)
                raise
            finally:
                self._meter.release(reserved)

        admit = functools.partial(self._rate.take, reads + writes)
        return retry(attempt, self._service.patience, self._clock, admit=admit)

    def stream(self, wire: Wire, turns: Turns, settings: GenerationSettings) -> Iterator[Piece]:
        """One answer in pieces, the last of which says why it ended. Raises ``ServiceError``, also in the middle."""
        body = wire.body(self._service.model, turns, settings, self._service.published, True)
        reads, writes = estimated(turns), settings.max_new_tokens

        def attempt(ends: float) -> Iterator[Piece]:
            reserved = self._meter.reserve(reads, writes)
            told, shown, begun, ended = Counted(), 0, False, False
            try:
                for piece in self._pieces(wire, body, ends):
                    told = told.updated(piece.counted)
                    if piece.text or piece.finish_reason is not None:
                        begun, shown = True, shown + len(piece.text.encode("utf-8", "replace"))
                        ended = ended or piece.finish_reason is not None
                        yield piece
            except ServiceError as error:
                if error.charged and not begun:
                    self._count(told, reads, writes)
                raise
            finally:
                if begun:  # also where it broke off, or nobody wanted the rest: what was told before is no count
                    told = told if ended else Counted(input=told.input)
                    self._count(told, reads, _in_tokens(shown), reserved_writes=writes)
                self._meter.release(reserved)

        admit = functools.partial(self._rate.take, reads + writes)
        yield from retry_stream(attempt, self._service.patience, self._clock, admit=admit)

    def _pieces(self, wire: Wire, body: Mapping[str, Any], ends: float) -> Iterator[Piece]:
        finished = False
        try:
            for data in self._transport.stream(wire.path, body, ends):
                if data.strip() == "[DONE]":
                    break
                piece = wire.piece(self._transport.parsed(data))
                finished = finished or piece.finish_reason is not None
                yield piece
                if piece.last:
                    break
        except ServiceError:
            if not finished:
                raise
        if not finished:
            raise ServiceError(
                "the service broke its answer off",
                received="the end of the stream, before the answer said why it ended",
                again=True,
                charged=True,
            )

    def _count(self, counted: Counted, reads: int, writes: int, reserved_writes: int | None = None) -> None:
        """Counts an answered request; estimates where the service does not tell."""
        used_in = reads if counted.input is None else counted.input
        used_out = writes if counted.output is None else counted.output
        guessed = counted.input is None or (counted.output is None and writes > 0)
        self._meter.add(used_in, used_out, estimated=guessed)
        self._rate.correct(reads + (writes if reserved_writes is None else reserved_writes), used_in + used_out)


def estimated(turns: Turns) -> int:
    """About how many tokens a conversation is, rather too many."""
    parts = [part for _, parts in turns for part in parts]
    images = sum(isinstance(part, Image) for part in parts)
    text = sum(len(part.encode("utf-8", "replace")) for part in parts if isinstance(part, str))
    return _in_tokens(text) + images * _TOKENS_AN_IMAGE + 8 * len(turns)


def _in_tokens(size: int) -> int:
    return -(-size // _BYTES_A_TOKEN)
