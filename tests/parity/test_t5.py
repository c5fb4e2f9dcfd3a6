"""Our T5 is ``transformers``' T5: the same weights give the same logits, gradients, greedy and beam ids, both ways."""

import json
import pathlib

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.data.batches import Seq2SeqBatch
from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.generation.search.beam import beam_search
from trivium.generation.search.hypothesis import completed
from trivium.generation.settings import GenerationSettings
from trivium.models.t5 import SIZES, T5, T5Config, weight_map
from trivium.nn.positions.relative import distance_bucket
from trivium.nn.weight_map import export, load_into
from trivium.objectives.seq2seq import seq2seq

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
    "1.0 gated": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": True},
    "1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "ul2": {"feed_forward_proj": "gated-silu", "tie_word_embeddings": False},
    "mt5": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "model_type": "mt5"},
}
every_version = pytest.mark.parametrize("version", VERSIONS)


def theirs_of(version: str, **changes: object) -> transformers.PreTrainedModel:
    torch.manual_seed(1)
    fields = {**SHAPE, **VERSIONS[version], **changes}
    family = "MT5" if fields.pop("model_type", "t5") == "mt5" else "T5"
    config = getattr(transformers, f"{family}Config")(**fields)
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config).eval()
    if not VERSIONS[version]["tie_word_embeddings"]:  # transformers 5 ties until a checkpoint says otherwise
        model.lm_head.weight = torch.nn.Parameter(torch.randn(61, 24) * 24**-0.5)
    for name, parameter in model.named_parameters():
        if "layer_norm" in name or "relative" in name:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def ours_of(theirs: transformers.PreTrainedModel, version: str, **changes: object) -> T5:
    config = T5Config.from_hf({"model_type": "t5", **SHAPE, **VERSIONS[version], **changes})
    model = T5(config).eval()
    stored = theirs.state_dict()
    load_into(model, weight_map(config), stored, stored.__getitem__)
    return model


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    source = torch.randint(2, 61, (3, 33), generator=generator)
    return source, torch.tensor([33, 7, 21]), torch.randint(2, 61, (3, 26), generator=generator)


def near(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def same_gradients(ours: T5, theirs: transformers.PreTrainedModel) -> None:
    gradients = {name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, weight_map(ours.config)))
    for name, parameter in theirs.named_parameters():
        scale = parameter.grad.abs().max()
        assert (mapped[name] - parameter.grad).abs().max() <= 1e-4 * scale, name


@every_version
def test_logits_loss_and_gradients(version: str) -> None:
    """Sources and targets of unequal lengths: padded there, packed here."""
    theirs = theirs_of(version)
    ours = ours_of(theirs, version)
    source, lengths, target = batch()
    target_lengths = torch.tensor([26, 4, 17])
    mask, real = (torch.arange(33) < lengths[:, None]).long(), torch.arange(26) < target_lengths[:, None]
    tokens = F.pad(target[:, :-1], (1, 0))
    labels = target.masked_fill(~real, -100)
    wanted = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=tokens, labels=labels)
    loss = seq2seq(ours, Seq2SeqBatch(source, lengths, tokens, target, real, target_lengths))
    near(loss.total / loss.count, wanted.loss)
    hidden = ours(tokens, lengths=target_lengths, state=ours.encode(source, lengths)).hidden
    near(ours.head.logits(hidden[real]), wanted.logits[real])
    near(ours.head.logits(ours(tokens, state=ours.encode(source, lengths)).hidden), wanted.logits)
    wanted.loss.backward()
    (loss.total / loss.count).backward()
    same_gradients(ours, theirs)


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
def test_beams(version: str) -> None:
    """The same answers and scores; and a cache of the source, and of what is written, changes nothing."""
    theirs = theirs_of(version, num_decoder_layers=2)  # their cache has as many layers as the encoder
    ours = ours_of(theirs, version, num_decoder_layers=2)
    source, lengths, _ = batch()
    mask = (torch.arange(33) < lengths[:, None]).long()
    how = {"num_beams": 4, "num_return_sequences": 2, "max_new_tokens": 12, "do_sample": False, "eos_token_id": 7}
    wanted = theirs.generate(
        input_ids=source, attention_mask=mask, pad_token_id=0, **how, output_scores=True, return_dict_in_generate=True
    )
    settings = GenerationSettings(max_new_tokens=12, beams=4, n=2, eos_ids=(7,))
    sources = [row[:n].tolist() for row, n in zip(source, lengths.tolist(), strict=True)]
    found = [answer for each in completed(beam_search(ours, sources, settings, start_id=0)) for answer in each]
    for answer, ids, score in zip(found, wanted.sequences[:, 1:], wanted.sequences_scores, strict=True):
        assert answer.token_ids == ids[: len(answer.token_ids)].tolist()
        assert answer.score == pytest.approx(score.item(), abs=1e-5)
    row = torch.tensor([[0, *found[0].token_ids[:-1]]])
    once = ours(row, state=ours.encode(source[:1], lengths[:1])).hidden
    state = ours.encode(source[:1], lengths[:1], capacity=row.shape[1])
    for place in range(row.shape[1]):
        output = ours(row[:, [place]], state=state)
        state = output.state
        torch.testing.assert_close(output.hidden[:, 0], once[:, place], rtol=0, atol=1e-5)


