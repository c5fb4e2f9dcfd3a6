"""Fixtures for every test: the public data, and one thread of computation a worker."""

import ctypes
import gc
import os
import pathlib
from collections.abc import Iterator

# Two pytest workers on two cores: more threads each would only fight. Set before torch is first imported.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# A test that would reach for a network fails at once instead of waiting.
for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.setdefault(_name, "1")

import hypothesis
import pytest
import torch
from jaxtyping import install_import_hook

# No example is too slow: how long one takes says as much of the machine.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def _modules_with_shapes() -> list[str]:
    """The modules that annotate the shapes of tensors."""
    files = sorted((REPOSITORY / "trivium").rglob("*.py"))
    shaped = [path.relative_to(REPOSITORY).with_suffix("") for path in files if b"jaxtyping" in path.read_bytes()]
    return [".".join(path.parts) for path in shaped]


# Their functions are checked with beartype while tests run, and only then. A checked call costs some 100 us, so what
# reads text character by character, and has no shapes, is left to the static checker. An int passes for a float;
# beartype cannot check typing.Self a method by itself, so that goes unchecked.
install_import_hook(
    _modules_with_shapes(),
    "beartype.beartype(conf=beartype.BeartypeConf("
    "is_pep484_tower=True, hint_overrides=beartype.FrozenDict({beartype.typing.Self: object})))",
)


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What imports and collection have made stays to the end: the collections of garbage to come pass over it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _freed_memory_is_given_back() -> Iterator[None]:
    """A training run has glibc keep what is freed (`trivium.runtime.allocator`). That came to gigabytes a worker, whose
    tables of pages every process that a test forks copies.
    """
    yield
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)


@pytest.fixture(autouse=True)
def _one_seed_a_test() -> None:
    """A test's random numbers do not depend on which tests ran before it."""
    # `torch.manual_seed` notes the stack for a GPU that is not yet in use: half a millisecond, before every test.
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)
    torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """The root of the working tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of public data sets: TRIVIUM_SHARED, or shared/data beside the repository."""
    folder = pathlib.Path(os.environ.get("TRIVIUM_SHARED", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"NO PUBLIC DATA at {folder}: set TRIVIUM_SHARED to the folder that holds tinyshakespeare/ and others"
        )
    return folder


def pytest_terminal_summary(terminalreporter, exitstatus: int, config: pytest.Config) -> None:
    """A skip for want of data is no pass: it is said at the end, not only in the counts."""
    skipped = [report for report in terminalreporter.getreports("skipped") if "NO PUBLIC DATA" in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests were NOT RUN: no public data (see TRIVIUM_SHARED)", red=True)
