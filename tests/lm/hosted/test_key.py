"""Keys: where they come from, and that they do not show."""

import copy
import pathlib
import pickle

import pytest

from trivium.errors import ConfigError, StorageError
from trivium.lm.hosted.key import HIDDEN, Key, read_key

SECRET = "sk-proj-AbCdEfGh12345678"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Incorrect key {SECRET}.", f"Incorrect key {HIDDEN}."),
        (f"{SECRET}{SECRET}", f"{HIDDEN}{HIDDEN}"),
        (f"begins with {SECRET[:12]}", f"begins with {HIDDEN}"),
        (f"{SECRET[:10]}****{SECRET[-8:]}", f"{HIDDEN}****{HIDDEN}"),
        ("nothing of it, sk-proj", "nothing of it, sk-proj"),
        ("", ""),
    ],
)
def test_a_key_is_hidden_whole_and_in_parts(text: str, shown: str) -> None:
    assert Key(SECRET).hide(text) == shown


def test_a_key_is_hidden_in_other_spellings_and_in_parsed_replies() -> None:
    key = Key("a+b/c d=efgh")
    assert key.hide("a%2Bb%2Fc%20d%3Defgh YStiL2MgZD1lZmdo") == f"{HIDDEN} {HIDDEN}"
    assert Key(SECRET).hide_in({SECRET: [SECRET, 1, None, {"a": f"<{SECRET}>"}]}) == {
        HIDDEN: [HIDDEN, 1, None, {"a": f"<{HIDDEN}>"}]
    }
    assert Key("EMPTY").hide("it is EMPTY, not EMPT") == f"it is {HIDDEN}, not EMPT"
    assert Key("EMPTY").hide_in(["the box is EMPTY"]) == ["the box is EMPTY"]  # as an answer may say


def test_a_key_does_not_print_and_is_not_written() -> None:
    key = Key(SECRET)
    assert SECRET not in f"{key} {key!r} {[key]}"
    for write in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not written"):
            write(key)


def test_a_key_comes_from_a_variable_or_a_file_of_its_owner(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", f" {SECRET}\n")
    assert read_key("SOME_KEY", None, required=True).reveal() == SECRET
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    assert read_key("SOME_KEY_THAT_IS_NOT", file, required=False).reveal() == SECRET
    file.chmod(0o640)
    with pytest.raises(StorageError, match=r"others[\s\S]*0640[\s\S]*chmod 600"):
        read_key(None, file, required=True)
    with pytest.raises(StorageError, match="cannot be read"):
        read_key(None, tmp_path / "none", required=True)


def test_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    assert read_key("SOME_KEY", None, required=False) is None
    assert read_key(None, None, required=False) is None
    with pytest.raises(ConfigError, match=r"needs a key[\s\S]*export SOME_KEY"):
        read_key("SOME_KEY", None, required=True)
    (tmp_path / "empty").touch(0o600)
    with pytest.raises(ConfigError, match="needs a key"):
        read_key(None, tmp_path / "empty", required=False)


@pytest.mark.parametrize("secret", ["two words", "a\nheader: b", "schlüssel", "x" * 5000])
def test_what_cannot_be_a_key(secret: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "key"
    file.write_text(secret)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="cannot be a key") as caught:
        read_key(None, file, required=True)
    assert secret not in str(caught.value)
