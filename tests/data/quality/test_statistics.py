"""The figures that rules judge by, worked out by hand."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bounded import computing_at_most
from trivium.data.quality.statistics import measure
from trivium.data.quality.words import ends_finished, number_of_words, pieces

SHARES = (
    "without_alphabet_share",
    "alphabetic_share",
    "bullet_lines_share",
    "ellipsis_lines_share",
    "finished_lines_share",
    "short_lines_share",
    "duplicate_lines_share",
    "duplicate_lines_characters_share",
    "duplicate_paragraphs_share",
    "duplicate_paragraphs_characters_share",
)


def test_every_figure_of_a_small_text() -> None:
    # 6 lines of 20, 8, 20, 8, 17 and 40 characters; 3 paragraphs, the second of which stood before.
    text = (
        "The cat sat, to wit.\n- 1 or 2\n"
        "\n"
        "The cat sat, to wit.\n- 1 or 2\n"
        "\n"
        "  And so on, #3 ...\n"
        '"It was {Lorem} IPSUM," -- he said of it'
    )
    s = measure(text, ("the", "to", "of", "and"))
    assert s.characters == len(text) == 122
    # The, cat, sat, to, wit; 1, or, 2 (the dash is no word); twice. And, so, on, 3. It, was, Lorem, IPSUM, he, said,
    # of, it (the two dashes are no word).
    assert s.words == 2 * (5 + 3) + 4 + 8 == 28
    assert s.mean_word_characters == pytest.approx((2 * (14 + 4) + 8 + 25) / 28)
    assert s.alphabetic_share == pytest.approx((28 - 5) / 28)
    assert s.without_alphabet_share == 0 and s.pieces_a_word == 1
    assert s.stop_words == 4  # different ones, in any case
    assert s.hashes_per_word == pytest.approx(1 / 28)
    assert s.ellipses_per_word == pytest.approx(1 / 28)
    assert s.lines == 6
    assert s.bullet_lines_share == pytest.approx(2 / 6)
    assert s.ellipsis_lines_share == pytest.approx(1 / 6)
    assert s.finished_lines_share == pytest.approx(2 / 6)
    assert s.short_lines_share == pytest.approx(5 / 6)
    assert s.duplicate_lines_share == pytest.approx(2 / 6)
    assert s.duplicate_lines_characters_share == pytest.approx(28 / (2 * 28 + 17 + 40))
    assert s.duplicate_paragraphs_share == pytest.approx(1 / 3)
    assert s.duplicate_paragraphs_characters_share == pytest.approx(29 / (2 * 29 + 58))
    assert s.line_feeds_per_word == pytest.approx(7 / 28)
    assert s.sentences == 3  # two of "wit." and the ellipsis
    assert not s.lorem_ipsum
    assert s.curly_brackets == 1
    assert measure("lorem\nipsum LOREM Ipsum").lorem_ipsum


def test_nothing_has_no_shares() -> None:
    for text in ("", "\n", "...", " \n \n"):
        s = measure(text)
        assert s.words == 0
        assert s.mean_word_characters == 0
        assert s.repetition.top == (0, 0, 0)
        assert s.repetition.duplicate == (0,) * 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", 3),
        ("Version 3.14 of a.b is out.", 1),
        ('He said "no." She left (at last!) then.', 3),
        ("Wait... what?! Yes.", 3),
        ("今日は。明日は！ 終", 2),
        ("यह एक है। वह दो है।", 2),
        ("....................x", 0),
    ],
)
def test_sentences(text: str, expected: int) -> None:
    assert measure(text).sentences == expected


def test_scripts_without_spaces_count_letters() -> None:
    assert pieces("go 東京 now") == ["go", "東", "京", "now"]
    assert pieces("plain  text\n") == ["plain", "text"]
    assert pieces("བོད་སྐད་ x") == ["བོད", "སྐད", "x"] and pieces("ሰላም፡ለዓለም") == ["ሰላም", "ለዓለም"]
    chinese = measure("我们明天去北京看朋友。")
    assert (chinese.words, chinese.pieces_a_word, chinese.sentences) == (10, 1, 1)
    japanese = measure("東京タワーへ行く。")
    assert (japanese.words, japanese.pieces_a_word) == (4, 2)
    assert (japanese.without_alphabet_share, japanese.alphabetic_share) == (1, 1)
    thai = measure("กินข้าวที่บ้าน")
    assert (thai.words, thai.pieces_a_word, thai.sentences) == (4, 4, 1)
    assert (thai.without_alphabet_share, thai.alphabetic_share) == (1, 1)
    korean = measure("나는 집에 간다.")
    assert (korean.words, korean.pieces_a_word, korean.without_alphabet_share) == (3, 1, 1)
    mixed = measure("one two three 東京")
    assert (mixed.words, mixed.pieces_a_word, mixed.without_alphabet_share) == (5, 1, 0.4)
    assert mixed.mean_word_characters == pytest.approx(11 / 3)


def test_words_of_a_line_are_counted_in_its_script() -> None:
    assert number_of_words(pieces("ขอบคุณมากครับ")) == 4
    assert number_of_words(pieces("行く the end.")) == 3
    assert number_of_words(["a", "b"]) == 2 and number_of_words([]) == 0


@pytest.mark.parametrize("line", ["So.", "So?", 'He said "so"', "“So.”", "そう。", "كيف؟", "ไปบ้าน", "བོད།"])
def test_finished_lines(line: str) -> None:
    assert ends_finished(line)
    assert measure(line + "\nno end").finished_lines_share == 0.5


@pytest.mark.parametrize("line", ["So", "So...", "So…", "So,", "1)", ""])
def test_unfinished_lines(line: str) -> None:
    assert not ends_finished(line)


@given(st.text(alphabet=st.sampled_from("ab .#-!…\n京ก{\u0301") | st.characters(codec="utf-8"), max_size=300))
def test_shares_are_shares_whatever_the_text(text: str) -> None:
    s = measure(text, ("a", "b"))
    for name in SHARES:
        assert 0 <= getattr(s, name) <= 1, name
    assert all(0 <= share <= 1 for share in (*s.repetition.top, *s.repetition.duplicate))
    assert all(getattr(s, f.name) >= 0 for f in dataclasses.fields(s) if f.type in (int, float))


@pytest.mark.parametrize("unit", [".", "a", " ", "a ", "\n", "-\n", "京", '."', "…", "ก", "x\n \n", "#{"])
def test_a_megabyte_of_anything_does_not_take_for_ever(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    with computing_at_most(30):  # 0.01 to 1 s here; a second pass a character would take hours
        s = measure(text + "x")
    assert max(s.repetition.top) <= 1
