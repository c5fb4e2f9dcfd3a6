"""Argument, else generation_config.json, else greedy; and every refusal."""

import dataclasses
import math
from typing import Any

import pytest

from trivium.errors import ConfigError, Unsupported
from trivium.generation.resolve import resolve
from trivium.generation.settings import PROCESSORS, Constraints, GenerationSettings, Search


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
        ({"top_p": -0.1}, "top_p is a share"),
        ({"top_p": 1.1}, "top_p is a share"),
        ({"top_p": math.nan}, "top_p is a share"),
        ({"min_p": 1.1}, "min_p is a share"),
        ({"min_p": math.nan}, "min_p is a share"),
        ({"typical_p": -1.0}, "typical_p is a share"),
        ({"typical_p": math.nan}, "typical_p is a share"),
        ({"repetition_penalty": 0.0}, "repetition penalty divides"),
        ({"repetition_penalty": math.nan}, "repetition penalty divides"),
        ({"repetition_penalty": math.inf}, "repetition penalty divides"),
        ({"frequency_penalty": math.nan}, "frequency_penalty is not a number"),
        ({"presence_penalty": -math.inf}, "presence_penalty is not a number"),
        ({"length_penalty": math.nan}, "length_penalty is not a number"),
        ({"n": 0}, "no answer is asked for"),
        ({"beams": 0}, "a search needs a beam"),
        ({"beams": 2, "n": 3}, "more answers are asked for than the search keeps"),
        ({"constraints": Constraints(min_new_tokens=2)}, "too short for its constraint min_new_tokens"),
        ({"constraints": Constraints(forced=(1, 2))}, "too short for its constraint forced"),
        ({"seed": -1}, "the seed is negative"),
        ({"stop": ("a", "")}, "an empty stop text"),
    ],
)
def test_values_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        GenerationSettings(**{"max_new_tokens": 1, **fields})
    assert told.value.received and told.value.expected and told.value.fix


def test_the_ends_of_every_range_are_in_it() -> None:
    for share in (0.0, 1.0):
        GenerationSettings(max_new_tokens=1, temperature=1.0, top_p=share, min_p=share, typical_p=share)


LAST = (*(name for name in PROCESSORS if name != "temperature"), "temperature")


def test_the_order_is_a_permutation_of_all_processors() -> None:
    assert GenerationSettings(max_new_tokens=1, order=LAST).order == LAST
    with pytest.raises(ConfigError, match=r"no processor 'tempurature'[\s\S]*did you mean temperature"):
        GenerationSettings(max_new_tokens=1, order=(*PROCESSORS, "tempurature"))
    with pytest.raises(ConfigError, match=r"every processor once[\s\S]*name top_k once"):
        GenerationSettings(max_new_tokens=1, order=(*PROCESSORS, "top_k"))
    with pytest.raises(ConfigError, match=r"every processor once[\s\S]*put typical_p in its place"):
        GenerationSettings(max_new_tokens=1, order=PROCESSORS[:-1])


FILE: dict[str, Any] = {
    "do_sample": True,
    "temperature": 0.6,
    "top_k": 20,
    "top_p": 0.9,
    "min_p": 0.1,
    "typical_p": 0.8,
    "repetition_penalty": 1.2,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.3,
    "length_penalty": 0.7,
    "stop_strings": ["END"],
    "no_repeat_ngram_size": 3,
}
CALL: dict[str, Any] = {
    "temperature": 0.5,
    "top_k": 2,
    "top_p": 0.2,
    "min_p": 0.3,
    "typical_p": 0.4,
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "length_penalty": 2.0,
    "stop": ("STOP",),
    "constraints": Constraints(banned=((1,),)),
    "search": Search(best_of=3),
    "order": LAST,
    "n": 2,
    "seed": 5,
    "eos_ids": (9,),
}


def test_every_argument_wins_over_the_file_and_the_file_over_the_default() -> None:
    from_file, plain = resolve(FILE, max_new_tokens=4), resolve({}, max_new_tokens=4)
    assert plain == GenerationSettings(max_new_tokens=4)
    for name in ("temperature", "top_k", "top_p", "min_p", "typical_p", "length_penalty", "repetition_penalty"):
        assert getattr(from_file, name) == FILE[name] != getattr(plain, name), name
    assert (from_file.frequency_penalty, from_file.presence_penalty, from_file.stop) == (0.1, 0.3, ("END",))
    assert from_file.constraints == Constraints(no_repeat_ngram=3)
    assert resolve(FILE, max_new_tokens=4, **CALL) == GenerationSettings(max_new_tokens=4, **CALL)


