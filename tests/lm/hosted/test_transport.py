"""Everything that a server can do wrong is told as what it is."""

import builtins
import socket
from typing import Any

import pytest

from trivium.errors import Unsupported, UserError
from trivium.lm.hosted.failure import MalformedReply, ServiceError
from trivium.lm.hosted.model import HostedModel
from trivium.lm.hosted.retry import Patience
from trivium.lm.hosted.service import Service

GOOD = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", r"not JSON[\s\S]*received: nothing"),
        (b"<html>busy</html>", r"not JSON[\s\S]*<html>busy"),
        (b'{"choices": [{"mess', r"not JSON[\s\S]*\{\"choices\""),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"choices": NaN}', "not JSON"),
        ([], "no choices"),
        ({"choices": []}, "choices is empty"),
        ({"choices": "hi"}, "choices of the service's reply is no list"),
        ({"choices": ["hi"]}, "does not say why"),
        ({"choices": [{"finish_reason": "stop"}]}, "no message.content"),
        ({"choices": [{"finish_reason": "stop", "message": {"content": None}}]}, "no message.content"),
        ({"choices": [{"finish_reason": "stop", "message": {"content": 7}}]}, "message.content of the .* is no str"),
        ({"choices": [{"finish_reason": "bored", "message": {"content": "hi"}}]}, r"why the answer[\s\S]*stop, length"),
        ({"choices": [{"finish_reason": None, "message": {"content": "hi"}}]}, "does not say why"),
        ({**GOOD, "usage": 3}, "usage of the service's reply is no dict"),
        ({**GOOD, "usage": {"prompt_tokens": True}}, "prompt_tokens of the service's reply is no int"),
        ({**GOOD, "usage": {"prompt_tokens": -1}}, "fewer tokens than none"),
        ({**GOOD, "usage": {"prompt_tokens": 10**400}}, "prompt_tokens of the service's reply is no int"),
        ({"choices": GOOD["choices"] * 2}, r"another number of answers[\s\S]*received: 2[\s\S]*expected: 1"),
    ],
)
def test_malformed_replies(content: Any, told: str, make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply(content)]
    with pytest.raises(MalformedReply, match=told) as caught:
        make().generate("hello", max_new_tokens=5)
    assert len(str(caught.value)) < 1000
    assert len(server.asked) == 1  # it was answered, and paid for: it is not asked again


def test_a_long_reply_is_shown_short_and_without_control_characters(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply(b"\x1b[31mred\x07 " + b"x" * 5000)]
    with pytest.raises(MalformedReply) as caught:
        make().generate("hello", max_new_tokens=5)
    assert "\x1b" not in str(caught.value)
    assert str(caught.value.received).endswith("...")
    assert len(caught.value.received) == 300


def test_a_reply_has_a_bound(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply(b"x" * 3000)]
    with pytest.raises(MalformedReply, match=r"too long[\s\S]*2,097 bytes[\s\S]*most_reply_mib"):
        make(most_reply_mib=0.002).generate("hello", max_new_tokens=5)
    server.script = [serving.error(400, "y" * 500_000)]
    with pytest.raises(ServiceError, match=r"400: .*yyy") as caught:
        make().generate("hello", max_new_tokens=5)
    assert len(str(caught.value)) < 1000


def test_redirects_are_refused(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply({}, 307, Location="https://elsewhere.example/v1")]
    with pytest.raises(ServiceError, match=r"not followed[\s\S]*307 to https://elsewhere[\s\S]*base_url"):
        make().generate("hello", max_new_tokens=5)
    assert len(server.asked) == 1


def test_compressed_replies_are_refused_and_not_asked_for(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply(b"", Content_Encoding="gzip")]
    with pytest.raises(MalformedReply, match=r"compressed[\s\S]*gzip"):
        make().generate("hello", max_new_tokens=5)
    assert server.headers[0]["accept-encoding"] == "identity"


def test_an_answer_that_takes_too_long_is_broken_off(make: Any, server: Any, serving: Any, clock: Any) -> None:
    def late(handler: Any) -> None:
        clock.time += 4.0  # before a word of it is sent
        serving.reply(GOOD)(handler)

    server.script = [late]
    model = make(patience=Patience(total_s=3.0, resend=True))
    with pytest.raises(ServiceError, match=r"did not finish in time[\s\S]*bytes in 3 s[\s\S]*patience\.total_s"):
        model.generate("hello", max_new_tokens=5)
    assert len(server.asked) == model.usage.estimated == 1


def test_silence_ends_with_the_time_for_the_whole_answer(make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.silence]
    with pytest.raises(ServiceError, match=r"did not finish in time[\s\S]*the last 0\.05 s of 0\.05 s"):
        make(patience=Patience(total_s=0.05)).generate("hello", max_new_tokens=5)


def test_nobody_at_the_address(clock: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    model = HostedModel(
        Service(provider="vllm", model="m", base_url=url, patience=Patience(connect_s=5.0, tries=2)), clock=clock.clock
    )
    with pytest.raises(ServiceError, match=r"cannot be reached \(2 tries\)[\s\S]*the service runs"):
        model.generate("hello", max_new_tokens=5)
    assert len(clock.slept) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"error": {"message": "plainly"}}, "plainly"),
        ({"error": "as a text"}, "as a text"),
        ({"detail": "as FastAPI says it"}, "as FastAPI says it"),
        ([{"error": {"message": "in a list", "code": 400}}], "in a list"),
        ({"type": "error", "error": {"type": "x", "message": "as Anthropic"}}, "as Anthropic"),
        (b"in words", "in words"),
        ({"unknown": 1}, '{"unknown": 1}'),
    ],
)
def test_refusals_in_all_their_forms(content: Any, said: str, make: Any, server: Any, serving: Any) -> None:
    server.script = [serving.reply(content, 400)]
    with pytest.raises(ServiceError) as caught:
        make().generate("hello", max_new_tokens=5)
    assert caught.value.received == f"400: {said}"
    assert caught.value.exit_code == 1
    assert isinstance(caught.value, UserError)


def test_what_to_do_about_a_refusal(make: Any, server: Any, serving: Any) -> None:
    for status, fix in ((401, r"check the key in \$TEST_KEY"), (404, "the model's name"), (503, "the service is up")):
        server.script = [serving.error(status)]
        with pytest.raises(ServiceError, match=fix):
            make(patience=Patience(**serving.QUICK, tries=1)).generate("hello", max_new_tokens=5)
    server.script = [serving.error(401)]
    with pytest.raises(ServiceError, match="key_variable or key_file"):
        make(key_variable=None).generate("hello", max_new_tokens=5)


def test_text_that_is_no_text(make: Any, server: Any) -> None:
    with pytest.raises(ServiceError, match="cannot be sent"):
        make().generate("half a character: \ud800", max_new_tokens=5)
    assert server.asked == []


def test_without_a_client_the_extra_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("httpx2"):
            raise ImportError("No module named 'httpx2'")
        return whole(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Unsupported, match=r"pip install \"trivium-lm\[hosted\]\""):
        make()


def test_the_environment_is_not_used(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    assert make().generate("hello", max_new_tokens=5)[0].text == "HELLO"
