"""Killed or stopped at any point, a run loses no checkpoint and ends bit for bit where it would have."""

import pathlib

import pytest

from tests.training.kill import Job, assert_survives_kills, assert_survives_stops
from tests.training.toys import carried_job, causal_job


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_survives_kills(kills: int, tmp_path: pathlib.Path) -> None:
    assert_survives_kills(causal_job, tmp_path, kills)


def test_survives_kills_with_a_carried_state(tmp_path: pathlib.Path) -> None:
    assert_survives_kills(carried_job, tmp_path, 6)


@pytest.mark.parametrize("stops", [6, pytest.param(15, marks=pytest.mark.slow)])
@pytest.mark.parametrize("job", [causal_job, carried_job])
def test_survives_sigterm_at_any_phase(job: Job, stops: int, tmp_path: pathlib.Path) -> None:
    assert_survives_stops(job, tmp_path, stops)
