"""Telling languages apart: on real sentences, on short and on hostile texts, and without unpickling anything."""

import pickle
import sys
import types
import zipfile

import pytest

from trivium.data.quality import language
from trivium.data.quality.language import excerpts, identify
from trivium.errors import ConfigError, Unsupported

pytest.importorskip("py3langid")

NEWS = {
    "arb": "ar", "ben": "bn", "deu": "de", "ell": "el", "eng": "en", "fin": "fi", "fra": "fr", "hau": "ha", "hin": "hi",
    "isl": "is", "ita": "it", "jpn": "ja", "kor": "ko", "nld": "nl", "pol": "pl", "por": "pt", "rus": "ru", "spa": "es",
    "swa": "sw", "tur": "tr", "ukr": "uk", "vie": "vi", "zho-CN": "zh",
}  # fmt: skip
RIGHTS = {
    "afr": "af", "amh": "am", "bel": "be", "bul": "bg", "cat": "ca", "ces": "cs", "cym": "cy", "dan": "da", "est": "et",
    "eus": "eu", "gle": "ga", "glg": "gl", "guj": "gu", "heb": "he", "hrv": "hr", "hun": "hu", "hye": "hy", "ind": "id",
    "kan": "kn", "kat": "ka", "khm": "km", "lao": "lo", "lat": "la", "lav": "lv", "lit": "lt", "mal": "ml", "mkd": "mk",
    "mlt": "mt", "mya": "my", "nno": "nn", "nob": "no", "pan": "pa", "ron": "ro", "slk": "sk", "slv": "sl", "swe": "sv",
    "tam": "ta", "tha": "th", "yor": "yo", "zul": "zu",
}  # fmt: skip
ENGLISH = "The committee will meet on Thursday to discuss the results of the survey and what should be done next. "
GERMAN = "Der Ausschuss trifft sich am Donnerstag, um die Ergebnisse der Umfrage und das weitere Vorgehen zu beraten. "


@pytest.fixture
def fresh_model():
    """The test loads the model itself, and leaves none that it altered."""
    language._identifier.cache_clear()
    yield
    language._identifier.cache_clear()


def test_sentences_of_news_in_23_languages(shared_data):
    right = total = 0
    for path in sorted((shared_data / "ntrex").glob("newstest2019-*.txt")):
        expected = NEWS[path.name.split(".")[1]]
        for line in path.read_text(encoding="utf-8").splitlines()[:20]:
            code, probability = identify(line)
            assert 0 < probability <= 1 + 1e-6
            right += code == expected
            total += 1
    assert total == 20 * len(NEWS)
    assert right / total > 0.98  # 0.994 over 300 lines of each


def test_the_declaration_of_human_rights_in_40_more(shared_data):
    with zipfile.ZipFile(shared_data / "udhr" / "udhr2.zip") as archive:
        found = {name: identify(archive.read(f"udhr2/{name}.txt").decode("utf-8"))[0] for name in RIGHTS}
    assert {name: code for name, code in found.items() if code != RIGHTS[name]} == {}


@pytest.mark.parametrize("text", ["", " \n", "ok", "12345 67", "!!!!", "\U0001f44d" * 3, "\ud800"])
def test_what_nobody_could_tell_is_undetermined(text):
    code, probability = identify(text)
    assert code == "und" and 0 <= probability < 0.5


def test_the_threshold_is_the_callers():
    text = "The cat sat."
    _, probability = identify(text)
    assert identify(text)[0] == "und"
    assert identify(text, minimum_probability=probability)[0] != "und"


def test_probabilities_are_over_all_languages_and_add_up():
    code, probability = identify(ENGLISH * 40 + GERMAN * 40, minimum_probability=0)
    assert code in ("en", "de") and probability == pytest.approx(0.5, abs=0.05)
    assert identify(ENGLISH * 40)[1] == pytest.approx(1, abs=1e-3)


def test_a_quotation_in_the_middle_does_not_change_the_document():
    code, probability = identify(ENGLISH * 60 + GERMAN * 20 + ENGLISH * 60)
    assert code == "en" and 0.7 < probability < 0.95


def test_dialects_with_a_code_of_three_letters_are_folded_into_the_language_of_two():
    assert identify("佢哋喺香港住咗好耐，而家唔知點算好，你話呢")[0] == "zh"


def test_languages_that_are_never_answered_are_refused():
    language.check_languages(("en", "zh", "zxx", "de"))
    for unknown in ("yue", "eng", "English", "xx", ""):
        with pytest.raises(ConfigError, match="cannot be identified") as raised:
            language.check_languages(("en", unknown))
        assert raised.value.received == unknown and " zh" in raised.value.expected


def test_lone_surrogates_do_no_harm():
    assert identify("\udc80" + ENGLISH)[0] == "en"


def test_of_a_long_text_a_bounded_part_is_looked_at(monkeypatch):
    seen = []
    monkeypatch.setattr(
        language,
        "_identifier",
        lambda: types.SimpleNamespace(rank=lambda piece: seen.append(len(piece)) or [("en", 1.0)]),
    )
    assert identify("x" * 10_000_000) == ("en", 1.0)
    assert sum(seen) == 4096 and len(seen) == 8


def test_excerpts_are_spread_from_the_first_character_to_the_last():
    text = "".join(chr(0x4E00 + number) for number in range(1000))
    found = list(excerpts(text, 4, 10))
    assert [text.index(piece) for piece in found] == [0, 330, 660, 990]
    assert all(len(piece) == 10 for piece in found)
    assert list(excerpts(text, 4, 250)) == [text] and list(excerpts("", 4, 10)) == []


@pytest.mark.usefixtures("fresh_model")
def test_the_model_is_read_without_unpickling(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert identify(ENGLISH)[0] == "en"


@pytest.mark.usefixtures("fresh_model")
def test_a_release_that_unpickles_its_model_is_refused(monkeypatch):
    old = types.ModuleType("py3langid.langid")
    old.MODEL_FILE, old.LanguageIdentifier = "data/model.plzma", None
    monkeypatch.setitem(sys.modules, "py3langid.langid", old)
    with pytest.raises(Unsupported, match="pickle"):
        identify(ENGLISH)


@pytest.mark.usefixtures("fresh_model")
def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(Unsupported, match=r"trivium-lm\[data\]"):
        identify(ENGLISH)
