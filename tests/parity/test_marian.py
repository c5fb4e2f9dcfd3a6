"""Our Transformer is ``transformers``' Marian: the same weights give the same logits, gradients and greedy ids, both
ways."""

import pathlib

import pytest
import torch
import torch.nn.functional as F
import transformers

import trivium
from trivium.errors import ConfigError, Unsupported
from trivium.lm.local import LocalModel
from trivium.models.transformer import SIZES, Transformer, TransformerConfig, weight_map
from trivium.nn.weight_map import export, load_into

PAD = 60
SHAPE = {
    "vocab_size": 61,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "decoder_start_token_id": PAD,
    "dropout": 0.0,
}
VERSIONS = {
    "opus": {"activation_function": "swish", "scale_embedding": True},
    "two vocabularies": {
        "activation_function": "relu",
        "scale_embedding": True,
        "decoder_vocab_size": 71,
        "share_encoder_decoder_embeddings": False,
    },
    "nothing tied": {
        "activation_function": "gelu",
        "scale_embedding": False,
        "decoder_vocab_size": 61,
        "share_encoder_decoder_embeddings": False,
        "tie_word_embeddings": False,
    },
}
every_version = pytest.mark.parametrize("version", VERSIONS)


def theirs_of(version: str) -> transformers.MarianMTModel:
    torch.manual_seed(1)
    model = transformers.MarianMTModel(transformers.MarianConfig(**SHAPE, **VERSIONS[version])).eval()
    for name, parameter in model.named_parameters():  # nothing may be hidden by a bias of 0 or a gain of 1
        if "embed_positions" not in name:
            parameter.data += 0.3 * torch.randn_like(parameter)
    model.final_logits_bias += torch.randn_like(model.final_logits_bias)
    return model


