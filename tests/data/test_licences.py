"""Licences: one spelling, where they are found, and what is allowed."""

import pytest

from trivium.data.licences import as_stated, canonical, check_licences, licence_in_text, licence_of_readme
from trivium.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("MIT License", "MIT"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CC BY-NC 4.0", "CC-BY-NC-4.0"),
        ("cc0 1.0", "CC0-1.0"),
        ("cc0-1.0", "CC0-1.0"),
        ("gpl-3.0", "GPL-3.0-only"),
        ("odc-by", "ODC-By-1.0"),
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("gpl-2.0-or-later with classpath-exception-2.0", "GPL-2.0-or-later WITH Classpath-exception-2.0"),
        ("LicenseRef-Mine", "LicenseRef-Mine"),
        ("bsd", None),
        ("other", None),
        ("", None),
        ("mit mit", None),
        ("(" * 90 + "mit" + ")" * 90, "(" * 90 + "MIT" + ")" * 90),
        ("(" * 10_000 + "mit" + ")" * 10_000, None),
        ("__import__('os').system('true')", None),
    ],
)
def test_one_spelling(text: str, expected: str | None) -> None:
    assert canonical(text) == expected


def test_what_is_no_identifier_is_kept_as_it_stands() -> None:
    assert as_stated(" See\nterms of use ") == "See terms of use"
    assert as_stated("") == "unknown"
    assert len(as_stated("x" * 1_000_000)) == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#!/bin/sh\n# SPDX-License-Identifier: mit\n", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0-only OR mit */", "GPL-2.0-only OR MIT"),
        ("<!-- SPDX-License-Identifier: CC-BY-4.0 -->", "CC-BY-4.0"),
        ("x = 1\n" * 1000 + "# SPDX-License-Identifier: MIT", None),
        ("# SPDX-License-Identifier:   \n", None),
        ("nothing", None),
    ],
)
def test_the_tag_of_a_file(text: str, expected: str | None) -> None:
    assert licence_in_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nlanguage: en\nlicense: cc-by-sa-4.0\n---\n# Title", "CC-BY-SA-4.0"),
        ("---\nlicense:\n- mit\n- 'apache-2.0'\ntags: [a]\n---\n", "MIT AND Apache-2.0"),
        ('---\nlicense: ["mit", apache-2.0]  # two\n---\n', "MIT AND Apache-2.0"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: !!python/object/apply:os.system ['true']\n---\n", "!!python/object/apply:os.system ['true']"),
        ("---\ntitle: x\n---\nlicense: mit", None),
        ("license: mit", None),
        ("", None),
    ],
)
def test_the_card_of_a_folder(text: str, expected: str | None) -> None:
    assert licence_of_readme(text) == expected


def test_allowed_licences_pass() -> None:
    check_licences({"MIT": 3, "mit": 1, "GPL-3.0-only": 0}, ["mit"])
    check_licences({"GPL-3.0-only OR MIT": 3}, ["MIT"])
    check_licences({"MIT AND Apache-2.0": 3}, ["MIT", "apache-2.0"])
    check_licences({"MIT AND (GPL-3.0-only OR Apache-2.0)": 1}, ["MIT", "Apache-2.0"])
    check_licences({"GPL-2.0-only WITH Classpath-exception-2.0": 1}, ["GPL-2.0-only"])
    check_licences({"GPL-2.0-only WITH Classpath-exception-2.0": 1}, ["GPL-2.0-only WITH Classpath-exception-2.0"])
    # AND binds before OR.
    check_licences({"MIT OR GPL-3.0-only AND ISC": 1}, ["MIT"])


@pytest.mark.parametrize(
    ("found", "allowed"),
    [
        ("MIT AND Apache-2.0", "MIT"),
        ("GPL-3.0-only OR ISC", "MIT"),
        ("(MIT OR ISC) AND GPL-3.0-only", "MIT"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-or-later"),
        ("unknown", "MIT"),
        ("other", "MIT"),
    ],
)
def test_others_are_refused(found: str, allowed: str) -> None:
    with pytest.raises(DataError, match="not allowed"):
        check_licences({found: 1}, [allowed])


def test_refused_ones_are_named_with_their_counts() -> None:
    with pytest.raises(DataError, match=r": unknown: 1,200 documents; GPL-3\.0-only: 4 documents\n  expected: MIT"):
        check_licences({"MIT": 9, "GPL-3.0-only": 4, "unknown": 1200}, ["mit"])


def test_a_wrong_list_is_refused() -> None:
    with pytest.raises(ConfigError, match="no licence is allowed"):
        check_licences({"MIT": 1}, [])
    with pytest.raises(ConfigError, match=r"received: Apache-2\n(.|\n)*did you mean Apache-2\.0\?"):
        check_licences({"MIT": 1}, ["MIT", "Apache-2"])
