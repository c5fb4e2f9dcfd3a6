"""`trivium doctor` says which layers there are, and of those that are missing why."""

import dataclasses

from trivium import sandbox
from trivium.cli import doctor
from trivium.runtime import machine


def test_the_survey_is_among_the_facts():
    assert doctor.examine(machine.describe(), None)["sandbox"] == dataclasses.asdict(sandbox.survey())


def test_in_words():
    held = sandbox.Survey(layers=("process", "seccomp"), missing={"mount_namespace": "Errno 1"}, usable=True)
    text = doctor._sandbox(dataclasses.asdict(held))
    assert text == "programs run behind process, seccomp\nno mount namespace: Errno 1"
    none = sandbox.Survey(layers=(), missing={}, usable=False)
    assert doctor._sandbox(dataclasses.asdict(none)) == "NO program is run; there are no layers"
