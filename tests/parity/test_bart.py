"""Our BART is ``transformers``' BART: the same weights give the same logits, losses, gradients and ids, both ways."""

import json
import pathlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

import trivium
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.data.batches import LabelledBatch, Seq2SeqBatch
from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.lm.local import LocalModel
from trivium.models.bart import SIZES, Bart, BartConfig, weight_map
from trivium.nn.weight_map import export, load_into
from trivium.objectives.classification import classification
from trivium.objectives.seq2seq import seq2seq

BEGIN, PAD, END, V = 0, 1, 2, 61
SHAPE = {
    "vocab_size": V,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 40,
    "dropout": 0.0,
}
VERSIONS = {"published": {}, "scaled": {"scale_embedding": True, "activation_function": "relu"}}
HEADS: dict[str, dict[str, Any]] = {
    "BartForSequenceClassification": {"id2label": {0: "no", 1: "maybe", 2: "yes"}},
    "BartForQuestionAnswering": {},
    "BartModel": {},
}
every_version = pytest.mark.parametrize("version", VERSIONS)
every_head = pytest.mark.parametrize("architecture", HEADS)


def theirs_of(version: str = "published", architecture: str = "BartForConditionalGeneration") -> Any:
    torch.manual_seed(1)
    config = transformers.BartConfig(**SHAPE, **VERSIONS[version], **HEADS.get(architecture, {}))
    model = getattr(transformers, architecture)(config).eval()
    for parameter in model.parameters():  # nothing may be hidden by a bias of 0 or a gain of 1
        parameter.data += 0.2 * torch.randn_like(parameter)
    if architecture == "BartForConditionalGeneration":
        model.final_logits_bias += torch.randn_like(model.final_logits_bias)
    return model


def ours_of(theirs: Any) -> Bart:
    stated = json.loads(theirs.config.to_json_string(use_diff=False))
    config = BartConfig.from_hf(stated | {"architectures": [type(theirs).__name__]})
    model = Bart(config).eval()
    stored = theirs.state_dict()
    load_into(model, weight_map(config), stored, stored.__getitem__)
    return model


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Source that ends as BART's do, its lengths and its mask, target; no padding among them."""
    generator = torch.Generator().manual_seed(2)
    source, lengths = torch.randint(3, V, (3, 33), generator=generator), torch.tensor([33, 7, 21])
    source[:, 0] = BEGIN
    source[torch.arange(3), lengths - 1] = END
    mask = torch.arange(33) < lengths[:, None]
    return source.where(mask, PAD), lengths, mask.long(), torch.randint(3, V, (3, 26), generator=generator)


def near(ours: Tensor, theirs: Tensor) -> None:
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def same_gradients(ours: Bart, theirs: nn.Module) -> None:
    gradients = {name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, weight_map(ours.config)))
    wanted = {name: p.grad for name, p in theirs.named_parameters()}
    assert wanted.keys() == mapped.keys() - {"final_logits_bias"}, "they do not train the output's bias"
    for name, gradient in wanted.items():
        # What moves all scores of a softmax alike (a key's bias; before a span head, that of the last norm) has a
        # gradient of 0 but for rounding.
        scale = wanted[name.replace("k_proj.bias", "q_proj.bias")].abs().max()
        assert (mapped[name] - gradient).abs().max() <= 1e-4 * scale + 1e-7, name


@every_version
def test_logits_loss_and_gradients(version: str) -> None:
    theirs = theirs_of(version)
    ours = ours_of(theirs)
    source, lengths, mask, target = batch()
    tokens = F.pad(target[:, :-1], (1, 0), value=END)
    wanted = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=tokens, labels=target)
    state = ours.encode(source, lengths)
    near(ours.head.logits(ours(tokens, state=state).hidden), wanted.logits)
    wanted.loss.backward()
    everywhere = torch.ones_like(target, dtype=torch.bool)
    loss = seq2seq(ours, Seq2SeqBatch(source, lengths, tokens, target, everywhere, torch.tensor([26, 26, 26])))
    mean = loss.total / loss.count
    torch.testing.assert_close(mean, wanted.loss, rtol=1e-5, atol=0)
    mean.backward()
    same_gradients(ours, theirs)


