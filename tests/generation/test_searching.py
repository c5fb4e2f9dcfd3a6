"""Which settings go with which search."""

import math
from typing import Any

import pytest

from trivium.errors import ConfigError
from trivium.generation.searching import Search
from trivium.generation.settings import GenerationSettings


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"groups": 0}, "needs a group of beams"),
        ({"best_of": 0}, "best_of is a number of answers"),
        ({"groups": 2}, "differ by the diversity penalty"),
        ({"diversity_penalty": 0.5}, "differ by the diversity penalty"),
        ({"groups": 2, "diversity_penalty": -0.5}, "diversity_penalty is a weight"),
        ({"groups": 2, "diversity_penalty": math.nan}, "diversity_penalty is a weight"),
        ({"coverage_penalty": math.inf}, "coverage_penalty is a weight"),
        ({"contrastive_alpha": 1.1}, "contrastive_alpha is a weight"),
        ({"contrastive_alpha": math.nan}, "contrastive_alpha is a weight"),
    ],
)
def test_values_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        Search(**fields)
    assert told.value.received and told.value.expected and told.value.fix


@pytest.mark.parametrize(
    ("search", "others", "message"),
    [
        ({"groups": 2, "diversity_penalty": 0.5}, {"beams": 3}, r"shared out among the groups[\s\S]*set beams=4"),
        ({"groups": 2, "diversity_penalty": 0.5}, {}, "groups is a setting of a beam search"),
        ({"coverage_penalty": 0.5}, {}, "coverage_penalty is a setting of a beam search"),
        ({"contrastive_alpha": 0.6}, {}, r"contrastive search chooses[\s\S]*top_k=None"),
        ({"contrastive_alpha": 0.6}, {"top_k": 1}, r"contrastive search chooses[\s\S]*set top_k"),
        ({"contrastive_alpha": 0.6}, {"top_k": 4, "beams": 2}, r"contrastive search chooses[\s\S]*set beams=1"),
        ({"contrastive_alpha": 0.6}, {"top_k": 4, "temperature": 1.0}, r"contrastive search chooses[\s\S]*leave temp"),
        ({"best_of": 2}, {"n": 3, "temperature": 1.0}, r"fewer answers are sampled[\s\S]*set best_of=3"),
        ({"best_of": 2}, {}, r"all answers are the same[\s\S]*set temperature=1"),
        ({"best_of": 2}, {"beams": 2}, "all answers are the same"),
    ],
)
def test_combinations_that_make_no_sense_are_refused(
    search: dict[str, Any], others: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        GenerationSettings(max_new_tokens=1, search=Search(**search), **others)


def test_combinations_that_make_sense() -> None:
    for search, others in (
        (Search(groups=2, diversity_penalty=0.5, coverage_penalty=0.2, early_stopping=None), {"beams": 4, "n": 4}),
        (Search(contrastive_alpha=1.0), {"top_k": 2}),
        (Search(best_of=3), {"n": 3, "temperature": 0.5}),
    ):
        assert GenerationSettings(max_new_tokens=1, search=search, **others).search is search
