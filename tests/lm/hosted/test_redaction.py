"""The key shows nowhere: not in errors, logs, settings or files, whatever a server does with it."""

import io
import logging
import pathlib
import traceback
from typing import Any

import pytest

from trivium.config import to_yaml
from trivium.lm.hosted.failure import ServiceError
from trivium.lm.hosted.retry import Patience

PROVIDERS = ("openai", "anthropic", "vllm")


def everything(error: BaseException) -> str:
    """All that an error says, with those that it came from."""
    found, seen = "".join(traceback.format_exception(error)), error
    while seen is not None:
        found += repr(seen) + str(seen) + repr(vars(seen)) + repr(seen.args)
        request = getattr(seen, "_request", None)
        found += "" if request is None else str(dict(request.headers))
        seen = seen.__cause__ or seen.__context__
    return found


@pytest.fixture
def logged() -> Any:
    """All that any package logs."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def scripts(serving: Any) -> dict[str, Any]:
    key = serving.KEY
    chat = {"choices": [{"message": {"content": 3}, "finish_reason": "stop"}], key: key}
    delta = {"choices": [{"delta": {"content": "a"}, "finish_reason": None, "text": "a"}]}
    broken = {"error": {"type": "server_error", "message": f"key {key}"}, "type": "error"}
    return {
        "quoted": serving.error(401, f"Incorrect API key provided: {key}"),
        "in part": serving.error(401, f"Incorrect API key provided: {key[:12]}***{key[-8:]}"),
        "escaped": serving.reply(
            b'{"error": {"message": "' + "".join(f"\\u{ord(each):04x}" for each in key).encode() + b'"}}', 400
        ),
        "as text": serving.reply(f"<b>{key}</b>".encode(), 500),
        "as no JSON": serving.reply(f"not JSON {key}".encode()),
        "cut by the bound": serving.error(400, "x" * 290 + key),
        "in a field": serving.reply(chat),
        "in a redirect": serving.reply({}, 302, Location=f"https://elsewhere.example/?key={key}"),
        "in a type": serving.reply({}, Content_Encoding=key),
        "in a retry": serving.error(429, key, Retry_After=key),
        "in a stream": serving.events(delta, broken),
        "dropped": serving.drop,
        "silent": serving.silence,
    }


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_error_and_no_log_holds_the_key(
    provider: str, make: Any, server: Any, serving: Any, logged: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    produced = []
    for name, script in scripts(serving).items():
        patience = Patience(read_s=0.03 if name == "silent" else 5.0, tries=2, resend=True)
        model = make(provider, patience=patience)
        server.script = [script] * 2
        ask = model.stream if name == "in a stream" else model.generate
        with pytest.raises(ServiceError) as caught:
            list(ask("hello", max_new_tokens=5))
        produced.append(everything(caught.value))
        produced += [repr(model), repr(vars(model)), repr(vars(model._client)), repr(vars(model._client._transport))]
        produced += [to_yaml(model.config), repr(model.config), repr(model.usage), repr(model.generation)]
        server.script.clear()
    captured = capfd.readouterr()
    produced += [logged.getvalue(), captured.out, captured.err]
    whole = "".join(produced)
    assert "httpx2" in whole  # there was something to look at
    assert "[key]" in whole
    windows = {serving.KEY[at : at + 8] for at in range(len(serving.KEY) - 7)}
    assert not [window for window in windows if window in whole]
    assert all(serving.KEY in str(headers) for headers in server.headers)  # and the server was told it


def test_an_answer_that_quotes_the_key_does_not_give_it_on(make: Any, server: Any, serving: Any) -> None:
    quoted = {"choices": [{"message": {"content": f"it is {serving.KEY}"}, "finish_reason": "stop"}]}
    server.script = [serving.reply(quoted)]
    assert make().generate("hello", max_new_tokens=5)[0].text == "it is [key]"


def test_a_key_in_a_file(make: Any, server: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "key"
    file.write_text("a-key-of-a-file\n")
    file.chmod(0o600)
    model = make(key_variable=None, key_file=file)
    model.generate("hello", max_new_tokens=5)
    assert server.headers[0]["authorization"] == "Bearer a-key-of-a-file"
    assert "a-key-of-a-file" not in to_yaml(model.config)
