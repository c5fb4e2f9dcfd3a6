"""More pieces for a model, through its recipe and verb: fewer tokens, the old text read nearly as before."""

import json
import pathlib

import pytest

import trivium
from trivium import tokenizers
from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.checkpoints.adapter_folder import save_adapter
from trivium.checkpoints.model_folder import load_model
from trivium.cli import main as cli
from trivium.errors import ConfigError, Unsupported
from trivium.lm.load import save
from trivium.lm.local import LocalModel
from trivium.lm.trace import trace
from trivium.models.llama import Llama, LlamaConfig
from trivium.recipes.extend import ExtendConfig, extend

ENGLISH = "the cat sat on the mat and the other cat sat on the other mat. " * 20
GERMAN = "die Katze saß auf der Matte und die andere Katze saß auf der anderen Matte. " * 20


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("base")
    tokenizer = tokenizers.train([ENGLISH], vocabulary_size=300)
    shape = LlamaConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        width=16,
        layers=1,
        heads=2,
        key_value_heads=2,
        inner_width=32,
        context_tokens=64,
    )
    save(LocalModel(Llama(shape), tokenizer), folder / "model")
    (folder / "english.txt").write_text(ENGLISH)
    (folder / "german.txt").write_text(GERMAN)
    return folder


def test_fewer_tokens_and_the_same_sense(base: pathlib.Path, tmp_path: pathlib.Path):
    german, english = base / "german.txt", base / "english.txt"
    told = extend(
        ExtendConfig(
            model=base / "model", text=(german,), pieces=20, measure=(german, english), output=tmp_path / "larger"
        )
    )
    assert told["pieces"] == 20
    new, old = told["measured"][str(german)], told["measured"][str(english)]
    assert new["tokens_per_word"]["after"] < 0.7 * new["tokens_per_word"]["before"]
    assert new["bytes_per_token"]["after"] > new["bytes_per_token"]["before"]
    assert old["tokens_per_word"]["after"] == pytest.approx(old["tokens_per_word"]["before"], rel=0.1)
    assert {"before", "after"} == set(old["bits_per_byte"])
    larger = trivium.load(tmp_path / "larger")
    assert larger.config.vocabulary_size == told["vocabulary_size"] == larger.tokenizer.vocabulary_size
    assert trace(tmp_path / "larger").state == "verified"
    assert larger.generate("die Katze", max_new_tokens=3)[0].token_ids


def test_on_the_command_line(base: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    words = ["extend", str(base / "model"), "--text", str(base / "german.txt"), "--pieces", "5"]
    assert cli.main([*words, "--output", str(tmp_path / "one")]) == 0
    said = capsys.readouterr()
    assert "5 new pieces" in said.out and "tokens per word" in said.out and "trivium finetune" in said.err
    assert cli.main([*words, "--output", str(tmp_path / "two"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pieces"] == 5


def test_what_is_refused(base: pathlib.Path, tmp_path: pathlib.Path):
    network = load_model(base / "model")
    attach(network, "mine", LoRAConfig(rank=2))
    save_adapter(tmp_path / "adapter", network, "mine", base=str(base / "model"))
    with pytest.raises(Unsupported, match=r"this is an adapter[\s\S]*trivium merge"):
        extend(ExtendConfig(model=tmp_path / "adapter", text=(base / "german.txt",)))
    with pytest.raises(ConfigError, match="no text"):
        ExtendConfig(model=base, text=())
    with pytest.raises(ConfigError, match="at least 1"):
        ExtendConfig(model=base, text=(base,), pieces=0)
