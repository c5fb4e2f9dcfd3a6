"""The error tree: exit codes, the four-part message, and survival across processes."""

import copy
import signal

import pytest

from trivium import errors


def test_message_lays_out_each_part_on_its_own_line():
    error = errors.UserError("the rate must be positive", received=-0.1, expected="above 0", fix="set --rate 0.001")
    assert str(error).splitlines() == [
        "the rate must be positive",
        "  received: -0.1",
        "  expected: above 0",
        "  fix:      set --rate 0.001",
    ]


def test_parts_without_a_value_are_left_out():
    assert str(errors.DataError("the file is empty", fix="give another")).splitlines() == [
        "the file is empty",
        "  fix:      give another",
    ]


def test_received_zero_and_false_are_shown():
    assert "received: 0" in str(errors.UserError("too few", received=0))
    assert "received: False" in str(errors.UserError("wrong", received=False))


def test_further_lines_of_a_part_stand_under_its_first():
    lines = str(errors.UserError("two ways", fix="this\nor that")).splitlines()
    assert lines[2].index("or that") == lines[1].index("this")


@pytest.mark.parametrize(
    "kind",
    [
        errors.ConfigError,
        errors.DataError,
        errors.TokenizerError,
        errors.CheckpointError,
        errors.StorageError,
        errors.Unsupported,
    ],
)
def test_user_errors_are_value_errors_that_exit_with_2(kind):
    assert issubclass(kind, errors.UserError)
    assert issubclass(kind, ValueError)
    assert kind("what").exit_code == 2


def test_failures_exit_with_1():
    assert errors.TriviumError("broken").exit_code == 1
    assert errors.NonFiniteError("the loss is NaN").exit_code == 1
    assert not issubclass(errors.NonFiniteError, errors.UserError)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruptions_exit_as_a_shell_expects(number, code):
    error = errors.Interrupted("saved at step 3", signal_number=number)
    assert (error.signal_number, error.exit_code) == (number, code)


def test_an_error_keeps_its_parts_when_rebuilt_in_another_process():
    error = errors.DataError("bad file", received="x", expected="y", fix="z")
    again = copy.copy(error)  # by the same __reduce__ that a process pool uses
    assert type(again) is errors.DataError
    assert str(again) == str(error)


def test_the_drawn_tree_names_every_error():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) == 10
    for kind in kinds:
        assert kind.__name__ in errors.__doc__
