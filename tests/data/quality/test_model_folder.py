"""A saved model is the one that was saved, or a clear error."""

import json

import numpy as np
import pytest

from trivium.data.quality.model_folder import ABOUT, WEIGHTS, load_model, save_model
from trivium.errors import DataError


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "a", {"format": "x-1", "words": ["é"]}, {"a": np.arange(6, dtype=np.float32)[::2]})
    return tmp_path / "a"


def test_what_was_saved_comes_back_to_the_byte(folder, tmp_path):
    about, tensors = load_model(folder, "x-1")
    assert about["words"] == ["é"] and tensors["a"].tolist() == [0, 2, 4]
    sha256 = about.pop("sha256")
    save_model(tmp_path / "b", about, tensors)
    for name in (ABOUT, WEIGHTS):
        assert (folder / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert load_model(tmp_path / "b", "x-1")[0]["sha256"] == sha256


@pytest.mark.parametrize("harm", ["one bit", "no hash", "format", "list", "nested", "no folder", "a pickle"])
def test_what_was_altered_is_refused(folder, harm):
    about, weights = folder / ABOUT, folder / WEIGHTS
    if harm == "one bit":  # the file stays valid: only the hash tells
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x41")
    elif harm == "no hash":
        about.write_text(json.dumps({"format": "x-1"}))
    elif harm == "format":
        about.write_text(about.read_text().replace("x-1", "x-2"))
    elif harm == "list":
        about.write_text("[]")
    elif harm == "nested":
        about.write_text("[" * 100_000)
    elif harm == "no folder":
        about.unlink()
    else:
        weights.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(DataError, match="does not hold a model") as raised:
        load_model(folder, "x-1")
    assert str(folder) in str(raised.value)