@pytest.mark.parametrize("name", ["top_k", "top_p", "min_p", "typical_p"])
def test_a_cut_off_without_a_temperature_asks_for_sampling(name: str) -> None:
    assert resolve({}, max_new_tokens=1, **{name: 1}).temperature == 1.0
    assert resolve({"do_sample": True, "temperature": 0.3}, max_new_tokens=1, **{name: 1}).temperature == 0.3
    assert resolve({}, max_new_tokens=1, temperature=0.0, **{name: 1}).greedy
    # What the file holds for sampling counts only where the file samples.
    assert resolve({"temperature": 0.3, "top_k": 7}, max_new_tokens=1, **{name: 1}).temperature == 1.0


BEAMS: dict[str, Any] = {
    "num_beams": 4,
    "num_beam_groups": 2,
    "diversity_penalty": 0.5,
    "length_penalty": 2.0,
    "early_stopping": True,
}


def test_a_beam_search_by_file_and_by_call() -> None:
    settings = resolve(BEAMS, max_new_tokens=3)
    assert (settings.beams, settings.length_penalty, settings.greedy) == (4, 2.0, True)
    assert settings.search == Search(groups=2, diversity_penalty=0.5, early_stopping=True)
    assert resolve(BEAMS | {"early_stopping": "never"}, max_new_tokens=3).search.early_stopping is None
    assert resolve({"num_beams": 2}, max_new_tokens=3).search == Search()
    assert resolve(BEAMS, max_new_tokens=3, beams=6, search=Search(coverage_penalty=0.1)).search.groups == 1
    assert resolve(BEAMS, max_new_tokens=3, length_penalty=0.0).length_penalty == 0.0


def test_a_call_that_asks_for_one_way_takes_nothing_of_another_from_the_file() -> None:
    sampled = resolve(BEAMS, max_new_tokens=3, temperature=0.7)
    assert (sampled.beams, sampled.search, sampled.temperature) == (1, Search(), 0.7)
    assert resolve(BEAMS, max_new_tokens=3, top_p=0.7).beams == 1
    assert resolve(BEAMS, max_new_tokens=3, beams=1).search == Search()
    searched = resolve(FILE, max_new_tokens=3, beams=3)
    assert (searched.greedy, searched.top_k, searched.min_p, searched.repetition_penalty) == (True, None, None, 1.2)
    assert resolve(BEAMS, max_new_tokens=3, temperature=0.0).beams == 4, "both are asked for"


def test_beams_and_sampling_together_are_refused_where_both_are_asked_for() -> None:
    for file, arguments in (
        (BEAMS | {"do_sample": True}, {}),
        ({}, {"beams": 2, "temperature": 0.5}),
        ({}, {"beams": 2, "top_k": 5}),
    ):
        with pytest.raises(Unsupported, match="a beam search does not sample"):
            resolve(file, max_new_tokens=1, **arguments)


def test_contrastive_search_takes_top_k_without_sampling() -> None:
    file = {"penalty_alpha": 0.6, "top_k": 4}
    settings = resolve(file, max_new_tokens=3)
    assert (settings.search.contrastive_alpha, settings.top_k, settings.greedy) == (0.6, 4, True)
    assert resolve(file, max_new_tokens=3, top_k=6).top_k == 6
    by_call = resolve(FILE, max_new_tokens=3, search=Search(contrastive_alpha=0.5), top_k=5)
    assert (by_call.greedy, by_call.top_k, by_call.top_p, by_call.beams) == (True, 5, None, 1)
    for way in ({"temperature": 0.5}, {"beams": 2}, {"top_p": 0.5}, {"search": Search()}):
        other = resolve(file, max_new_tokens=3, **way)
        assert (other.search.contrastive_alpha, other.top_k) == (0.0, None), way
    assert resolve(file | {"do_sample": True}, max_new_tokens=3).search == Search()


def test_a_misspelt_setting_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"no generation setting 'temprature'[\s\S]*did you mean temperature"):
        resolve({}, max_new_tokens=1, temprature=0.5)


def test_one_stop_text_may_be_given_bare() -> None:
    assert resolve({}, max_new_tokens=1, stop="END").stop == ("END",)
    assert resolve({}, max_new_tokens=1, stop=["a", "b"]).stop == ("a", "b")


def test_none_stands_for_nothing_asked() -> None:
    names = [field.name for field in dataclasses.fields(GenerationSettings) if field.name not in ("max_new_tokens",)]
    nothing = dict.fromkeys(set(names) - {"eos_ids"})
    assert resolve({}, max_new_tokens=4, **nothing) == GenerationSettings(max_new_tokens=4)