@every_version
def test_folder_opens_in_transformers(version: str, tmp_path: pathlib.Path) -> None:
    ours = ours_of(theirs_of(version), version)
    (tmp_path / "config.json").write_text(json.dumps(ours.config.to_hf()))
    save_file(dict(export(ours.state_dict(), weight_map(ours.config))), tmp_path / "model.safetensors")
    theirs, report = type(theirs_of(version)).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    source, lengths, target = batch()
    mask = (torch.arange(33) < lengths[:, None]).long()
    wanted = theirs.eval()(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits
    near(ours.head.logits(ours(target, state=ours.encode(source, lengths)).hidden), wanted)
    # and what they save comes back, though transformers 5 writes another tie_word_embeddings into config.json
    theirs.save_pretrained(tmp_path / "again")
    config = T5Config.from_hf(json.loads((tmp_path / "again" / "config.json").read_text()))
    assert config == ours.config


HEADS = {
    "classification": "ForSequenceClassification",
    "regression": "ForSequenceClassification",
    "tagging": "ForTokenClassification",
    "span": "ForQuestionAnswering",
    "none": "EncoderModel",
}
every_head = pytest.mark.parametrize("head", HEADS)


def pair_with(head: str, family: str = "T5") -> tuple[transformers.PreTrainedModel, T5]:
    torch.manual_seed(1)
    numbers = {"classification": 3, "tagging": 4, "regression": 1}.get(head, 2)
    fields = {**SHAPE, **VERSIONS["1.1"], "num_labels": numbers, "eos_token_id": 1}
    if head == "regression":
        fields["problem_type"] = "regression"
    theirs = getattr(transformers, family + HEADS[head])(getattr(transformers, f"{family}Config")(**fields)).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    hf = {"model_type": family.lower(), **fields, "architectures": [family + HEADS[head]]}
    if head in ("classification", "regression", "tagging"):
        hf["id2label"] = {str(number): f"LABEL_{number}" for number in range(numbers)}
    config = T5Config.from_hf(hf)
    assert config.head == head
    ours, stored = T5(config).eval(), theirs.state_dict()
    load_into(ours, weight_map(config), stored, stored.__getitem__)
    return theirs, ours


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    """Each ends with an end token, of which there is no other."""
    tokens, lengths, _ = batch()
    tokens[torch.arange(3), lengths - 1] = 1
    return tokens, lengths


def said(ours: T5, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """What the head makes of every row, or of every position that counts."""
    real = torch.arange(hidden.shape[1]) < lengths[:, None]
    if ours.classify is not None:
        return ours.classify(hidden, lengths)
    if ours.tag is not None:
        return ours.tag.scores(hidden, torch.arange(hidden.shape[1]).expand(hidden.shape[:2]))[real]
    return (hidden if ours.span is None else ours.span.scores(hidden, lengths))[real]


def said_by_them(theirs: transformers.PreTrainedModel, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    tokens = tokens.masked_fill(~real, 0)  # they look for the end token, in the padding too
    answer = theirs(input_ids=tokens, attention_mask=real.long())
    if "start_logits" in answer:
        return torch.stack([answer.start_logits, answer.end_logits], dim=-1)[real]
    every = answer.logits if "logits" in answer else answer.last_hidden_state
    return every if every.dim() == 2 else every[real]


@every_head
def test_heads(head: str) -> None:
    theirs, ours = pair_with(head)
    tokens, lengths = texts()
    mine, wanted = said(ours, ours(tokens, lengths=lengths).hidden, lengths), said_by_them(theirs, tokens, lengths)
    near(mine, wanted)
    ways = torch.randn(wanted.shape)
    (wanted * ways).sum().backward()
    (mine * ways).sum().backward()
    same_gradients(ours, theirs)
    attached = [getattr(ours, name) is not None for name in ("head", "classify", "tag", "span")]
    assert sum(attached) == (head != "none")
    from_vectors = ours(embeddings=ours.embed(tokens), lengths=lengths).hidden
    assert torch.equal(said(ours, from_vectors, lengths), mine)


@every_head
@pytest.mark.parametrize("family", ["T5", "MT5"])
def test_headed_folders_open_on_both_sides(head: str, family: str, tmp_path: pathlib.Path) -> None:
    theirs, ours = pair_with(head, family)
    tokens, lengths = texts()
    save_folder(tmp_path / "ours", ours)
    opened, report = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    near(said(ours, ours(tokens, lengths=lengths).hidden, lengths), said_by_them(opened.eval(), tokens, lengths))
    opened.save_pretrained(tmp_path / "theirs")
    again = load_model(tmp_path / "theirs")
    assert again.config == ours.config
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in ours.state_dict().items())


def test_loss_of_a_span() -> None:
    theirs, ours = pair_with("span")
    tokens, lengths = texts()[0][:, :7], torch.tensor([7, 7, 7])
    starts, ends = torch.tensor([0, 2, 5]), torch.tensor([3, 2, 6])
    wanted = theirs(input_ids=tokens, start_positions=starts, end_positions=ends).loss
    near(ours.span.nll_sum(ours(tokens, lengths=lengths).hidden, lengths, starts, ends) / 3, wanted)


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
    for name in ("t5-small", "t5-base", "t5-v1.1-base", "t5-v1.1-large", "mt5-small", "ul2"):
        with torch.device("meta"):
            counts[name] = sum(p.numel() for p in T5(SIZES[name]).parameters())
    assert counts == {
        "t5-small": 60_506_624,
        "t5-base": 222_903_552,
        "t5-v1.1-base": 247_577_856,
        "t5-v1.1-large": 783_150_080,
        "mt5-small": 300_176_768,
        "ul2": 19_591_209_984,
    }


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"feed_forward_proj": "gated-tanh"}, "gated-gelu"),
        ({"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu"}, "dense_act_fn"),
        ({"feed_forward_proj": "relu", "is_gated_act": True}, "is_gated_act"),
        ({"is_decoder": True}, "decoder alone"),
        ({"is_encoder_decoder": False}, "without its decoder"),
        ({"architectures": ["T5Model"]}, "T5EncoderModel"),
        ({"architectures": ["T5ForMaskedLM"]}, "architectures"),
        ({"architectures": ["MT5EncoderModel"]}, "architectures"),
    ],
)
def test_what_cannot_be_computed_is_refused(fields: dict[str, object], named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        T5Config.from_hf({"model_type": "t5", **fields})


def test_what_published_files_spell_out() -> None:
    for kind, act, gated in (("relu", "relu", False), ("gated-gelu", "gelu_new", True), ("gated-silu", "silu", True)):
        hf = {"feed_forward_proj": kind, "dense_act_fn": act, "is_gated_act": gated, "model_type": "t5"}
        assert T5Config.from_hf(hf).feedforward == kind
        assert {**hf, **T5Config.from_hf(hf).to_hf()} == T5Config.from_hf(hf).to_hf()
    assert T5Config.from_hf({"model_type": "mt5", "tie_word_embeddings": True}) == SIZES["mt5-small"]
    with pytest.raises(ConfigError, match="output matrix of its own"):
        T5Config(multilingual=True)


def test_the_old_name_of_the_network_that_writes() -> None:
    assert T5Config.from_hf({"model_type": "t5", "architectures": ["T5WithLMHeadModel"]}) == SIZES["t5-small"]


def test_a_file_without_its_output_is_refused() -> None:
    theirs = theirs_of("1.1")
    model = T5(T5Config.from_hf({**SHAPE, **VERSIONS["1.1"]}))
    stored = theirs.state_dict()
    del stored["lm_head.weight"]
    with pytest.raises(CheckpointError, match=r"missing: lm_head.weight"):
        load_into(model, weight_map(model.config), stored, stored.__getitem__)


@pytest.mark.parametrize("head", ["span", "none"])
def test_what_a_head_does_not_read(head: str) -> None:
    _, ours = pair_with(head)
    tokens, lengths = texts()
    state = T5(T5Config.from_hf(SHAPE)).encode(tokens, lengths)
    with pytest.raises(Unsupported, match="whole texts"):
        ours(tokens, state=state)
    if head == "none":
        with pytest.raises(Unsupported, match="an encoder alone"):
            ours.encode(tokens, lengths)
    else:
        with pytest.raises(Unsupported, match="segments"):
            ours(tokens, segments=torch.zeros_like(tokens))
