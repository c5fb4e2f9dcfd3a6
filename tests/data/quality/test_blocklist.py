"""Listed words are found as words, in linear time, and shown masked."""

import pathlib

import pytest

from tests.bounded import computing_at_most
from trivium.data.quality.blocklist import Blocklist, judge, load_blocklist, mask
from trivium.errors import DataError

LIST = Blocklist(["Damn", "hot potato", "g-spot", "s&m", "🖕", "下贱", "sm女王", "sm", "कुत्ता", "été", "13."])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Well, DAMN!", "damn"),
        ("damnation goddamn", None),
        ("A hot\npotato.", "hot potato"),
        ("hot, potato; hotpotato", None),
        ("a g-spot.", "g - spot"),
        ("gas & mint, S&M", "s & m"),
        ("a 🖕 b", "🖕"),
        ("他很下贱的", "下贱"),
        ("彼はsmが", "sm"),
        ("prism smell", None),
        ("एक कुत्ता है", "कुत्ता"),
        ("कुत्तागाड़ी", None),
        ("l'e\u0301te\u0301 dernier", "été"),
        ("on 13. May", "13 ."),
        ("13 men", None),
        ("", None),
    ],
)
def test_find(text: str, word: str | None) -> None:
    assert LIST.find(text) == word


def test_the_word_is_masked() -> None:
    assert [mask(word) for word in ("damn", "abc", "ab", "a")] == ["d**n", "a*c", "a*", "a*"]
    verdict = judge("Well, damn.", LIST)
    assert (verdict.rule, verdict.detail) == ("blocklist", "d**n")
    assert judge("Well.", LIST).rule is None
    assert Blocklist([]).find("anything") is None


def test_files(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff# a comment\n\n spam \n#tag\n性\n", encoding="utf-8")
    blocklist = load_blocklist((str(path),))
    assert blocklist.find("Spam") == "spam"
    assert blocklist.find("a #tag") == "# tag"
    assert blocklist.find("comment") is None
    assert blocklist.find("可能性") is None  # in C4's list, and part of common words
    with pytest.raises(DataError, match="cannot be read"):
        load_blocklist((str(tmp_path / "none.txt"),))
    path.write_text("\n")
    load_blocklist.cache_clear()
    with pytest.raises(DataError, match="holds no word"):
        load_blocklist((str(path),))


def test_the_published_lists(shared_data: pathlib.Path) -> None:
    folder = shared_data / "badwords"
    everything = load_blocklist(tuple(str(path) for path in sorted(folder.glob("*.txt"))))
    for path in sorted(folder.glob("*.txt")):
        for word in path.read_text(encoding="utf-8").split("\n"):
            if word.strip() and word not in ("グロ", "女の子", "性"):
                assert everything.find(f"x {word} x"), (path.name, word)
    english = load_blocklist((str(folder / "en.txt"),))
    assert english.find("A scunthorpe class of cocktails passed the assembly in Essex.") is None


@pytest.mark.parametrize("unit", ["hot ", "hot", "下", "&", "a", "\u0301", "hot-"])
def test_a_megabyte_of_anything(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    with computing_at_most(20):  # 0.4 s at most here
        assert LIST.find(text) is None
