"""How a service is named, and what its settings may be."""

import pathlib
from typing import Any

import pytest

import trivium
from trivium.config import from_dict, to_dict, to_yaml
from trivium.errors import ConfigError, StorageError, Unsupported
from trivium.lm.hosted.address import is_service, read_service
from trivium.lm.hosted.model import HostedModel
from trivium.lm.hosted.service import Service
from trivium.lm.hosted.spending import Spending


@pytest.mark.parametrize(
    ("name", "provider", "model", "url"),
    [
        ("openai:gpt-4o", "openai", "gpt-4o", "https://api.openai.com/v1"),
        ("anthropic:claude-3-5-haiku-latest", "anthropic", "claude-3-5-haiku-latest", "https://api.anthropic.com/v1"),
        ("ollama:llama3.2:3b", "ollama", "llama3.2:3b", "http://127.0.0.1:11434/v1"),
        ("vllm:org/Name-7B", "vllm", "org/Name-7B", "http://127.0.0.1:8000/v1"),
        ("openai:m@http://127.0.0.1:8000/v1/", "openai", "m", "http://127.0.0.1:8000/v1"),
        ("openai:a:b@https://example.org:8443", "openai", "a:b", "https://example.org:8443"),
        ("openai:m@http:/localhost:1/v1", "openai", "m", "http://localhost:1/v1"),  # as pathlib writes it
        ("vllm:m@http://[::1]:8000/v1", "vllm", "m", "http://[::1]:8000/v1"),
    ],
)
def test_addresses(name: str, provider: str, model: str, url: str) -> None:
    assert is_service(name)
    service = read_service(name)
    assert (service.provider, service.model, service.url) == (provider, model, url)


def test_what_is_no_service(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pathlib.Path("odd:name").mkdir()
    for name in ("runs/quickstart", "org/model", "model", "odd:name", "a/b:c", "C:\\models", "none.yaml", ""):
        assert not is_service(name), name
    with pytest.raises(StorageError, match="no such folder"):
        trivium.load(pathlib.Path("openai:gpt-4o"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("opnai:gpt-4o", r"neither such a folder nor such a provider[\s\S]*did you mean openai:gpt-4o\?"),
        ("OpenAI:gpt-4o", r"did you mean openai:gpt-4o\?"),
        ("openai+http://127.0.0.1:8000/v1:m", r"put the address last: openai:MODEL@http"),
        ("zzz:m", "one of openai, anthropic"),
        ("openai:", "names no model"),
        ("openai:http://127.0.0.1/v1", "names no model"),
        ("openai:m@http://example.org/v1", r"without encryption[\s\S]*example\.org"),
        ("openai:m@http://127.0.0.1.example.org/v1", "without encryption"),
        ("openai:m@https://user:word@example.org/v1", "holds no password"),
        ("openai:m@https://example.org/v1?key=word", "holds no password"),
        ("openai:m@https://", "no address"),
        ("openai:m@https://a b/v1", "no address"),
        ("openai:m@https://host:port/v1", "no address"),
        ("openai:m@https://user:word@host:port/v1", "no address"),
        ("https://user:word@example.org/v1", "put the address last"),
    ],
)
def test_addresses_that_are_refused(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        trivium.load(name)
    assert "word" not in str(caught.value).replace("no password", "")


def test_a_file_of_settings(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(
        "provider: openai\nmodel: m\nbase_url: https://example.org/v1\nkey_variable: SOME_KEY\n"
        "patience: {read_s: 5}\nrate: {requests_per_minute: 60}\n"
        "spending: {input_per_million: 0.15, output_per_million: 0.6, limit: 2}\n"
    )
    monkeypatch.setenv("SOME_KEY", "secret-of-this-test")
    model = trivium.load(str(file))
    assert isinstance(model, HostedModel)
    assert model.config.patience.read_s == 5
    assert model.config.spending == Spending(input_per_million=0.15, output_per_million=0.6, limit=2.0)
    assert from_dict(Service, to_dict(model.config)) == model.config
    assert "secret-of-this-test" not in to_yaml(model.config) + repr(vars(model)) + repr(model) + repr(model.config)
    for name in ("key", "api_key"):
        file.write_text(f"provider: openai\nmodel: m\n{name}: sk-123\n")
        with pytest.raises(ConfigError, match=f"{name}: there is no such setting") as caught:
            trivium.load(str(file))
        assert "sk-123" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"provider": "opeanai"}, "did you mean openai"),
        ({"model": " "}, "has no name"),
        ({"can": ("chatt",)}, r"can: [\s\S]*did you mean chat\?"),
        ({"takes": ("topp",)}, r"takes: [\s\S]*did you mean top_p\?"),
        ({"provider": "anthropic", "takes": ("seed",)}, "takes: the Anthropic client"),
        ({"concurrency": 0}, "concurrency is too small"),
        ({"key_variable": "sk-a-key"}, r"never the key[\s\S]*8 characters that are no name"),
        ({"most_reply_mib": float("nan")}, "most_reply_mib is too small"),
    ],
)
def test_settings_that_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Service(**{"provider": "openai", "model": "m", **given})


def test_a_key_goes_only_to_where_it_belongs(monkeypatch: pytest.MonkeyPatch, server: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the-real-key")
    model = trivium.load(f"openai:gpt-4o@{server.url}")
    model.generate("hello", max_new_tokens=5)
    assert "authorization" not in server.headers[0]
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match=r"export OPENAI_API_KEY"):
        trivium.load("openai:gpt-4o")


def test_what_only_weights_have(server: Any) -> None:
    name = f"openai:m@{server.url}"
    for given in ({"quantize": "nf4"}, {"adapter": "folder"}, {"dtype": "bfloat16"}, {"device": "cpu"}):
        with pytest.raises(Unsupported, match="its weights are not here"):
            trivium.load(name, **given)
