"""Every decoder agrees with ``transformers``: logits, loss, gradients, greedy ids, and the way back."""

import json

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from tests.parity.decoder_families import FAMILIES
from tests.parity.decoder_families.family import CONTEXT, VOCABULARY, Family, published
from trivium.models import architecture
from trivium.nn.weight_map import export

every_case = pytest.mark.parametrize(
    ("family", "case"),
    [pytest.param(family, case, id=f"{family.name}-{case}") for family in FAMILIES for case in family.cases],
)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference relative to the largest value of the reference ``b``."""
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()


@every_case
def test_logits_loss_and_gradients_agree(family: Family, case: str) -> None:
    theirs = family.reference(case)
    model = family.ours(theirs)
    tokens = torch.randint(VOCABULARY, (3, 56), generator=torch.Generator().manual_seed(0))
    expected = theirs(tokens).logits
    hidden = model(tokens).hidden
    assert relative(model.head.logits(hidden), expected) < 1e-5

    loss = model.head.nll_sum(hidden[:, :-1], tokens[:, 1:])
    their_loss = F.cross_entropy(expected[:, :-1].reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1), reduction="sum")
    assert loss.item() == pytest.approx(their_loss.item(), rel=1e-6)
    loss.backward()
    their_loss.backward()
    gradients = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}  # of buffers
    gradients |= {name: p.grad for name, p in model.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, family.row.weight_map(model.config)))
    expected_gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    largest = max(gradient.abs().max().item() for gradient in expected_gradients.values())
    for name, gradient in published(theirs, expected_gradients).items():
        if name.endswith(family.unseen):
            assert max(mapped[name].abs().max().item(), gradient.abs().max().item()) < 1e-6 * largest, name
        else:
            assert relative(mapped[name], gradient) < 1e-4, name


@every_case
def test_greedy_ids_agree(family: Family, case: str) -> None:
    """32 greedy tokens through our cache are those of ``generate``: all texts stay within the table of positions, and
    go beyond every sliding window."""
    theirs = family.reference(case)
    model = family.ours(theirs)
    prompt = torch.randint(VOCABULARY, (2, 20), generator=torch.Generator().manual_seed(1))
    expected = theirs.generate(prompt, max_new_tokens=32, do_sample=False, pad_token_id=0)
    with torch.no_grad():
        output = model(prompt, state=model.new_state(2, CONTEXT))
        ids = [prompt]
        for _ in range(32):
            ids.append(model.head.logits(output.hidden[:, -1:]).argmax(-1))
            output = model(ids[-1], state=output.state)
    assert torch.cat(ids, 1).tolist() == expected.tolist()


@every_case
def test_transformers_opens_what_we_write(family: Family, case: str, tmp_path) -> None:
    """Our config and tensors, written as a folder, load there without a warning about keys, bit for bit."""
    from safetensors.torch import save_file

    theirs = family.reference(case)
    model = family.ours(theirs)
    config = model.config
    (tmp_path / "config.json").write_text(json.dumps(config.to_hf()))
    tensors = dict(export(model.state_dict(), family.row.weight_map(config)))
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    attention = theirs.config._attn_implementation
    again, info = AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation=attention
    )
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    tokens = torch.randint(VOCABULARY, (1, 48))
    assert torch.equal(again.eval()(tokens).logits, theirs(tokens).logits)
    assert type(config).from_hf(config.to_hf()) == config


def test_transformers_4_spelling_of_rope_is_read() -> None:
    row = architecture("llama")
    base = {"model_type": "llama", "max_position_embeddings": 256}
    old = base | {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}
    new = base | {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.0}}
    assert row.config_class().from_hf(old) == row.config_class().from_hf(new)