@every_version
@pytest.mark.parametrize("beams", [1, 3])
def test_greedy_and_beam_ids(version: str, beams: int) -> None:
    """With what the published generation_config.json asks for: the first and the last token are forced."""
    theirs = theirs_of(version)
    stated = {"forced_bos_token_id": BEGIN, "forced_eos_token_id": END, "eos_token_id": END, "no_repeat_ngram_size": 3}
    ours = LocalModel(ours_of(theirs), generation=stated)
    source, lengths, mask, _ = batch()
    prompts = [row[:n].tolist() for row, n in zip(source, lengths.tolist(), strict=True)]
    # Their cache has as many layers as the encoder; the decoder here has one more.
    wanted = theirs.generate(
        input_ids=source, attention_mask=mask, do_sample=False, max_new_tokens=12, use_cache=False, num_beams=beams,
        **stated,
    )  # fmt: skip
    answers = ours.generate(prompts, max_new_tokens=12, beams=beams)
    for answer, row in zip(answers, wanted[:, 1:].tolist(), strict=True):
        assert answer.token_ids == row[: len(answer.token_ids)]
        assert set(row[len(answer.token_ids) :]) <= {PAD}
        assert answer.token_ids[0] == BEGIN
        assert answer.token_ids[-1] == END


def test_the_source_that_is_remembered() -> None:
    theirs = theirs_of()
    ours = ours_of(theirs)
    source, lengths, mask, _ = batch()
    wanted = theirs.model.encoder(source, attention_mask=mask).last_hidden_state
    read = ours.read(source, lengths=lengths).hidden
    near(read[mask.bool()], wanted[mask.bool()])
    assert not read[~mask.bool()].any(), "what lies beyond a row is not computed"
    layer = theirs.model.decoder.layers[2].encoder_attn
    keys = layer.k_proj(wanted).unflatten(-1, (4, 6)).transpose(1, 2)
    memory = ours.encode(source, lengths).memory
    near(memory.tensors[2][0][1, :, :7], keys[1, :, :7])


@every_head
def test_heads(architecture: str) -> None:
    """Without a state both stacks read the text, and what they say of it is what theirs say."""
    theirs = theirs_of("scaled", architecture)
    ours = ours_of(theirs)
    source, lengths, mask, _ = batch()
    wanted = theirs(input_ids=source, attention_mask=mask)
    hidden = ours(source, lengths=lengths).hidden
    if architecture == "BartModel":
        near(hidden[mask.bool()], wanted.last_hidden_state[mask.bool()])
        return
    if architecture == "BartForSequenceClassification":
        labels = torch.tensor([0, 2, 1])
        near(ours.classify(hidden, lengths), wanted.logits)
        theirs_loss = theirs(input_ids=source, attention_mask=mask, labels=labels).loss
        ours_loss = classification(ours, LabelledBatch(source, lengths, labels)).total / 3
    else:
        starts, ends = torch.tensor([4, 1, 20]), torch.tensor([9, 1, 20])
        scores = ours.span.scores(hidden, lengths)
        near(scores[..., 0][mask.bool()], wanted.start_logits[mask.bool()])
        near(scores[..., 1][mask.bool()], wanted.end_logits[mask.bool()])
        assert bool(scores[1, 7:].isneginf().all())
        # Theirs has no mask over padding: each text by itself.
        losses = [
            theirs(input_ids=source[[b], :n], start_positions=starts[[b]], end_positions=ends[[b]]).loss
            for b, n in enumerate(lengths.tolist())
        ]
        theirs_loss, ours_loss = torch.stack(losses).mean(), ours.span.nll_sum(hidden, lengths, starts, ends) / 3
    torch.testing.assert_close(ours_loss, theirs_loss, rtol=1e-5, atol=0)
    theirs_loss.backward()
    ours_loss.backward()
    same_gradients(ours, theirs)


