"""The peak rises with what is held, and is forgotten on request."""

import mmap
import pathlib

import pytest

from trivium.runtime.memory import forget_peak, peak_mib


@pytest.mark.skipif(not pathlib.Path("/proc/self/clear_refs").exists(), reason="only Linux can forget a peak")
def test_peak_is_seen_and_forgotten():
    forget_peak()
    before = peak_mib()
    # Anonymous pages and not a bytes object, which might be given memory that was freed before.
    with mmap.mmap(-1, 64 << 20) as held:
        held.write(b"x" * (64 << 20))
        assert peak_mib() > before + 60
    forget_peak()
    assert peak_mib() < before + 30
