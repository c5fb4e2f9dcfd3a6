"""A folder as Helsinki-NLP publishes them (opus-mt): loaded, it translates as `transformers` does, and goes back."""

import json
import pathlib
import shutil
from typing import Any

import pytest
import torch
import transformers

import trivium
from tests.tokenizers.opus import captions, write_tokenizer
from trivium.errors import CheckpointError, TokenizerError
from trivium.recipes.evaluate_translation import teacher_forced

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

# What opus-mt-en-de's generation_config.json says, but for the ids.
STATED: dict[str, Any] = {"num_beams": 4, "max_length": 512, "bos_token_id": 0, "eos_token_id": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shared_data) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("opus-mt-en-de")
    pad = len(write_tokenizer(folder, shared_data)) - 1
    config = transformers.MarianConfig(
        vocab_size=pad + 1, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=128,
        activation_function="swish", scale_embedding=True, pad_token_id=pad, decoder_start_token_id=pad,
        bos_token_id=0, eos_token_id=0, forced_eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(3)
    model = transformers.MarianMTModel(config)
    for name, parameter in model.named_parameters():
        if "embed_positions" not in name:
            parameter.data += 0.3 * torch.randn_like(parameter)
    model.final_logits_bias += torch.randn_like(model.final_logits_bias)
    with torch.no_grad():  # the end is the best choice at one place in ten: some answers end, and some are ended
        source, target = torch.randint(1, pad, (2, 16, 14))
        logits = model.eval()(input_ids=source, decoder_input_ids=target).logits
        short = logits[..., 1:].amax(-1) - logits[..., 0]
    model.final_logits_bias[0, 0] += short.flatten().quantile(0.1)
    model.final_logits_bias[0, pad] += 40  # which only the file's bad words keep out
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(stated(pad)))
    return folder


def stated(pad: int, **changes: Any) -> dict[str, Any]:
    ids = {"bad_words_ids": [[pad]], "decoder_start_token_id": pad, "pad_token_id": pad, "forced_eos_token_id": 0}
    return STATED | ids | changes


def translated(folder: pathlib.Path, texts: list[str], **settings: Any) -> tuple[list[list[int]], list[str]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.MarianMTModel.from_pretrained(folder).eval()
    rows = model.generate(**tokenizer(texts, return_tensors="pt", padding=True), max_new_tokens=14, **settings)
    ids = [[token for token in row if token != tokenizer.pad_token_id] for row in rows[:, 1:].tolist()]
    return ids, tokenizer.batch_decode(rows, skip_special_tokens=True)


@pytest.mark.parametrize("beams", [1, None, 5])
def test_translations_equal_those_of_transformers(beams: int | None, folder, shared_data) -> None:
    texts = [*captions(shared_data, "test_2016_flickr.en")[:12], ">>deu<< A man runs.", "中 A dog"]
    ids, written = translated(folder, texts, **({} if beams is None else {"num_beams": beams}))
    model = trivium.load(folder)
    answers = model.generate(texts, max_new_tokens=14, beams=beams)
    assert answers[0].settings.beams == (beams or 4)
    assert [answer.token_ids for answer in answers] == ids
    assert [answer.text for answer in answers] == written
    assert len({len(row) for row in ids}) > 1, "some end, and some are ended"
    assert all(row[-1] == 0 for row in ids), "the file's forced_eos_token_id"
    assert model.tokenizer.pad_id not in {token for row in ids for token in row}, "the file's bad_words_ids"


def test_an_old_folder_says_in_its_configuration_how_to_translate(folder, tmp_path, shared_data) -> None:
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    said = json.loads((old / "generation_config.json").read_text())
    (old / "generation_config.json").unlink()
    config = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps(config | said))
    texts = captions(shared_data, "test_2016_flickr.en")[:6]
    ids = [answer.token_ids for answer in trivium.load(old).generate(texts, max_new_tokens=14)]
    assert ids == [answer.token_ids for answer in trivium.load(folder).generate(texts, max_new_tokens=14)]


def test_renormalised_beams_are_those_of_transformers(folder, tmp_path, shared_data) -> None:
    asking = tmp_path / "asking"
    shutil.copytree(folder, asking)
    said = json.loads((asking / "generation_config.json").read_text())
    (asking / "generation_config.json").write_text(json.dumps(said | {"renormalize_logits": True}))
    texts = captions(shared_data, "test_2016_flickr.en")[:12]
    ids, _ = translated(asking, texts)
    found = [answer.token_ids for answer in trivium.load(asking).generate(texts, max_new_tokens=14)]
    assert found == ids
    assert found != translated(folder, texts)[0], "the padding that is left out had most of the probability"


def test_bad_words_are_what_keeps_the_padding_out(folder, shared_data) -> None:
    model = trivium.load(folder)
    del model.generation["bad_words_ids"]
    (answer,) = model.generate("A man runs.", max_new_tokens=14, beams=1)
    assert model.tokenizer.pad_id in answer.token_ids


def test_a_stream_is_the_translation(folder) -> None:
    model = trivium.load(folder)
    text = "A man in a blue shirt is standing on a ladder."
    (whole,) = model.generate(text, max_new_tokens=14, beams=1)
    assert "".join(model.stream(text, max_new_tokens=14, beams=1)).strip() == whole.text


def test_a_saved_folder_goes_back(folder, tmp_path, shared_data) -> None:
    texts = captions(shared_data, "test_2016_flickr.en")[:4]
    trivium.save(trivium.load(folder), tmp_path / "saved")
    assert translated(tmp_path / "saved", texts) == translated(folder, texts)
    first, again = (trivium.load(at).generate(texts, max_new_tokens=14) for at in (folder, tmp_path / "saved"))
    assert first == again


@pytest.mark.parametrize("missing", ["source.spm", "vocab.json"])
def test_half_a_tokenizer_is_refused(missing: str, folder, tmp_path) -> None:
    for path in folder.iterdir():
        if path.name != missing:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(TokenizerError, match=f"without {missing}"):
        trivium.load(tmp_path)


def test_pickled_weights_are_refused(folder, tmp_path) -> None:
    for path in folder.iterdir():
        name = "pytorch_model.bin" if path.name == "model.safetensors" else path.name
        (tmp_path / name).symlink_to(path)
    with pytest.raises(CheckpointError, match="pickle can run code"):
        trivium.load(tmp_path)


def test_what_a_translation_costs_is_what_transformers_says(folder, shared_data) -> None:
    sources, targets = (captions(shared_data, f"test_2016_flickr.{language}")[:6] for language in ("en", "de"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.MarianMTModel.from_pretrained(folder).eval()
    total, count = 0.0, 0
    for source, target in zip(sources, targets, strict=True):
        read = tokenizer(source, text_target=target, return_tensors="pt")
        with torch.no_grad():
            total += float(model(**read).loss) * read["labels"].numel()
        count += read["labels"].numel()
    loss, tokens = teacher_forced(trivium.load(folder), list(zip(sources, targets, strict=True)))
    assert tokens == count
    assert loss == pytest.approx(total / count, rel=1e-5)