@pytest.mark.parametrize("architecture", ["BartForConditionalGeneration", *HEADS])
def test_folders_open_on_both_sides(architecture: str, tmp_path: pathlib.Path) -> None:
    first = ours_of(theirs_of("scaled", architecture))
    source, lengths, mask, target = batch()
    given = {"state": first.encode(source, lengths)} if architecture == "BartForConditionalGeneration" else {}
    tokens = target if given else source
    wanted = first(tokens, lengths=None if given else lengths, **given).hidden
    save_folder(tmp_path / "ours", first)
    opened = getattr(transformers, architecture).from_pretrained(tmp_path / "ours", output_loading_info=True)
    theirs, report = opened
    assert not report["missing_keys"] and not report["unexpected_keys"]
    decoder = {"decoder_input_ids": target} if given else {}
    body = theirs if architecture == "BartModel" else theirs.model
    valid = torch.ones_like(target, dtype=torch.bool) if given else mask.bool()
    near(body.eval()(input_ids=source, attention_mask=mask, **decoder).last_hidden_state[valid], wanted[valid])
    theirs.save_pretrained(tmp_path / "theirs")
    again = load_model(tmp_path / "theirs")
    assert again.config == first.config
    given = {"state": again.encode(source, lengths)} if given else {}
    assert torch.equal(again(tokens, lengths=None if given else lengths, **given).hidden, wanted)


def test_what_a_regression_is() -> None:
    config = BartConfig.from_hf(SHAPE | {"architectures": ["BartForSequenceClassification"], "num_labels": 1})
    assert (config.head, config.labels) == ("regression", ("LABEL_0",))
    assert BartConfig.from_hf(config.to_hf()) == config
    three = BartConfig.from_hf(SHAPE | {"architectures": ["BartForSequenceClassification"]})
    assert len(three.labels) == transformers.BartConfig().num_labels == 3


def test_attention_to_look_at() -> None:
    theirs = theirs_of()
    ours = ours_of(theirs)
    source, lengths, mask, target = batch()
    theirs.set_attn_implementation("eager")
    given = {"input_ids": source, "attention_mask": mask, "decoder_input_ids": target}
    wanted = theirs(**given, output_attentions=True, output_hidden_states=True)
    names = ("attention", "cross_attention", "hidden")
    decoder = ours(target, state=ours.encode(source, lengths), collect=names).collected
    encoder = ours.read(source, lengths=lengths, collect=("attention", "hidden")).collected
    packed = ours.read(source, lengths=lengths, collect=("hidden",)).collected["hidden"]
    pairs = [(decoder["attention"], wanted.decoder_attentions), (decoder["cross_attention"], wanted.cross_attentions)]
    pairs.append((decoder["hidden"], wanted.decoder_hidden_states))
    for mine, yours in pairs:
        for a, b in zip(mine, yours, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=5e-6)
    for a, b in zip(encoder["attention"], wanted.encoder_attentions, strict=True):
        torch.testing.assert_close(a[1, :, :7], b[1, :, :7], rtol=0, atol=5e-6)
    for a, b, c in zip(encoder["hidden"], packed, wanted.encoder_hidden_states, strict=True):
        torch.testing.assert_close(a[mask.bool()], c[mask.bool()], rtol=0, atol=1e-5)
        torch.testing.assert_close(b[mask.bool()], c[mask.bool()], rtol=0, atol=1e-5)


