"""The load-balancing loss is that of ``transformers``, over all layers together and without padding."""

import json

import pytest
import torch
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from tests.parity.decoder_families import gpt_oss, mixtral, qwen3_moe
from tests.parity.decoder_families.family import VOCABULARY, Family
from trivium.data.batches import CausalBatch
from trivium.objectives.causal import causal

LENGTHS = torch.tensor([20, 7, 13])


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("family", "case"), [(mixtral.FAMILY, "plain"), (qwen3_moe.FAMILY, "dense-layers"), (gpt_oss.FAMILY, "plain")]
)
def test_agrees(family: Family, case: str, padded: bool) -> None:
    theirs = family.reference(case)
    model = family.ours(theirs).train()
    tokens = torch.randint(VOCABULARY, (3, 20), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(20) < LENGTHS[:, None]) if padded else torch.ones(3, 20, dtype=torch.bool)
    # Theirs over the routers' own logits: the model as a whole is held against it elsewhere.
    logits = theirs(tokens, attention_mask=mask.long(), output_router_logits=True).router_logits
    stated = json.loads(theirs.config.to_json_string(use_diff=False))
    expected = load_balancing_loss_func(
        logits, stated["num_local_experts"], stated["num_experts_per_tok"], mask if padded else None
    )
    output = model(tokens, lengths=LENGTHS if padded else None)
    weight = stated["router_aux_loss_coef"]
    assert model.config.balance_weight == weight
    assert output.auxiliary.keys() == {"load_balance"}
    wanted = weight * mask.sum() * expected
    assert output.auxiliary["load_balance"].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert model.eval()(tokens).auxiliary == {}

    output.auxiliary["load_balance"].backward()
    wanted.backward()
    ours = [p.grad for n, p in model.named_parameters() if n.endswith("router.logits.weight")]
    reference = [p.grad for n, p in theirs.named_parameters() if n.endswith(("mlp.gate.weight", "router.weight"))]
    for got, right in zip(ours, reference, strict=True):
        torch.testing.assert_close(got, right, rtol=1e-4, atol=1e-6)


def test_is_added_by_the_objective() -> None:
    model = mixtral.FAMILY.ours(mixtral.FAMILY.reference("plain")).train()
    tokens = torch.randint(VOCABULARY, (2, 9))
    batch = CausalBatch(tokens[:, :-1], tokens[:, 1:], torch.ones(2, 8, dtype=torch.bool), torch.tensor([8, 8]))
    loss = causal(model, batch)
    assert loss.auxiliary.keys() == {"load_balance"}
    assert loss.auxiliary["load_balance"] / loss.count > 0.001 * 2 * 0.9
