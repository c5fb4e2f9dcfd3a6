"""Each rule of Gopher removes what it is for, and keeps the nearest text within its threshold."""

import itertools
import string

import pytest

from trivium.data.quality import GopherConfig
from trivium.data.quality.gopher import RepetitionConfig, judge
from trivium.data.quality.statistics import measure

CONFIG = GopherConfig()


def words(number: int, characters: int = 5) -> list[str]:
    """Different words of ``characters`` letters, none a stop word; the last in the alphabet, away from real ones."""
    letters = itertools.product(string.ascii_lowercase, repeat=3)
    return ["z" * (characters - 3) + "".join(three) for three in itertools.islice(letters, number)]


def prose(number: int) -> str:
    """``number`` words that break no rule: two stop words, and nothing twice."""
    return " ".join(["the", "of", *words(number - 2)])


def rule(text: str, config: GopherConfig = CONFIG, language: str | None = None) -> str | None:
    return judge(measure(text, config.stop_words), config, language).rule


def lines(number: int, marked: int, *, before: str = "", after: str = "") -> str:
    """``number`` lines of ten words each, of which the first ``marked`` have something ``before`` and ``after``."""
    parts = [" ".join(["the", "of", *words(8 * number)[8 * n : 8 * n + 8]]) for n in range(number)]
    return "\n".join(before + part + after if n < marked else part for n, part in enumerate(parts))


def test_the_thresholds_are_the_published_ones() -> None:
    assert (CONFIG.words_min, CONFIG.words_max) == (50, 100_000)
    assert (CONFIG.mean_word_characters_min, CONFIG.mean_word_characters_max) == (3, 10)
    assert (CONFIG.symbols_per_word_max, CONFIG.bullet_lines_max, CONFIG.ellipsis_lines_max) == (0.1, 0.9, 0.3)
    assert (CONFIG.alphabetic_words_min, CONFIG.stop_words_min) == (0.8, 2)
    assert set(CONFIG.stop_words) == {"the", "be", "to", "of", "and", "that", "have", "with"}
    assert RepetitionConfig() == RepetitionConfig(
        duplicate_lines_max=0.3,
        duplicate_paragraphs_max=0.3,
        duplicate_lines_characters_max=0.2,
        duplicate_paragraphs_characters_max=0.2,
        top_run_characters_max=(0.2, 0.18, 0.16),
        duplicate_run_characters_max=(0.15, 0.14, 0.13, 0.12, 0.11, 0.10),
    )


NEIGHBOURS = {
    "gopher: too few words": (prose(49), prose(50)),
    "gopher: too many number signs": (prose(60) + " #" * 7, prose(60) + " #" * 6),
    "gopher: too many ellipses": ("… " * 4 + "... " * 3 + prose(60), "… " * 3 + "... " * 3 + prose(60)),
    "gopher: too many bullets": (lines(20, 19, before="• "), lines(20, 18, before="• ")),
    "gopher: too many lines trail off": (lines(10, 4, after="..."), lines(10, 3, after="...")),
    "gopher: too few alphabetic words": (
        " ".join([prose(79), *map(str, range(100, 121))]),
        " ".join([prose(80), *map(str, range(100, 120))]),
    ),
    "gopher: words too short": (
        " ".join(["the", "and", *words(50, 3), "zz"]),
        " ".join(["the", "and", *words(50, 3), "zzz"]),
    ),
    "gopher: words too long": (
        " ".join(["the", "have", *words(49, 10), "z" * 24]),
        " ".join(["the", "have", *words(49, 10), "z" * 23]),
    ),
    "gopher: too few stop words": (
        " ".join(["the", "The", "the,", *words(60)]),
        " ".join(["The", "(of)", *words(60)]),
    ),
}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_rule_removes_its_text_and_keeps_the_neighbour(name: str) -> None:
    broken, kept = NEIGHBOURS[name]
    assert rule(broken) == name
    assert rule(kept) is None


def test_too_many_words() -> None:
    config = GopherConfig(words_max=60)
    assert rule(prose(60), config) is None
    assert rule(prose(61), config) == "gopher: too many words"