PUBLISHED = {  # as in config.json of facebook/bart-large-cnn, with the fields of transformers 3 and 4
    "activation_dropout": 0.0, "activation_function": "gelu", "add_bias_logits": False, "add_final_layer_norm": False,
    "architectures": ["BartForConditionalGeneration"], "attention_dropout": 0.0, "bos_token_id": 0,
    "classif_dropout": 0.0, "classifier_dropout": 0.0, "d_model": 1024, "decoder_attention_heads": 16,
    "decoder_ffn_dim": 4096, "decoder_layerdrop": 0.0, "decoder_layers": 12, "decoder_start_token_id": 2,
    "dropout": 0.1, "early_stopping": True, "encoder_attention_heads": 16, "encoder_ffn_dim": 4096,
    "encoder_layerdrop": 0.0, "encoder_layers": 12, "eos_token_id": 2, "forced_eos_token_id": 2, "init_std": 0.02,
    "is_encoder_decoder": True, "max_position_embeddings": 1024, "model_type": "bart", "normalize_before": False,
    "normalize_embedding": True, "num_hidden_layers": 12, "pad_token_id": 1, "scale_embedding": False,
    "vocab_size": 50264,
}  # fmt: skip


def test_a_published_configuration() -> None:
    config = BartConfig.from_hf(PUBLISHED)
    changes = {"vocabulary_size": 50264, "attention_dropout": 0.0, "inner_dropout": 0.0}
    assert config == BartConfig(**{**vars(SIZES["bart-large"]), **changes})
    written = config.to_hf()
    shared = (written.keys() & PUBLISHED.keys()) - {"forced_eos_token_id"}
    assert {name: written[name] for name in shared} == {name: PUBLISHED[name] for name in shared}


def test_published_sizes() -> None:
    """Theirs, and the bias of the output, which they do not count among the parameters."""
    for name, wanted in (("bart-base", 139_420_416), ("bart-large", 406_291_456)):
        with torch.device("meta"):
            model = Bart(SIZES[name])
        assert sum(p.numel() for p in model.parameters()) == wanted + 50265


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation_function": "mish"}, "gelu_new"),
        ({"decoder_ffn_dim": 1024}, "ffn_dim"),
        ({"encoder_layerdrop": 0.1}, "layerdrop"),
        ({"normalize_before": True}, "normalize_before"),
        ({"normalize_embedding": False}, "normalize_embedding"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"static_position_embeddings": True}, "static_position_embeddings"),
        ({"architectures": ["BartForCausalLM"]}, "BartForConditionalGeneration"),
        ({"architectures": ["BartForSequenceClassification"], "problem_type": "multi_label_classification"}, "problem"),
        ({"eos_token_id": [2, 5]}, "several eos_token_id"),
    ],
)
def test_what_cannot_be_computed_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        BartConfig.from_hf(PUBLISHED | change)


def test_wrong_checkpoints_and_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not divide"):
        BartConfig(width=10, heads=4)
    with pytest.raises(ConfigError, match="labels"):
        BartConfig(head="classification")
    theirs = theirs_of()
    ours = ours_of(theirs)
    stored = theirs.state_dict() | {"model.encoder.layers.9.fc1.bias": torch.zeros(40)}
    del stored["final_logits_bias"]
    with pytest.raises(CheckpointError, match=r"(?s)missing: final_logits_bias.*unexpected: model.encoder.layers.9"):
        load_into(ours, weight_map(ours.config), stored, stored.__getitem__)
    with pytest.raises(ConfigError, match="longer than the model's learned positions"):
        ours.encode(torch.zeros(1, 41, dtype=torch.long))
    reader = Bart(BartConfig(vocabulary_size=V, width=8, heads=2, layers=1, inner_width=8, head="none"))
    with pytest.raises(Unsupported, match="a row of its own"):
        reader(torch.zeros(1, 4, dtype=torch.long), segments=torch.zeros(1, 4, dtype=torch.long))


def test_a_folder_that_writes_is_loaded_with_its_settings(tmp_path: pathlib.Path) -> None:
    """forced_bos_token_id and forced_eos_token_id of a folder reach every answer."""
    theirs = theirs_of()
    theirs.generation_config.update(forced_bos_token_id=BEGIN, forced_eos_token_id=END, num_beams=2)
    theirs.save_pretrained(tmp_path)
    (answer,) = trivium.load(tmp_path).generate([[BEGIN, 9, 17, 4, END]], max_new_tokens=5)
    assert answer.settings.beams == 2
    assert answer.token_ids[0] == BEGIN and answer.token_ids[-1] == END
