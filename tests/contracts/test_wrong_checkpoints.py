"""A checkpoint that is not what its config.json says is refused with a list of what differs, never loaded in part.

Over encoders and encoder-decoders; `tests/checkpoints/test_model_folder.py` has what concerns the folder.
"""

import dataclasses
import json
import pathlib
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.contracts.tracers import NAMED, TRACERS, Tracer
from trivium.checkpoints.folder import MANIFEST
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.errors import CheckpointError, ConfigError, Unsupported, UserError
from trivium.models import architecture
from trivium.nn.weight_map import load_into

READERS = [t for t in TRACERS if t.row.kind in ("encoder", "encoder-decoder")]
every_reader = pytest.mark.parametrize(argvalues=READERS, **NAMED)


def saved(tracer: Tracer, folder: pathlib.Path) -> dict[str, Tensor]:
    """A folder without its manifest, as others publish them, and its tensors."""
    save_folder(folder, tracer.build().float())
    (folder / MANIFEST).unlink()
    return load_file(folder / "model.safetensors")


def refusal(folder: pathlib.Path, tensors: dict[str, Tensor] | None = None) -> str:
    """What is said of the folder, with other ``tensors`` in it."""
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UserError) as error:
        load_model(folder)
    return str(error.value)


@every_reader
def test_missing_and_extra_tensors_are_all_listed(tracer: Tracer, tmp_path: pathlib.Path) -> None:
    tensors = saved(tracer, tmp_path / "m")
    first, *_, last = sorted(tensors)
    few = {name: tensor for name, tensor in tensors.items() if name not in (first, last)}
    said = refusal(tmp_path / "m", few | {"odd.weight": torch.zeros(1), "adapter.bias": torch.zeros(2)})
    for line in (f"missing: {first}", f"missing: {last}", "unexpected: odd.weight", "unexpected: adapter.bias"):
        assert line in said


@every_reader
def test_no_tensor_may_be_missing(tracer: Tracer) -> None:
    """Each in its turn: none is optional."""
    config = tracer.config()
    weight_map = tracer.row.weight_map(config)
    needed = [name for _, _, theirs in weight_map.expand() for name in theirs]
    with torch.device("meta"):
        model = tracer.row.model_class()(config)
    for name in needed:
        with pytest.raises(CheckpointError, match=f"missing: {name}"):
            load_into(model, weight_map, set(needed) - {name}, lambda _: pytest.fail("nothing may be read"))


@every_reader
def test_misshapen_tensors_are_all_listed(tracer: Tracer, tmp_path: pathlib.Path) -> None:
    tensors = saved(tracer, tmp_path / "m")
    wrong = [name for name in sorted(tensors) if tensors[name].ndim == 2][:3]
    said = refusal(tmp_path / "m", tensors | {name: torch.zeros(5, 3) for name in wrong})
    for name in wrong:
        assert f"{name}: [5, 3]" in said or (name in said and "do not fit" in said)


@every_reader
def test_a_config_of_another_size_is_refused(tracer: Tracer, tmp_path: pathlib.Path) -> None:
    tensors = saved(tracer, tmp_path / "m")
    deeper = tracer.config(layers=4).to_hf()
    (tmp_path / "m" / "config.json").write_text(json.dumps(deeper))
    assert "missing: " in refusal(tmp_path / "m", tensors)
    shallower = tracer.config(layers=1).to_hf()
    (tmp_path / "m" / "config.json").write_text(json.dumps(shallower))
    assert "unexpected: " in refusal(tmp_path / "m", tensors)
    larger = dataclasses.replace(tracer.config(), vocabulary_size=31).to_hf()
    (tmp_path / "m" / "config.json").write_text(json.dumps(larger))
    assert "the model has [31" in refusal(tmp_path / "m", tensors)


