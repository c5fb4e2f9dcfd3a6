"""A server on this machine that speaks the protocols of services, for the tests beside this file, and a clock that
does not wait."""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from trivium.lm.hosted.clock import Clock

KEY = "sk-test-0123456789-abcdefghij-KLMNOP"

QUICK = {"connect_s": 5.0, "read_s": 5.0}
"""Patience of every test: enough for a busy machine, and no test waits longer for what never comes."""

Script = Callable[["Handler"], None]


class FakeClock:
    """Time that passes only where somebody sleeps, or by ``tick`` at each look."""

    def __init__(self, tick: float = 0.0) -> None:
        self.time, self.slept, self.tick = 1000.0, [], tick
        self.clock = Clock(now=self.now, sleep=self.sleep, date=lambda: 1_700_000_000.0, chance=lambda: 0.5)

    def now(self) -> float:
        self.time += self.tick
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class Server(http.server.ThreadingHTTPServer):
    """Answers with what stands in ``script``, request by request, and after that as a model that repeats the text."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Script] = []
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is a part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a reply in two writes waits for an acknowledgement
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.asked.append(body)
            self.server.paths.append(self.path)
            self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
            script = self.server.script.pop(0) if self.server.script else model
        self.body = body
        script(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


# What a script is made of --------------------------------------------------------------------------------------------


def reply(content: Any, status: int = 200, **headers: str) -> Script:
    """A whole reply: JSON, or bytes as they are."""

    def send(handler: Handler) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return send


def error(status: int, message: str = "no", kind: str = "some_error", **headers: str) -> Script:
    return reply({"error": {"message": message, "type": kind}}, status, **headers)


def events(*lines: Any, dropped: bool = False) -> Script:
    """A stream of events, each JSON or the data as it is; ``dropped`` in the middle of what was promised."""

    def send(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for line in lines:
            data = f"data: {line if isinstance(line, str) else json.dumps(line)}\n\n".encode()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            handler.wfile.flush()
        if dropped:
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return send


def drop(handler: Handler) -> None:
    """Closes the connection without a word."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def silence(handler: Handler) -> None:
    """Says nothing until the test is over."""
    handler.server.over.wait(5)
    handler.close_connection = True


def cut_off(handler: Handler) -> None:
    """Promises more than it sends."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


# A model that repeats what it is asked -------------------------------------------------------------------------------


def model(handler: Handler) -> None:
    """Speaks each protocol: its answer is the last text, upper-case, cut at ``max_tokens`` words and at a stop text."""
    protocol = _PROTOCOLS[handler.path.removeprefix("/v1/")]
    protocol(handler, handler.body)


def _said(text: str, body: dict[str, Any]) -> tuple[list[str], str]:
    """(the words of the answer, each with the space before it; why it ends)."""
    text, ended = text.upper(), "stop"
    stops = body.get("stop") or body.get("stop_sequences") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop)[0]
    words = [f" {word}" if number else word for number, word in enumerate(text.split(" "))]
    longest = body.get("max_tokens") or body["max_completion_tokens"]
    return words[:longest], "length" if len(words) > longest else ended


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _chat(handler: Handler, body: dict[str, Any]) -> None:
    words, ended = _said(_text(body["messages"][-1]["content"]), body)
    usage = {"prompt_tokens": 10, "completion_tokens": len(words)}
    if not body.get("stream"):
        answer = {"message": {"role": "assistant", "content": "".join(words)}, "finish_reason": ended}
        reply({"choices": [answer] * body.get("n", 1), "usage": usage})(handler)
        return
    told = [{"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}], "usage": None}]
    told += [{"choices": [{"delta": {"content": word}, "finish_reason": None}]} for word in words]
    told += [{"choices": [{"delta": {}, "finish_reason": ended}]}, {"choices": [], "usage": usage}]
    events(*told, "[DONE]")(handler)


def _completions(handler: Handler, body: dict[str, Any]) -> None:
    words, ended = _said(body["prompt"], body)
    usage = {"prompt_tokens": 10, "completion_tokens": len(words)}
    if body.get("echo"):
        reply(echoed(body["prompt"]))(handler)
    elif not body.get("stream"):
        reply({"choices": [{"text": "".join(words), "finish_reason": ended}] * body.get("n", 1), "usage": usage})(
            handler
        )
    else:
        told = [{"choices": [{"text": word, "finish_reason": None}]} for word in words]
        events(*told, {"choices": [{"text": "", "finish_reason": ended}]}, "[DONE]")(handler)


def echoed(prompt: str, *, before: str = "") -> dict[str, Any]:
    """A reply that tells the log-probability of each token: minus its length. Tokens are words with their space."""
    tokens = [f" {word}" if number else word for number, word in enumerate(prompt.split(" "))]
    tokens = ([before] if before else []) + tokens + [" more"]
    values = [None, *(-float(len(token)) for token in tokens[1:])]
    places, at = [], 0
    for token in tokens:
        places.append(at)
        at += len(token)
    best = [None, *({token: -1.0} for token in tokens[1:])]
    told = {"tokens": tokens, "token_logprobs": values, "text_offset": places, "top_logprobs": best}
    return {"choices": [{"text": "", "logprobs": told, "finish_reason": "length"}], "usage": {"prompt_tokens": 5}}


def _messages(handler: Handler, body: dict[str, Any]) -> None:
    words, ended = _said(_text(body["messages"][-1]["content"]), body)
    ended = {"stop": "end_turn", "length": "max_tokens"}[ended]
    if not body.get("stream"):
        usage = {"input_tokens": 10, "output_tokens": len(words)}
        content = [{"type": "text", "text": "".join(words)}]
        reply({"type": "message", "content": content, "stop_reason": ended, "usage": usage})(handler)
        return
    told: list[Any] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ]
    told += [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": word}} for word in words]
    told += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": ended}, "usage": {"output_tokens": len(words)}},
        {"type": "message_stop"},
    ]
    events(*told)(handler)


def _embeddings(handler: Handler, body: dict[str, Any]) -> None:
    rows = [{"index": at, "embedding": [float(len(text)), 1.0, 0]} for at, text in enumerate(body["input"])]
    reply({"data": rows[::-1], "usage": {"prompt_tokens": 3}})(handler)


_PROTOCOLS = {
    "chat/completions": _chat,
    "completions": _completions,
    "messages": _messages,
    "embeddings": _embeddings,
}