def ours_of(theirs: transformers.MarianMTModel, version: str) -> Transformer:
    config = TransformerConfig.from_hf({**SHAPE, **VERSIONS[version], "model_type": "marian"})
    model = Transformer(config).eval()
    stored = theirs.state_dict()
    load_into(model, weight_map(config), stored, stored.__getitem__)
    return model


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Source, its lengths and its mask, target; all without the piece that pads."""
    generator = torch.Generator().manual_seed(2)
    source, lengths = torch.randint(PAD, (3, 33), generator=generator), torch.tensor([33, 7, 21])
    mask = torch.arange(33) < lengths[:, None]
    return source, lengths, mask.long(), torch.randint(PAD, (3, 26), generator=generator)


def near(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@every_version
def test_logits_and_gradients(version: str) -> None:
    theirs = theirs_of(version)
    ours = ours_of(theirs, version)
    source, lengths, mask, target = batch()
    tokens = target.roll(1, 1)
    wanted = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=tokens).logits
    hidden = ours(tokens, state=ours.encode(source, lengths)).hidden
    near(ours.head.logits(hidden), wanted)
    F.cross_entropy(wanted.flatten(0, 1), target.flatten(), reduction="sum").backward()
    ours.head.nll_sum(hidden, target).backward()
    gradients = {name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, weight_map(ours.config)))
    wanted = {name: p.grad for name, p in theirs.named_parameters() if p.requires_grad}  # their positions do not
    assert wanted.keys() == mapped.keys() - {"final_logits_bias"}, "they do not train the output's bias"
    for name, gradient in wanted.items():
        # A key's bias moves all scores of a query alike: its gradient is 0 but for rounding.
        scale = wanted[name.replace("k_proj.bias", "q_proj.bias")].abs().max()
        assert (mapped[name] - gradient).abs().max() <= 1e-4 * scale, name


@every_version
def test_greedy_ids(version: str) -> None:
    theirs = theirs_of(version)
    ours = LocalModel(ours_of(theirs, version))
    source, lengths, mask, _ = batch()
    prompts = [row[:n].tolist() for row, n in zip(source, lengths.tolist(), strict=True)]
    # Their cache has as many layers as the encoder; the decoder here has one more.
    wanted = theirs.generate(
        input_ids=source, attention_mask=mask, do_sample=False, max_new_tokens=20, use_cache=False,
        eos_token_id=None, forced_eos_token_id=None,
    )  # fmt: skip
    answers = ours.generate(prompts, max_new_tokens=20)
    assert [answer.token_ids for answer in answers] == wanted[:, 1:].tolist()


@every_version
def test_folders_open_on_both_sides(version: str, tmp_path: pathlib.Path) -> None:
    first = LocalModel(ours_of(theirs_of(version), version))
    source, lengths, mask, target = batch()
    wanted = first.logits(source, target, lengths)
    trivium.save(first, tmp_path / "ours")
    theirs, report = transformers.MarianMTModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    near(theirs.eval()(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits, wanted)
    theirs.save_pretrained(tmp_path / "theirs")
    again = trivium.load(tmp_path / "theirs")
    assert again.config == first.config
    assert torch.equal(again.logits(source, target, lengths), wanted)


def test_padding_at_their_border() -> None:
    """A row padded on the right is the row by itself, on both sides. On the left it is not: their positions count the
    padding. So a left-padded batch is aligned to the left before it comes here."""
    theirs = theirs_of("opus")
    ours = ours_of(theirs, "opus")
    source, lengths, mask, target = batch()
    n, m = int(lengths[1]), 9
    single = theirs(input_ids=source[1:2, :n], decoder_input_ids=target[1:2, :m]).logits[0]
    decoder_mask = (torch.arange(26) < torch.tensor([26, m, 14])[:, None]).long()
    given = {"attention_mask": mask, "decoder_input_ids": target, "decoder_attention_mask": decoder_mask}
    padded = theirs(input_ids=source, **given).logits
    hidden = ours(target, lengths=torch.tensor([26, m, 14]), state=ours.encode(source, lengths)).hidden
    near(ours.head.logits(hidden[1, :m]), single)
    near(padded[1, :m], single)
    left = F.pad(source[1:2, :n], (33 - n, 0), value=PAD)
    moved = theirs(input_ids=left, attention_mask=(left != PAD).long(), decoder_input_ids=target[1:2, :m]).logits[0]
    assert (moved - single).abs().max() > 0.01 * single.abs().max()


def test_attention_to_look_at() -> None:
    theirs = theirs_of("opus")
    ours = ours_of(theirs, "opus")
    source, lengths, mask, target = batch()
    theirs.set_attn_implementation("eager")
    given = {"input_ids": source, "attention_mask": mask, "decoder_input_ids": target}
    wanted = theirs(**given, output_attentions=True, output_hidden_states=True)
    names = ("attention", "cross_attention", "hidden")
    decoder = ours(target, state=ours.encode(source, lengths), collect=names).collected
    encoder = ours.read(source, lengths=lengths, collect=("attention", "hidden")).collected
    pairs = [(decoder["attention"], wanted.decoder_attentions), (decoder["cross_attention"], wanted.cross_attentions)]
    pairs.append((decoder["hidden"], wanted.decoder_hidden_states))
    for mine, yours in pairs:
        assert len(mine) == len(yours)
        for a, b in zip(mine, yours, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=2e-6)
    for a, b in zip(encoder["attention"], wanted.encoder_attentions, strict=True):
        torch.testing.assert_close(a[0], b[0], rtol=0, atol=2e-6)
        torch.testing.assert_close(a[1, :, :7, :7], b[1, :, :7, :7], rtol=0, atol=2e-6)
    for a, b in zip(encoder["hidden"], wanted.encoder_hidden_states, strict=True):
        torch.testing.assert_close(a[mask.bool()], b[mask.bool()], rtol=0, atol=5e-6)


PUBLISHED = {  # as in config.json of Helsinki-NLP's opus-mt models, with the fields of transformers 3 and 4
    "activation_dropout": 0.0, "activation_function": "swish", "add_final_layer_norm": False,
    "architectures": ["MarianMTModel"], "attention_dropout": 0.0, "bad_words_ids": [[58100]], "bos_token_id": 0,
    "d_model": 512, "decoder_attention_heads": 8, "decoder_ffn_dim": 2048,
    "decoder_layerdrop": 0.0, "decoder_layers": 6, "decoder_start_token_id": 58100, "dropout": 0.1,
    "encoder_attention_heads": 8, "encoder_ffn_dim": 2048, "encoder_layerdrop": 0.0, "encoder_layers": 6,
    "eos_token_id": 0, "extra_pos_embeddings": 58101, "forced_eos_token_id": 0, "init_std": 0.02,
    "is_encoder_decoder": True, "max_length": 512, "max_position_embeddings": 512, "model_type": "marian",
    "normalize_before": False, "normalize_embedding": False, "num_beams": 6, "num_hidden_layers": 6,
    "pad_token_id": 58100, "scale_embedding": True, "static_position_embeddings": True, "vocab_size": 58101,
}  # fmt: skip


def test_a_published_configuration() -> None:
    config = TransformerConfig.from_hf(PUBLISHED)
    assert config == TransformerConfig(
        vocabulary_size=58101, activation="silu", context_tokens=512, start_id=58100, scale_embedding=True
    )
    written = config.to_hf()
    shared = written.keys() & PUBLISHED.keys()
    assert {name: written[name] for name in shared} == {name: PUBLISHED[name] for name in shared}
    with torch.device("meta"):
        ours, theirs = Transformer(config), transformers.MarianMTModel(transformers.MarianConfig(**PUBLISHED))
    positions = 2 * 512 * 512
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) - positions + 58101


def test_published_sizes() -> None:
    """Table 3 says 65 and 213 million; the base model's sum of matrices and vectors comes to 63."""
    counts = {}
    for name, config in SIZES.items():
        with torch.device("meta"):
            counts[name] = sum(p.numel() for p in Transformer(config).parameters())
    assert counts == {"transformer-base": 63_119_496, "transformer-big": 214_282_376}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation_function": "mish"}, "gelu_new"),
        ({"decoder_ffn_dim": 1024}, "ffn_dim"),
        ({"decoder_attention_heads": 4}, "attention_heads"),
        ({"encoder_layerdrop": 0.1}, "layerdrop"),
        ({"activation_dropout": 0.1}, "activation_dropout"),
        ({"normalize_before": True}, "normalize_before"),
        ({"tie_word_embeddings": False}, "another matrix"),
    ],
)
def test_what_cannot_be_computed_is_refused(change: dict, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        TransformerConfig.from_hf(PUBLISHED | change)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not divide"):
        TransformerConfig(width=10, heads=4)
    with pytest.raises(ConfigError, match="cannot be shared"):
        TransformerConfig(source_vocabulary_size=10)
    with pytest.raises(ConfigError, match="did you mean"):
        TransformerConfig.from_hf({"model_type": "trivium-transformer", "norm_frist": True})
