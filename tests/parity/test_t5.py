"""Our T5 is ``transformers``' T5: the same weights give the same logits, gradients and greedy ids, both ways."""

import json
import pathlib

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

from trivium.errors import CheckpointError, Unsupported
from trivium.models.t5 import SIZES, T5, T5Config, weight_map
from trivium.nn.positions.relative import distance_bucket
from trivium.nn.weight_map import export, load_into

SHAPE = {
    "vocab_size": 61,
    "d_model": 24,
    "d_kv": 10,
    "d_ff": 40,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 3,
    "relative_attention_num_buckets": 12,
    "relative_attention_max_distance": 20,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.0,
}
VERSIONS = {
    "1.0": {"feed_forward_proj": "relu", "tie_word_embeddings": True},
    "1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "gated-silu": {"feed_forward_proj": "gated-silu", "tie_word_embeddings": False},
}
every_version = pytest.mark.parametrize("version", VERSIONS)


def theirs_of(version: str) -> transformers.T5ForConditionalGeneration:
    torch.manual_seed(1)
    config = transformers.T5Config(**SHAPE, **VERSIONS[version])
    model = transformers.T5ForConditionalGeneration(config).eval()
    if not VERSIONS[version]["tie_word_embeddings"]:  # transformers 5 ties until a checkpoint says otherwise
        model.lm_head.weight = torch.nn.Parameter(torch.randn(61, 24) * 24**-0.5)
    for name, parameter in model.named_parameters():
        if "layer_norm" in name or "relative" in name:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def ours_of(theirs: transformers.T5ForConditionalGeneration, version: str) -> T5:
    config = T5Config.from_hf({**SHAPE, **VERSIONS[version], "model_type": "t5"})
    model = T5(config).eval()
    stored = theirs.state_dict()
    load_into(model, weight_map(config), stored, stored.__getitem__)
    return model


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    source = torch.randint(2, 61, (3, 33), generator=generator)
    return source, torch.tensor([33, 7, 21]), torch.randint(2, 61, (3, 26), generator=generator)


@every_version
def test_logits_and_gradients(version: str) -> None:
    theirs = theirs_of(version)
    ours = ours_of(theirs, version)
    source, lengths, target = batch()
    mask = (torch.arange(33) < lengths[:, None]).long()
    tokens = F.pad(target[:, :-1], (1, 0))
    wanted = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=tokens).logits
    hidden = ours(tokens, state=ours.encode(source, lengths)).hidden
    logits = ours.head.logits(hidden)
    assert (logits - wanted).abs().max() / wanted.abs().max() < 1e-5
    F.cross_entropy(wanted.flatten(0, 1), target.flatten(), reduction="sum").backward()
    ours.head.nll_sum(hidden, target).backward()
    gradients = {name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, weight_map(ours.config)))
    for name, parameter in theirs.named_parameters():
        scale = parameter.grad.abs().max()
        assert (mapped[name] - parameter.grad).abs().max() <= 1e-4 * scale, name


@every_version
def test_greedy_ids(version: str) -> None:
    theirs = theirs_of(version)
    ours = ours_of(theirs, version)
    source, lengths, _ = batch()
    mask = (torch.arange(33) < lengths[:, None]).long()
    # Their cache has as many layers as the encoder; ours has as many as the decoder, one more here.
    settings = {"do_sample": False, "max_new_tokens": 30, "eos_token_id": None, "use_cache": False}
    wanted = theirs.generate(input_ids=source, attention_mask=mask, **settings)
    with torch.no_grad():
        state = ours.encode(source, lengths, capacity=30)
        ids = [torch.full((3, 1), ours.config.start_id)]
        for _ in range(30):
            output = ours(ids[-1], state=state)
            state = output.state
            ids.append(ours.head.logits(output.hidden).argmax(-1))
    assert torch.equal(torch.cat(ids, dim=1), wanted)


@every_version
def test_folder_opens_in_transformers(version: str, tmp_path: pathlib.Path) -> None:
    ours = ours_of(theirs_of(version), version)
    (tmp_path / "config.json").write_text(json.dumps(ours.config.to_hf()))
    save_file(dict(export(ours.state_dict(), weight_map(ours.config))), tmp_path / "model.safetensors")
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    source, lengths, target = batch()
    mask = (torch.arange(33) < lengths[:, None]).long()
    wanted = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits
    logits = ours.head.logits(ours(target, state=ours.encode(source, lengths)).hidden)
    assert (logits - wanted).abs().max() / wanted.abs().max() < 1e-5
    # and what they save comes back, though transformers 5 writes another tie_word_embeddings into config.json
    theirs.save_pretrained(tmp_path / "again")
    config = T5Config.from_hf(json.loads((tmp_path / "again" / "config.json").read_text()))
    assert config == T5Config(**{**vars(ours.config), "decoder_layers": 3})


def test_attention_to_look_at() -> None:
    theirs = theirs_of("1.0")
    ours = ours_of(theirs, "1.0")
    source, lengths, target = batch()
    mask = (torch.arange(33) < lengths[:, None]).long()
    theirs.set_attn_implementation("eager")
    wanted = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=target, output_attentions=True)
    decoder = ours(target, state=ours.encode(source, lengths), collect=("attention",)).collected["attention"]
    encoder = ours.read(source, lengths=lengths, collect=("attention", "hidden")).collected
    for mine, yours in zip(decoder, wanted.decoder_attentions, strict=True):
        torch.testing.assert_close(mine, yours, rtol=0, atol=1e-6)
    for mine, yours in zip(encoder["attention"], wanted.encoder_attentions, strict=True):
        torch.testing.assert_close(mine[0], yours[0], rtol=0, atol=1e-6)
    assert len(encoder["hidden"]) == 3


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets(bidirectional: bool) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distances = torch.arange(-300, 301)[None]
    for count, furthest in ((32, 128), (12, 20), (8, 1000)):
        wanted = T5Attention._relative_position_bucket(distances, bidirectional, count, furthest)
        ours = distance_bucket(distances, count, furthest=furthest, bidirectional=bidirectional)
        assert torch.equal(ours, wanted)


def test_published_sizes() -> None:
    counts = {}
    for name in ("t5-small", "t5-base", "t5-v1.1-base"):
        with torch.device("meta"):
            counts[name] = sum(p.numel() for p in T5(SIZES[name]).parameters())
    assert counts == {"t5-small": 60_506_624, "t5-base": 222_903_552, "t5-v1.1-base": 247_577_856}


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(Unsupported, match="gated-gelu"):
        T5Config.from_hf({"feed_forward_proj": "gated-tanh"})
    theirs = theirs_of("1.1")
    model = T5(T5Config.from_hf({**SHAPE, **VERSIONS["1.1"]}))
    stored = theirs.state_dict()
    del stored["lm_head.weight"]
    with pytest.raises(CheckpointError, match=r"missing: lm_head.weight"):
        load_into(model, weight_map(model.config), stored, stored.__getitem__)
