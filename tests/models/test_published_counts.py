"""The number of parameters that each paper gives, and what is counted here (recorded; test_table.py counts anew)."""

import pytest

from trivium.models.parameter_counts import PARAMETERS

PUBLISHED = [
    ("gpt3", "gpt3-small", 125e6, "Brown et al. 2020, table 2.1"),
    ("gpt3", "gpt3-medium", 350e6, "Brown et al. 2020, table 2.1"),
    ("gpt3", "gpt3-large", 760e6, "Brown et al. 2020, table 2.1"),
    ("gpt3", "gpt3-xl", 1.3e9, "Brown et al. 2020, table 2.1"),
    ("gpt3", "gpt3-2.7b", 2.7e9, "Brown et al. 2020, table 2.1"),
    ("gpt3", "gpt3-6.7b", 6.7e9, "Brown et al. 2020, table 2.1"),
    ("gpt3", "gpt3-13b", 13.0e9, "Brown et al. 2020, table 2.1"),
    ("gpt3", "gpt3-175b", 175.0e9, "Brown et al. 2020, table 2.1"),
    ("jurassic1", "j1-large", 7.5e9, "Lieber et al. 2021, table 1"),
    ("jurassic1", "j1-jumbo", 178e9, "Lieber et al. 2021, table 1"),
    ("gopher", "gopher-44m", 44e6, "Rae et al. 2021, table 1"),
    ("gopher", "gopher-117m", 117e6, "Rae et al. 2021, table 1"),
    ("gopher", "gopher-417m", 417e6, "Rae et al. 2021, table 1"),
    ("gopher", "gopher-1.4b", 1.4e9, "Rae et al. 2021, table 1"),
    ("gopher", "gopher-7.1b", 7.1e9, "Rae et al. 2021, table 1"),
    ("gopher", "gopher-280b", 280e9, "Rae et al. 2021, table 1"),
    ("gopher", "chinchilla-70b", 70e9, "Hoffmann et al. 2022, table 4"),
    ("lamda", "lamda-137b", 137e9, "Thoppilan et al. 2022, section 3"),
    ("megatron_turing", "mt-nlg-530b", 530e9, "Smith et al. 2022, section 3.2"),
    ("palm", "palm-8b", 8.63e9, "Chowdhery et al. 2022, table 1"),
    ("palm", "palm-62b", 62.50e9, "Chowdhery et al. 2022, table 1"),
    ("palm", "palm-540b", 540.35e9, "Chowdhery et al. 2022, table 1"),
    ("grok1", "grok-1", 314e9, "README of github.com/xai-org/grok-1"),
]
NOT_REPRODUCED = {"lamda": {"lamda-2b", "lamda-8b"}, "ernie3": {"ernie-3.0-10b"}}
"""Whose shape is not published in full; the files say what is missing."""


@pytest.mark.parametrize(("architecture", "size", "published", "source"), PUBLISHED, ids=lambda value: str(value))
def test_counts_are_within_two_percent_of_the_published(architecture: str, size: str, published: float, source: str):
    assert PARAMETERS[architecture][size] == pytest.approx(published, rel=0.02), source


def test_every_size_that_is_built_from_a_paper_alone_is_held_against_it() -> None:
    compared = {(architecture, size) for architecture, size, _, _ in PUBLISHED}
    for name in {architecture for architecture, _ in compared} | NOT_REPRODUCED.keys():
        missing = {size for size in PARAMETERS[name] if (name, size) not in compared}
        assert missing == NOT_REPRODUCED.get(name, set())
