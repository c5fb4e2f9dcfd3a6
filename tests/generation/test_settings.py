"""Argument, else generation_config.json, else greedy; and every refusal."""

import math
from typing import Any

import pytest

from trivium.errors import ConfigError, Unsupported
from trivium.generation.settings import GenerationSettings, resolve, token_ids


@pytest.mark.parametrize(
    ("file", "arguments", "expected"),
    [
        ({}, {}, (0.0, None, None)),
        ({}, {"temperature": 0.5}, (0.5, None, None)),
        ({}, {"top_p": 0.9}, (1.0, None, 0.9)),
        ({}, {"temperature": 0.0, "top_p": 0.9}, (0.0, None, 0.9)),
        ({"temperature": 0.6, "top_p": 0.9}, {}, (0.0, None, None)),
        ({"do_sample": False, "temperature": 0.6}, {}, (0.0, None, None)),
        ({"do_sample": True}, {}, (1.0, None, None)),
        ({"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.9}, {}, (0.6, 20, 0.9)),
        ({"do_sample": True, "temperature": 0.6, "top_k": 20}, {"top_k": 5}, (0.6, 5, None)),
        ({"do_sample": True, "temperature": 0.6, "top_k": 20}, {"temperature": 0.0}, (0.0, None, None)),
        ({"do_sample": True, "top_k": 0, "temperature": None}, {}, (1.0, None, None)),
    ],
)
def test_precedence(file: dict[str, Any], arguments: dict[str, Any], expected: tuple) -> None:
    settings = resolve(file, max_new_tokens=4, **arguments)
    assert (settings.temperature, settings.top_k, settings.top_p) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_new_tokens": 0}, "nothing is to be generated"),
        ({"temperature": -0.1}, "temperature cannot be used"),
        ({"temperature": math.nan}, "temperature cannot be used"),
        ({"temperature": math.inf}, "temperature cannot be used"),
        ({"top_k": 0}, "top_k leaves no token"),
        ({"top_p": 0.0}, "top_p is a share"),
        ({"top_p": 1.1}, "top_p is a share"),
        ({"top_p": math.nan}, "top_p is a share"),
        ({"n": 0}, "no answer is asked for"),
        ({"seed": -1}, "the seed is negative"),
        ({"stop": ("a", "")}, "an empty stop text"),
    ],
)
def test_values_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GenerationSettings(**{"max_new_tokens": 1, **fields})


def test_a_setting_this_release_has_not_is_refused_unless_it_is_neutral() -> None:
    with pytest.raises(Unsupported, match=r"min_p is not supported[\s\S]*in the call"):
        resolve({}, max_new_tokens=1, min_p=0.1)
    message = r"repetition_penalty=1.2 in generation_config.json[\s\S]*pass repetition_penalty=1.0"
    with pytest.raises(Unsupported, match=message):
        resolve({"repetition_penalty": 1.2}, max_new_tokens=1)
    resolve({"repetition_penalty": 1.2}, max_new_tokens=1, repetition_penalty=1.0)
    resolve({"repetition_penalty": 1.0}, max_new_tokens=1, beams=1, length_penalty=1.0)


def test_a_misspelt_setting_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"no generation setting 'temprature'[\s\S]*did you mean temperature"):
        resolve({}, max_new_tokens=1, temprature=0.5)


def test_one_stop_text_may_be_given_bare() -> None:
    assert resolve({}, max_new_tokens=1, stop="END").stop == ("END",)
    assert resolve({}, max_new_tokens=1, stop=["a", "b"]).stop == ("a", "b")


def test_end_tokens_as_files_write_them() -> None:
    assert (token_ids(None), token_ids(0), token_ids([3, 4])) == ((), (0,), (3, 4))


@pytest.mark.parametrize(("name", "value"), [("temperature", "hot"), ("top_k", 2.5), ("top_p", "all"), ("top_k", True)])
def test_a_file_with_values_that_are_no_numbers_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"holds a {name} that cannot be used"):
        resolve({"do_sample": True, name: value}, max_new_tokens=1)