@every_reader
def test_an_unknown_model_type_lists_the_known_ones(tracer: Tracer, tmp_path: pathlib.Path) -> None:
    saved(tracer, tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": tracer.row.name + "x"}))
    said = refusal(tmp_path / "m")
    assert tracer.row.name + "x" in said
    assert "did you mean" in said


def test_a_head_is_not_drawn_anew(tmp_path: pathlib.Path) -> None:
    """A folder of a masked language model is no classifier, whatever its config.json says."""
    row = architecture("bert")
    config = row.config_class()(vocabulary_size=23, width=16, layers=2, heads=2, inner_width=24, context_tokens=12)
    save_folder(tmp_path / "m", row.model_class()(config))
    (tmp_path / "m" / MANIFEST).unlink()
    changed = dataclasses.replace(config, head="classification", labels=("a", "b")).to_hf()
    (tmp_path / "m" / "config.json").write_text(json.dumps(changed))
    said = refusal(tmp_path / "m")
    for line in ("missing: classifier.weight", "missing: bert.pooler.dense.bias", "unexpected: cls.predictions.bias"):
        assert line in said


_SEVERAL_LABELS = {"problem_type": "multi_label_classification", "id2label": {"0": "a", "1": "b"}}
_OF_ENCODERS = {
    "relative positions": ({"position_embedding_type": "relative_key_query"}, "position_embedding_type"),
    "a decoder": ({"is_decoder": True}, "is_decoder"),
    "attention to another text": ({"add_cross_attention": True}, "add_cross_attention"),
    "another non-linearity": ({"hidden_act": "quick_gelu"}, "hidden_act"),
}
_LIKE_BERT = ("bert", "ernie", "roberta", "electra")
_OPTIONS = {
    **{f"{name} {what}": (name, *rest) for name in _LIKE_BERT for what, rest in _OF_ENCODERS.items()},
    **{
        f"{name} several labels": (
            name,
            {"architectures": [f"{name.capitalize()}ForSequenceClassification"], **_SEVERAL_LABELS},
            "multi_label_classification",
        )
        for name in _LIKE_BERT
    },
    "bert another head": ("bert", {"architectures": ["BertForMultipleChoice"]}, "BertForMultipleChoice"),
    "roberta another head": ("roberta", {"architectures": ["RobertaForCausalLM"]}, "RobertaForCausalLM"),
    "electra another head": ("electra", {"architectures": ["ElectraForMultipleChoice"]}, "ElectraForMultipleChoice"),
    "xlnet one bias for all layers": ("xlnet", {"untie_r": False}, "untie_r"),
    "xlnet answers by beam search": (
        "xlnet",
        {"architectures": ["XLNetForQuestionAnswering"]},
        "XLNetForQuestionAnswering",
    ),
    "modernbert an output without a bias": ("modernbert", {"decoder_bias": False}, "decoder_bias"),
    "bart norms before": ("bart", {"normalize_before": True}, "normalize_before"),
    "bart a decoder": ("bart", {"is_decoder": True}, "is_decoder"),
    "glm relative positions": ("glm", {"relative_encoding": True}, "relative_encoding"),
    "t5 a decoder": ("t5", {"is_decoder": True}, "decoder"),
    "t5 another feed-forward layer": ("t5", {"feed_forward_proj": "gated-tanh"}, "feed_forward_proj"),
    "marian norms after the embedding": ("transformer", {"normalize_embedding": True}, "normalize_embedding"),
}


@pytest.mark.parametrize(("name", "changes", "option"), _OPTIONS.values(), ids=list(_OPTIONS))
def test_an_unsupported_option_is_refused_by_its_name(
    name: str, changes: dict[str, Any], option: str, tmp_path: pathlib.Path
) -> None:
    tracer = next(tracer for tracer in READERS if tracer.row.name == name)
    saved(tracer, tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(Unsupported, match=option):
        load_model(tmp_path / "m")


def test_labels_that_are_not_numbered_are_refused(tmp_path: pathlib.Path) -> None:
    tracer = next(tracer for tracer in READERS if tracer.row.name == "bert")
    saved(tracer, tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    changes = {"architectures": ["BertForTokenClassification"], "id2label": {"1": "a", "2": "b"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ConfigError, match="does not number"):
        load_model(tmp_path / "m")