def test_duplicate_lines_and_paragraphs() -> None:
    long = [" ".join(["the of", *words(1000)[20 * n : 20 * n + 20]]) for n in range(30)]
    short = ["zz yy", "ww vv"]
    # 3 of 10 lines stood before: just kept. 4 of 13 are too many, however short.
    assert rule("\n".join([*long[:6], *[short[0]] * 4])) is None
    assert rule("\n".join([*long[:8], *[short[0]] * 5])) == "gopher: duplicate lines"
    paragraphs = "\n\n".join([*long[:8], *[f"{short[0]}\n{short[1]}"] * 6])
    assert rule(paragraphs) == "gopher: duplicate lines"
    # Lines of paragraphs are also lines, so the rule of paragraphs acts alone only where lines differ in number.
    lax = GopherConfig(repetition=RepetitionConfig(duplicate_lines_max=1))
    assert rule(paragraphs, lax) == "gopher: duplicate paragraphs"


def test_characters_in_duplicates() -> None:
    parts = [" ".join(["the of", *words(1000)[20 * n : 20 * n + 20]]) for n in range(9)]
    verdict = judge(measure("\n".join([*parts[:3], parts[0]]), CONFIG.stop_words), CONFIG)
    assert verdict.rule == "gopher: characters in duplicate lines"
    assert verdict.detail == "0.25, kept when <= 0.2"
    lax = GopherConfig(repetition=RepetitionConfig(duplicate_lines_characters_max=1))
    text = "\n\n".join([*parts[:3], parts[0]])
    assert rule(text, lax) == "gopher: characters in duplicate paragraphs"
    # One of six paragraphs: a sixth of the lines and characters passes those rules, and not those for runs of words.
    assert rule("\n\n".join([*parts[:5], parts[0]])) == "gopher: duplicate runs of 5 words"
    assert rule("\n\n".join(["the of", *parts[:9]])) is None


@pytest.mark.parametrize(("n", "most"), [(2, 0.2), (3, 0.18), (4, 0.16)])
def test_one_run_of_words_repeated(n: int, most: float) -> None:
    """Five letters a word: k occurrences of n words among 100 words are k * n hundredths of the characters."""
    run = ["zyxwv", "zyxwu", "zyxwt", "zyxws"][:n]

    def repeated(times: int) -> str:
        filler = iter(words(100 - n * times - 2))
        parts = ["which", "about"]
        for _ in range(times):
            parts += [*run, next(filler), next(filler)]
        return " ".join([*parts, *filler])

    config = GopherConfig(stop_words_min=0)
    over = round(most * 100) // n + 1
    assert rule(repeated(over), config) == f"gopher: one run of {n} words repeated"
    assert rule(repeated(over - 1), config) is None


@pytest.mark.parametrize(
    ("n", "most"), [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)], ids=lambda x: str(x)
)
def test_duplicate_runs_of_words(n: int, most: float) -> None:
    """A run of n words said twice is n words of the second saying: the text around decides the share."""
    run = words(700)[-n:]

    def twice(total: int) -> str:
        return " ".join([*run, "which", *run, *words(total - 2 * n - 1)])

    # A run of n words repeats its parts as well, so the rules for shorter runs are set aside.
    shares = tuple(1.0 if size != n else most for size in range(5, 11))
    repetition = RepetitionConfig(top_run_characters_max=(1, 1, 1), duplicate_run_characters_max=shares)
    config = GopherConfig(stop_words_min=0, words_min=0, repetition=repetition)
    most_words = n / most
    assert rule(twice(int(most_words - 1e-9)), config) == f"gopher: duplicate runs of {n} words"
    assert rule(twice(int(most_words) + 1), config) is None


def test_stop_words_are_for_their_language() -> None:
    german = " ".join(["der", "und", *words(60)])
    assert rule(german) == "gopher: too few stop words"
    assert rule(german, language="en") == "gopher: too few stop words"
    assert rule(german, language="de") is None
    own = GopherConfig(stop_words=("der", "die", "und"), stop_words_language="de")
    assert rule(german, own, language="de") is None
    assert rule(prose(60), own, language="de") == "gopher: too few stop words"
    assert rule(prose(60), own, language="en") is None


def test_scripts_without_spaces_have_no_length_of_words() -> None:
    # 100 different Han letters: words of one letter each, and all of them letters.
    text = "".join(chr(0x4E00 + n) for n in range(100))
    assert rule(text, language="zh") is None
    assert rule(text[:49], language="zh") == "gopher: too few words"
