"""Real text in many languages and awkward text of every sort, to compare ids on."""

import re
import zipfile

import pytest

LANGUAGES = re.findall(
    r"\S+",
    """
    amh arb ben cmn_hans deu ell_monotonic eng fin fra heb hin hye jpn kat khm kor lao mya pes_1 pol rus swh tam tha
    tur urd vie yor
    """,
)

AWKWARD = {
    "empty": "",
    "one space": " ",
    "white space": "  x\n\n y \t\t z\r\n\r\n   \n end  ",
    "unicode spaces": "a\u00a0b\u2003c\u3000d\u2028e\u200be\ufefff",
    "controls": "a\x00b\x01\x1bc\x7fd\x85e\u200ef",
    "joined emoji": "👩‍👩‍👧‍👦 👍🏽 🇺🇳 ❤️ 🏳️‍🌈!",
    "combining marks": "e\u0301a\u0328\u0301 n\u0303 Z\u0351\u036b\u0343a\u0363lgo \u0301alone",
    "right to left": "‏שלום, עולם! \u202bمرحبا\u202c 123 abc",
    "code": "def f(x):\n    return {'a': x**2, \"b\": [1, 2.5e-3]}  # ok\n",
    "contractions": "I'm you'LL we'Ve it'ſ 'tis don't DON'T",
    "numbers": "1 12 123 1234567 ٣٤٥ ½ Ⅷ 3.14159 1,000,000",
    "wide letters": "Ｆｕｌｌ ｗｉｄｔｈ ﬁ ﬃ ǆ İ ı ß ẞ ﷺ",
    "very long word": "Donaudampfschifffahrt" * 40 + " " + "x" * 5000,
    "rare planes": "𐍈 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𒀀 \U000e0041 \ufdd1 \uffff",
}

BROKEN = {
    "replaced": b"caf\xe9 \xff\xfe \xe2\x82 end".decode("utf-8", "replace"),
    "escaped": b"caf\xe9 \xff\xfe \xe2\x82 end".decode("utf-8", "surrogateescape"),
    "lone halves": "a\ud83d b\ude42 c",
}


@pytest.fixture(scope="session")
def language_texts(shared_data) -> dict[str, str]:
    """The beginning of the Universal Declaration of Human Rights in 28 languages."""
    with zipfile.ZipFile(shared_data / "udhr" / "udhr2.zip") as archive:
        return {name: archive.read(f"udhr2/{name}.txt").decode("utf-8")[:1200] for name in LANGUAGES}


@pytest.fixture(scope="session")
def reference_texts(language_texts) -> dict[str, str]:
    """Those and the awkward ones, without lone surrogates, which other programs refuse."""
    return {**language_texts, **AWKWARD, "replaced": BROKEN["replaced"]}


@pytest.fixture(scope="session")
def training_texts(shared_data) -> list[str]:
    """A little news in four languages."""
    names = ("src.eng", "ref.deu", "ref.rus", "ref.ell")
    return [(shared_data / "ntrex" / f"newstest2019-{n}.txt").read_text(encoding="utf-8")[:30_000] for n in names]
