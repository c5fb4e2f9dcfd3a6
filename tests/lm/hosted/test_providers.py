"""The table: what each family can do and takes, and how that is overruled."""

import pytest

from trivium.generation.settings import GenerationSettings
from trivium.lm.hosted.providers import CAPABILITIES, PROVIDERS
from trivium.lm.hosted.service import Service

CHAT = {"generate", "stream", "chat"}


@pytest.mark.parametrize(
    ("name", "can", "takes", "continues"),
    [
        ("openai:gpt-4o-mini", {*CHAT, "images"}, {"temperature", "top_p", "seed", "stop", "n"}, False),
        ("openai:gpt-4-0613", CHAT, {"temperature"}, False),
        ("openai:gpt-4.1", {*CHAT, "images"}, {"temperature"}, False),
        ("openai:gpt-5-mini", {*CHAT, "images"}, {"seed", "n"}, False),
        ("openai:o3", {*CHAT, "images"}, {"seed", "n"}, False),
        ("openai:text-embedding-3-small", {"embed"}, set(), False),
        ("openai:davinci-002", {"generate", "stream", "score"}, {"temperature"}, True),
        ("openai:gpt-3.5-turbo-instruct", {"generate", "stream"}, {"temperature"}, True),
        ("anthropic:claude-3-5-haiku-20241022", {*CHAT, "images"}, {"temperature", "top_k", "stop"}, False),
        ("anthropic:claude-opus-4-20250514", {*CHAT, "images"}, {"temperature"}, False),
        ("anthropic:claude-sonnet-4-5", {*CHAT, "images"}, {"temperature"}, False),
        ("anthropic:claude-opus-4-6", {*CHAT, "images"}, {"temperature"}, False),
        ("anthropic:claude-opus-4-7", {*CHAT, "images"}, {"stop"}, False),
        ("anthropic:claude-sonnet-5", {*CHAT, "images"}, {"stop"}, False),
        ("gemini:gemini-2.5-flash", {*CHAT, "images"}, {"temperature", "n"}, False),
        ("gemini:gemini-embedding-001", {"embed"}, set(), False),
        ("cohere:command-r-plus", CHAT, {"temperature", "seed"}, False),
        ("cohere:embed-v4.0", {"embed"}, set(), False),
        ("vllm:any", {*CHAT, "images", "embed", "score"}, {"temperature", "min_p", "top_k"}, True),
    ],
)
def test_families(name: str, can: set[str], takes: set[str], continues: bool) -> None:
    provider, _, model = name.partition(":")
    published = Service(provider=provider, model=model).published
    assert published.can == can
    assert takes <= set(published.takes)
    if "temperature" not in takes and can != {"embed"}:
        assert "temperature" not in published.takes
    assert published.continues is continues


def test_the_table_speaks_of_settings_and_capabilities_that_there_are() -> None:
    settings = set(GenerationSettings.__dataclass_fields__)
    for provider in PROVIDERS.values():
        assert provider.can <= CAPABILITIES
        assert set(provider.takes) <= settings
        for family in provider.families:
            assert (family.can or frozenset()) <= CAPABILITIES
            assert (family.takes or frozenset()) <= set(provider.takes)


def test_settings_overrule_the_table() -> None:
    service = Service(provider="openai", model="gpt-5", takes=("temperature",), can=("chat",))
    assert (set(service.published.takes), service.published.can) == ({"temperature"}, {"chat"})


def test_another_address_is_another_model() -> None:
    elsewhere = Service(provider="openai", model="gpt-5", base_url="https://example.org/v1")
    assert "temperature" in elsewhere.published.takes
    assert elsewhere.key_place is None
    assert elsewhere.published.longest == "max_tokens"
    assert Service(provider="openai", model="gpt-5").published.longest == "max_completion_tokens"
