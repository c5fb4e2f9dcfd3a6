"""What TRL makes of given logits: writes `data/trl_losses.json` and `data/trl_grpo.json`, which the tests here read.

    pip install --target FOLDER trl==1.12.0 accelerate datasets      # beside torch and transformers
    PYTHONPATH=FOLDER python tests/objectives/trl_losses.py

The trainers' own methods are called, of trainers that were never set up: a "model" gives the logits that it is told,
and what the methods read of a trainer is set by hand. All is in float64.
"""

import json
import pathlib
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
import trl
from torch import Tensor, nn
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

DATA = pathlib.Path(__file__).parent / "data"
PAIRS, TOKENS, KL_TOKENS, PIECES = 4, 6, 5, 7


class Told(nn.Module):
    """Gives the logits of the ids it is asked of, whatever these are."""

    def __init__(self, **logits: Tensor) -> None:
        super().__init__()
        self.told = logits
        self.is_gradient_checkpointing = False

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=next(t for t in self.told.values() if t.shape[:2] == input_ids.shape))


def bare(trainer: type, **attributes: Any) -> Any:
    """A trainer that was not set up."""
    made = object.__new__(trainer)
    accelerator = SimpleNamespace(device=torch.device("cpu"), num_processes=1, sync_gradients=True)
    accelerator.gather_for_metrics = accelerator.gather = lambda values: torch.as_tensor(values)
    accelerator.unwrap_model = lambda model: model
    accelerator.reduce = lambda values, reduction: values
    made.accelerator, made._metrics = accelerator, {"train": defaultdict(list), "eval": defaultdict(list)}
    made.args = SimpleNamespace(gradient_checkpointing_kwargs=None)
    made.aux_loss_enabled, made._total_train_tokens = False, 0
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def drawn(*shape: int) -> Tensor:
    return 1.5 * torch.randn(*shape, dtype=torch.float64)


def case(name: str, settings: dict[str, Any], inputs: dict[str, Tensor], loss: Tensor, leaf: Tensor) -> dict[str, Any]:
    """As JSON; the gradient is with respect to ``leaf``."""
    (gradient,) = torch.autograd.grad(loss, leaf)
    stored = {key: value.detach().tolist() for key, value in inputs.items()}
    return {
        "name": name,
        "settings": settings,
        "inputs": stored,
        "loss": loss.item(),
        "gradient": gradient.tolist(),
    }


def pair_inputs() -> dict[str, Tensor]:
    """The chosen answers' rows, then the rejected ones'; answers of every length from 1 on."""
    rows = 2 * PAIRS
    ids = torch.randint(PIECES, (rows, TOKENS))
    mask = torch.zeros(rows, TOKENS, dtype=torch.long)
    for row in range(rows):
        begin = 1 + row % 3
        mask[row, begin : begin + 1 + row % (TOKENS - begin)] = 1
    return {"ids": ids, "mask": mask, "logits": drawn(rows, TOKENS, PIECES), "reference": drawn(rows, TOKENS, PIECES)}


def direct(name: str, loss_type: str, **settings: float) -> dict[str, Any]:
    """A loss of DPOTrainer."""
    inputs = pair_inputs()
    logits = inputs["logits"].requires_grad_()
    policy, reference = Told(logits=logits), Told(logits=inputs["reference"])
    trainer = bare(
        trl.DPOTrainer,
        model=policy,
        ref_model=reference,
        ld_alpha=None,
        precompute_ref_logps=False,
        f_divergence_type="reverse_kl",
        loss_types=[loss_type],
        loss_weights=[1.0],
        use_weighting=False,
    )
    for key, value in settings.items():
        setattr(trainer, key, value)
    given = {"input_ids": inputs["ids"], "attention_mask": torch.ones_like(inputs["ids"])}
    loss = trainer._compute_loss(policy, given | {"completion_mask": inputs["mask"]}, False)
    return case(name, settings, inputs, loss, logits)


def of_numbers(name: str, **settings: float) -> dict[str, Any]:
    """A loss of two numbers a pair. Of "simpo" and "orpo" they are log-probabilities a token; ORPOTrainer computes in
    float32. Of "cdpo" they are log-ratios: DPOTrainer smooths no labels, and CPOTrainer's loss has its form."""
    chosen, rejected = (-drawn(PAIRS).abs() - 0.05 for _ in range(2))
    chosen[0], rejected[1] = -1e-4, -40.0  # almost certain, and almost impossible
    numbers = torch.stack([chosen, rejected]).requires_grad_()
    if name == "orpo":
        losses = -bare(ORPOTrainer, **settings).odds_ratio_loss(*numbers)[0].double()
    else:
        given: dict[str, Any] = {"beta": settings["beta"], "label_smoothing": settings.get("label_smoothing", 0.0)}
        given |= (
            {"simpo_gamma": settings["gamma"], "loss_type": "simpo"} if name == "simpo" else {"loss_type": "sigmoid"}
        )
        losses = bare(CPOTrainer, alpha=0.0, **given).cpo_loss(*numbers)[0]
    return case(name, settings, {"numbers": numbers}, losses.mean(), numbers)


