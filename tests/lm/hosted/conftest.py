"""A server, a clock and models of it, for every test of services."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lm.hosted import serving as _serving
from tests.lm.hosted.serving import QUICK
from trivium.lm.hosted.model import HostedModel
from trivium.lm.hosted.retry import Patience
from trivium.lm.hosted.service import Service


@pytest.fixture
def serving() -> Any:
    """The module of scripts."""
    return _serving


@pytest.fixture
def server() -> Iterator[Any]:
    with _serving.serving() as running:
        yield running


@pytest.fixture
def clock() -> Any:
    return _serving.FakeClock()


@pytest.fixture
def make(server: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., HostedModel]:
    """A model behind the server: ``make(provider="openai", **settings)``."""
    monkeypatch.setenv("TEST_KEY", _serving.KEY)

    def made(provider: str = "openai", **settings: Any) -> HostedModel:
        at_test = {"base_url": server.url, "key_variable": "TEST_KEY", "concurrency": 1, "patience": Patience(**QUICK)}
        given = {"model": "m", **at_test, **settings}
        return HostedModel(Service(provider=provider, **given), clock=clock.clock)

    return made
