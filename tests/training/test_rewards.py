"""A reward that misbehaves is caught where it does, with the answer it was asked about."""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from trivium.errors import ConfigError, DataError, Interrupted, TriviumError, Unsupported, UserError
from trivium.training.rewards import CheckedReward, Reward, RewardFault, RewardUnavailable, SummedReward

PROMPTS = ["first prompt", "second prompt", "third prompt"]
ANSWERS = ["one", "two", "three"]


def lengths(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    return [float(len(answer)) for answer in answers]


def instead(value: Any, of: str = "two") -> Reward:
    """The reward that gives `value` for one answer."""
    return lambda prompts, answers: [value if answer == of else 1.0 for answer in answers]


def raising(error: Exception, of: str = "two") -> Reward:
    """The reward that raises as soon as one answer is among those it is asked for."""

    def reward(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        if of in answers:
            raise error
        return [1.0] * len(answers)

    return reward


def short(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """Forgets the answer "two"."""
    return [1.0 for answer in answers if answer != "two"]


def test_what_is_a_number_is_handed_on() -> None:
    assert CheckedReward(lengths)(PROMPTS, ANSWERS) == [3.0, 3.0, 5.0]
    assert CheckedReward(lengths)([], []) == []


@pytest.mark.parametrize(
    "value",
    [0, 0.0, True, Fraction(1, 4), np.float32(0.25), np.int64(2), np.bool_(True), np.array(0.5), torch.tensor(0.5)],
    ids=repr,
)
def test_every_kind_of_number_is_one(value: Any) -> None:
    found = CheckedReward(instead(value))(PROMPTS, ANSWERS)
    assert found == [1.0, float(value), 1.0] and all(type(number) is float for number in found)


@pytest.mark.parametrize("made", [tuple, np.array, torch.tensor])
def test_every_kind_of_list_is_one(made: Callable[[list[float]], Any]) -> None:
    assert CheckedReward(lambda prompts, answers: made([0.5, 0.0, -2.0]))(PROMPTS, ANSWERS) == [0.5, 0.0, -2.0]


FAULTS = {
    "nan": (instead(math.nan), "nan"),
    "infinite": (instead(-math.inf), "-inf"),
    "beyond float64": (instead(10**400), "1000"),
    "none": (instead(None), "None"),
    "text": (instead("1.0"), "'1.0'"),
    "decimal": (instead(Decimal(1)), "Decimal"),
    "complex": (instead(1j), "1j"),
    "list": (instead([1.0]), "[1.0]"),
    "nan in a tensor": (lambda p, a: torch.tensor([math.nan if x == "two" else 1.0 for x in a]), "nan"),
    "a column": (lambda p, a: np.array([[math.nan] if x == "two" else [1.0] for x in a])[:, 0], "nan"),
    "raises": (raising(KeyError("mark")), "it raised KeyError: 'mark'"),
    "raises without words": (raising(AssertionError()), "it raised AssertionError"),
    "too few": (short, "0 values for 1 answer"),
    "no list": (lambda p, a: 1.0 if "two" in a else [1.0] * len(a), "float in place of a list"),
    "a generator": (lambda p, a: (1.0 for _ in a) if "two" in a else [1.0] * len(a), "generator in place of a list"),
    "a text for a list": (lambda p, a: "1" if "two" in a else [1.0] * len(a), "str in place of a list"),
}


@pytest.mark.parametrize(("reward", "told"), FAULTS.values(), ids=FAULTS)
def test_a_fault_stops_and_names_its_answer(reward: Reward, told: str) -> None:
    with pytest.raises(RewardFault) as caught:
        CheckedReward(reward, name="taste")(PROMPTS, ANSWERS)
    assert isinstance(caught.value, UserError)
    for words in ("the taste gave no number for answer 2 of 3", told, "'second prompt'", "'two'", "on_fault"):
        assert words in str(caught.value), words


@pytest.mark.parametrize(("reward", "told"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_left_out_by_choice_and_counted(reward: Reward, told: str) -> None:
    checked = CheckedReward(reward, on_fault="skip")
    assert checked(PROMPTS, ANSWERS) == [1.0, None, 1.0]
    assert checked(PROMPTS[2:], ANSWERS[2:]) == [1.0]
    assert (checked.asked, checked.skipped) == (4, 1)
    assert told in str(checked.last_fault) and "answer 2 of 3" in str(checked.last_fault)


def test_the_first_of_several_faults_is_named() -> None:
    with pytest.raises(RewardFault, match="answer 1 of 3"):
        CheckedReward(lambda prompts, answers: [math.nan] * len(answers))(PROMPTS, ANSWERS)
    with pytest.raises(RewardFault, match="answer 2 of 4"):
        CheckedReward(raising(ValueError("no")))(["a", "b", "c", "d"], ["one", "two", "two", "one"])


def test_what_the_reward_raised_is_the_cause() -> None:
    wrong = ZeroDivisionError("no words")
    with pytest.raises(RewardFault) as caught:
        CheckedReward(raising(wrong))(PROMPTS, ANSWERS)
    assert caught.value.__cause__ is wrong
    with pytest.raises(RewardFault) as caught:
        CheckedReward(raising(wrong), on_fault="skip")(["b"], ["two"])
    assert caught.value.__cause__ is wrong


def test_a_long_text_is_shown_by_its_beginning() -> None:
    with pytest.raises(RewardFault) as caught:
        CheckedReward(instead(None, of="z" * 900))(["a\nb" * 300], ["z" * 900])
    message = str(caught.value)
    assert "z" * 60 in message and "z" * 100 not in message and r"a\nba" in message and len(message) < 500


def test_all_left_out_is_an_error() -> None:
    checked = CheckedReward(lambda prompts, answers: [math.nan] * len(answers), on_fault="skip")
    with pytest.raises(RewardFault, match="any of 3 answers") as caught:
        checked(PROMPTS, ANSWERS)
    assert "'first prompt'" in str(caught.value)


def too_many(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """As a network does that has room for two at once."""
    if len(answers) > 2:
        raise RuntimeError("out of memory")
    return lengths(prompts, answers)


def test_answers_that_fail_only_together() -> None:
    with pytest.raises(RewardFault, match="3 answers together, and for none of them alone") as caught:
        CheckedReward(too_many)(PROMPTS, ANSWERS)
    assert "out of memory" in str(caught.value) and isinstance(caught.value.__cause__, RuntimeError)
    assert CheckedReward(too_many, on_fault="skip")(PROMPTS, ANSWERS) == [3.0, 3.0, 5.0]


def test_one_call_for_all_where_nothing_is_wrong() -> None:
    calls = []

    def reward(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        calls.append((list(prompts), list(answers)))
        return [0.0] * len(answers)

    CheckedReward(reward)(PROMPTS, ANSWERS)
    assert calls == [(PROMPTS, ANSWERS)]


def test_the_reward_cannot_change_what_was_asked() -> None:
    answers = list(ANSWERS)

    def clearing(prompts: list[str], answers: list[str]) -> list[float]:
        values = lengths(prompts, answers)
        answers.clear()
        return values

    assert CheckedReward(clearing)(PROMPTS, answers) == [3.0, 3.0, 5.0] and answers == ANSWERS


def test_empty_answers_are_handed_on_and_counted() -> None:
    checked = CheckedReward(lengths)
    assert checked(["a", "b", "c"], ["", " \n", "x"]) == [0.0, 2.0, 1.0]
    assert checked.empty == 2


def test_prompts_and_answers_are_as_many() -> None:
    with pytest.raises(DataError, match="3 prompts, 2 answers"):
        CheckedReward(lengths)(PROMPTS, ANSWERS[:2])


class Service:
    """Gone for the first calls, then there."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return lengths(prompts, answers)


def test_a_service_that_comes_back_is_waited_for() -> None:
    waits: list[float] = []
    service = Service(ConnectionRefusedError("refused"), TimeoutError("silent"), OSError("no route"))
    checked = CheckedReward(service, attempts=4, first_wait_s=0.5, sleep=waits.append)
    assert checked(PROMPTS, ANSWERS) == [3.0, 3.0, 5.0]
    assert waits == [0.5, 1.0, 2.0] and service.calls == 4


@pytest.mark.parametrize("on_fault", ["stop", "skip"])
def test_a_service_that_stays_away_is_no_fault_of_an_answer(on_fault: Any) -> None:
    waits: list[float] = []
    service = Service(*[ConnectionResetError("reset by peer") for _ in range(9)])
    with pytest.raises(RewardUnavailable, match=r"taste could not be reached, tried 3 times: .*reset by peer"):
        CheckedReward(service, name="taste", on_fault=on_fault, sleep=waits.append)(PROMPTS, ANSWERS)
    assert service.calls == 3 and waits == [2.0, 4.0]
    assert issubclass(RewardUnavailable, TriviumError) and not issubclass(RewardUnavailable, UserError)


def test_other_errors_of_a_service_can_be_named() -> None:
    class Gone(Exception):
        pass

    service = Service(Gone())
    assert CheckedReward(service, unavailable=(Gone,), sleep=lambda wait: None)(["a"], ["one"]) == [3.0]
    with pytest.raises(RewardFault, match="Gone"):
        CheckedReward(raising(Gone()))(PROMPTS, ANSWERS)


def test_a_service_that_vanishes_while_the_fault_is_looked_for() -> None:
    service = Service(ValueError("bad"), ConnectionError("gone"))
    with pytest.raises(RewardUnavailable):
        CheckedReward(service, on_fault="skip", attempts=1)(PROMPTS, ANSWERS)


def test_an_interruption_passes_through() -> None:
    with pytest.raises(Interrupted):
        CheckedReward(Service(Interrupted("stopped")), on_fault="skip")(PROMPTS, ANSWERS)


def test_what_is_about_no_answer_passes_through() -> None:
    """Left out one by one, the answers would hide that the machine cannot do it at all."""
    with pytest.raises(Unsupported, match="no sandbox"):
        CheckedReward(raising(Unsupported("no sandbox")), on_fault="skip")(PROMPTS, ANSWERS)


def test_a_sum_has_its_weights() -> None:
    summed = SummedReward([("length", 0.5, lengths), ("same", -1.0, lambda prompts, answers: [1.0] * len(answers))])
    assert isinstance(summed, Reward)
    assert CheckedReward(summed)(PROMPTS, ANSWERS) == [0.5, 0.5, 1.5]


def test_a_sum_says_which_part_gave_no_number() -> None:
    summed = SummedReward([("length", 0.5, lengths), ("taste", 1.0, instead(math.nan))])
    with pytest.raises(RewardFault, match="answer 2 of 3") as caught:
        CheckedReward(summed)(PROMPTS, ANSWERS)
    assert "taste: nan" in str(caught.value)
    assert CheckedReward(summed, on_fault="skip")(PROMPTS, ANSWERS) == [2.5, None, 3.5]
    with pytest.raises(RewardFault, match="reward taste gave no number for each answer"):
        CheckedReward(SummedReward([("taste", 1.0, short)]))(PROMPTS, ANSWERS)
    gone = SummedReward([("length", 1.0, lengths), ("taste", 1.0, Service(OSError()))])
    with pytest.raises(RewardUnavailable):
        CheckedReward(gone, attempts=1)(PROMPTS, ANSWERS)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first_wait_s": -1.0}])
def test_impossible_patience_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CheckedReward(lengths, **wrong)