def unpaired(name: str, labels: list[bool], raised: float, **settings: float) -> dict[str, Any]:
    """KTOTrainer's; ``raised`` is by how much the reference's logits of the mismatched answers are above the policy's:
    below 0 for a divergence above it."""
    inputs = {name: value[: len(labels)] for name, value in pair_inputs().items()}
    kl_ids = torch.randint(PIECES, (len(labels), KL_TOKENS))
    kl_mask = torch.ones_like(kl_ids)
    kl_mask[:, 0], kl_mask[0, -1] = 0, 0
    kl_logits = drawn(len(labels), KL_TOKENS, PIECES)
    kl_reference = kl_logits.clone()
    kl_reference.scatter_add_(
        2, kl_ids.roll(-1, 1)[..., None], torch.full((len(labels), KL_TOKENS, 1), raised).double()
    )
    logits = inputs["logits"].requires_grad_()
    policy = Told(logits=logits, kl=kl_logits)
    trainer = bare(
        trl.KTOTrainer,
        model=policy,
        ref_model=Told(logits=inputs["reference"], kl=kl_reference),
        calculate_KL=True,
        precompute_ref_logps=False,
        use_liger_kernel=False,
        loss_type="kto",
        **settings,
    )
    given = {"input_ids": inputs["ids"], "attention_mask": torch.ones_like(inputs["ids"])}
    given |= {"completion_mask": inputs["mask"], "label": torch.tensor(labels)}
    given |= {"KL_input_ids": kl_ids, "KL_attention_mask": torch.ones_like(kl_ids), "KL_completion_mask": kl_mask}
    loss = trainer._compute_loss(policy, given, False)
    inputs |= {"good": given["label"], "kl_ids": kl_ids, "kl_mask": kl_mask}
    inputs |= {"kl_logits": kl_logits, "kl_reference": kl_reference}
    return case(name, settings, inputs, loss, logits)


def grouped(loss_type: str, beta: float, epsilon: float, epsilon_high: float) -> dict[str, Any]:
    """GRPOTrainer's, from the log-probability of each token."""
    rows, tokens, longest = 6, 8, 10
    mask = (torch.arange(tokens) < torch.tensor([8, 3, 1, 5, 8, 2])[:, None]).long()
    old = -drawn(rows, tokens).abs()
    own = (old + 0.2 * drawn(rows, tokens)).requires_grad_()
    reference = old + 0.3 * drawn(rows, tokens)
    advantages = drawn(rows)
    trainer = bare(
        trl.GRPOTrainer,
        model=nn.Identity(),
        beta=beta,
        epsilon_low=epsilon,
        epsilon_high=epsilon_high,
        loss_type=loss_type,
        max_completion_length=longest,
        importance_sampling_level="token",
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        _get_per_token_logps_and_entropies=lambda *_, **__: (own, torch.zeros_like(own), None),
    )
    trainer.args = SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1)
    blank = torch.zeros(rows, 1, dtype=torch.long)
    given = {"prompt_ids": blank, "prompt_mask": blank, "completion_ids": mask, "completion_mask": mask}
    given |= {"advantages": advantages, "old_per_token_logps": old, "ref_per_token_logps": reference}
    loss = trainer._compute_loss(trainer.model, given | {"num_items_in_batch": mask.sum()})
    inputs = {"log_probs": own, "old_log_probs": old, "reference_log_probs": reference}
    inputs |= {"advantages": advantages, "mask": mask}
    settings = {"loss_type": loss_type, "beta": beta, "epsilon": epsilon, "epsilon_high": epsilon_high}
    return case(loss_type, settings | {"max_completion_length": longest}, inputs, loss, own)


def main() -> None:
    """Writes both files."""
    torch.manual_seed(0)
    losses = [
        direct("dpo", "sigmoid", beta=0.1),
        direct("dpo", "sigmoid", beta=0.7),
        of_numbers("cdpo", beta=0.7, label_smoothing=0.2),
        direct("ipo", "ipo", beta=0.3),
        of_numbers("simpo", beta=2.0, gamma=0.5),
        of_numbers("simpo", beta=2.5, gamma=1.4, label_smoothing=0.1),
        of_numbers("orpo", beta=0.25),
    ]
    weights = {"desirable_weight": 1.3, "undesirable_weight": 0.6}
    losses += [
        unpaired("kto", [True, False, True, True, False], -0.3, beta=0.4, **weights),
        unpaired("kto", [True, False, False, True], 0.3, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0),
        unpaired("kto", [False, False, False], -0.1, beta=0.2, **weights),
    ]
    grpo = [
        grouped(loss_type, beta, 0.2, high)
        for loss_type in ("grpo", "dapo", "dr_grpo")
        for beta, high in ((0.0, 0.2), (0.04, 0.28))
    ]
    DATA.mkdir(exist_ok=True)
    for name, cases in (("trl_losses", losses), ("trl_grpo", grpo)):
        content = {"trl": trl.__version__, "torch": torch.__version__, "cases": cases}
        (DATA / f"{name}.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
