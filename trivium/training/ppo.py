"""PPO for those who write and judge texts themselves: prompts, completions and rewards in, one update out.

    model = trivium.load("runs/finetune")
    ppo = trivium.training.PPO(model)
    for prompts in batches:
        completions = model.generate(prompts, max_new_tokens=40, temperature=1.0)
        metrics = ppo.step(prompts, completions, [reward(c.text) for c in completions])

    trivium.save(model, "better", merge=True)

The policy, what it is held near and its critic are one network: a LoRA that is trained, the base without it, and a
linear layer on the policy's hidden states. ``method`` makes it GRPO, RLOO or REINFORCE, which need no critic.

Completions are samples of the policy's own distribution at the configuration's temperature: with ``top_k``, ``top_p``
or beams, or where ``generation_config.json`` names such, the ratios are of another distribution than was drawn from.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of, has_adapters
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.clone import clone_frozen
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.methods import AdapterConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.data.padding import padded
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.tokenizers import Tokenizer
from trivium.training.learners.policy import PolicyLearner
from trivium.training.learners.policy_config import PolicyConfig, method_config
from trivium.training.references import Reference, copied, with_adapter, without_adapters

POLICY, REFERENCE = "policy", "reference"
"""The adapters' names."""
Numbers = Sequence[float | np.generic | Tensor] | np.ndarray | Tensor
"""What may be given as rewards: one number a completion, of any kind."""
_SHOWN = 60


@runtime_checkable
class Writer(Protocol):
    """What is needed of a model: `trivium.load` gives one."""

    network: nn.Module
    tokenizer: Tokenizer | None

    def prompt_ids(self, prompt: str) -> list[int]:
        """The ids that a prompt is read as."""
        ...


@runtime_checkable
class Completed(Protocol):
    """An answer with its ids, as `generate` gives one."""

    token_ids: list[int]
    logprobs: list[float]


class PPO:
    """One policy and its updates; ``model`` answers as the policy does, from one step to the next."""

    def __init__(
        self,
        model: Writer,
        config: PolicyConfig | None = None,
        *,
        method: str = "ppo",
        adapter: AdapterConfig | None = None,
        full: bool = False,
        steps: int = 1000,
        longest_answer: int | None = None,
    ) -> None:
        """``config`` says how to learn, else the usual settings of ``method`` (ppo, grpo, rloo, reinforce).

        What is trained is a new ``adapter``, by default a LoRA on every matrix of the blocks, or the one that is
        active on the model, which is then held near what it is now; with ``full`` the whole network, held near a copy.
        ``steps`` is what the schedule of the learning rate is spread over. Raises ``ConfigError`` or ``Unsupported``
        for what cannot be.
        """
        self._model = model
        self._config = config or method_config(method)
        if self._config.ppo.average == "length" and longest_answer is None:
            raise ConfigError(
                "a mean by length needs the length of the longest answer",
                received="ppo.average length, longest_answer None",
                fix="give longest_answer: max_new_tokens",
            )
        reference = _reference(model.network, adapter, full=full)
        self.learner = PolicyLearner(
            model.network,
            self._config,
            steps=steps,
            reference=reference,
            begins_as_reference=True,
            longest_answer=longest_answer,
        )

    def step(
        self,
        prompts: Sequence[str | Sequence[int] | Tensor] | Tensor,
        completions: Sequence["str | Sequence[int] | Tensor | Completed"],
        rewards: Numbers,
    ) -> dict[str, float]:
        """One update on texts that the model has just written, each with what it is worth; gives what was measured.

        Prompts and completions are texts or ids, or completions what ``generate`` gave. A text is followed by the end
        token; ids are taken as they are. Prompts that are alike are one group, for methods that compare answers.

        Raises ``DataError`` for lists of unequal length, an empty prompt or completion, an id that the model does not
        have, or a reward that is no finite number, with its place; ``ConfigError`` where answers are compared and no
        prompt has two.
        """
        worth = _checked(prompts, completions, rewards)
        asked = [self._model.prompt_ids(each) if isinstance(each, str) else _ids(each) for each in prompts]
        written = [self._written(each) for each in completions]
        network: Any = self._model.network
        _check_ids("prompt", asked, network.config.vocabulary_size)
        _check_ids("completion", written, network.config.vocabulary_size)
        groups = _numbered(asked)
        if self._config.advantages.compares and max(groups) + 1 == len(groups):
            raise ConfigError(
                "answers are compared with others to the same prompt, and no prompt has two",
                received=f"{len(groups)} prompts, all different",
                fix="generate(..., n=4), and give each prompt as often",
            )
        tokens, lengths = padded([[*prompt, *ids] for prompt, ids in zip(asked, written, strict=True)])
        begins = torch.tensor([len(prompt) for prompt in asked])
        sampled = torch.zeros(tokens.shape)
        for row, (prompt, given) in enumerate(zip(asked, completions, strict=True)):
            if isinstance(given, Completed):
                sampled[row, len(prompt) : len(prompt) + len(given.logprobs)] = torch.tensor(given.logprobs)
        told = sampled if all(isinstance(given, Completed) for given in completions) else None
        batch = self.learner.rollout(tokens, lengths, begins, worth, groups=torch.tensor(groups), sampled=told)
        metrics = self.learner.step(batch)
        self._model.network.eval()
        return metrics

    def _written(self, completion: "str | Sequence[int] | Tensor | Completed") -> list[int]:
        if isinstance(completion, Completed):
            return list(completion.token_ids)
        if not isinstance(completion, str):
            return _ids(completion)
        tokenizer = self._model.tokenizer
        if tokenizer is None or tokenizer.eos_id is None:
            raise Unsupported(
                "a text is followed by the end token, and this model has none",
                received=completion[:_SHOWN],
                fix="give the ids that were written, or what generate gave",
            )
        return [*tokenizer.encode(completion), tokenizer.eos_id]


def _reference(network: nn.Module, adapter: AdapterConfig | None, *, full: bool) -> Reference:
    """Puts in place what is trained; gives what it is held near."""
    active = adapters_of(network).routing.active if has_adapters(network) else None
    if full:
        if adapter is not None or active is not None:
            raise ConfigError(
                "either the whole network is trained or an adapter",
                received=f"full, and the adapter {active or 'that was given'}",
                fix="leave one of them out",
            )
        network.requires_grad_(True)
        return copied(network)
    if active is None:
        attach(network, POLICY, adapter or LoRAConfig(targets=ALL_LINEAR))
        return without_adapters(network)
    if adapter is not None:
        raise ConfigError(
            "the model has an active adapter, which is trained further",
            received=f"{active}, and another one to begin",
            fix="leave adapter out, or deactivate the one that there is",
        )
    network.requires_grad_(False)
    for parameter in adapter_parameters(network, active).values():  # loaded for use, it may stand still
        parameter.requires_grad_(True)
    taken = adapters_of(network).configs
    free = next(name for n in itertools.count() if (name := f"{REFERENCE}{n or ''}") not in taken)
    clone_frozen(network, active, free)
    return with_adapter(network, free)


def _checked(prompts: Sequence[Any] | Tensor, completions: Sequence[Any], rewards: Numbers) -> Tensor:
    if isinstance(prompts, str) or isinstance(completions, str) or not len(prompts):
        raise DataError("prompts and completions are lists, of one each at least", received=repr(prompts)[:_SHOWN])
    given: Any = rewards.tolist() if isinstance(rewards, Tensor | np.ndarray) else rewards
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise DataError("rewards are a list, of one number a completion", received=repr(rewards)[:_SHOWN])
    numbers = [each.item() if isinstance(each, Tensor | np.generic) and each.shape == () else each for each in given]
    if not len(prompts) == len(completions) == len(numbers):
        raise DataError(
            "a step needs as many completions and rewards as prompts",
            received=f"{len(prompts)} prompts, {len(completions)} completions, {len(numbers)} rewards",
        )
    for place, number in enumerate(numbers):
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise DataError(
                f"reward {place} is no finite number",
                received=repr(number)[:_SHOWN],
                expected="one finite number a completion",
            )
    return torch.tensor(numbers, dtype=torch.float32)


def _check_ids(called: str, texts: Sequence[list[int]], vocabulary_size: int) -> None:
    for place, ids in enumerate(texts):
        if not ids:
            raise DataError(
                f"{called} {place} is empty",
                received="no tokens",
                expected="at least one; of a completion the token that ends it",
            )
        for at, id in enumerate(ids):
            if not 0 <= id < vocabulary_size:
                raise DataError(
                    f"{called} {place} holds an id that the model does not have",
                    received=f"id {id}, token {at} of {len(ids)}",
                    expected=f"0 to {vocabulary_size - 1}, as the vocabulary has {vocabulary_size:,}",
                    fix="encode it with the model's own tokenizer",
                )


def _ids(given: Sequence[int] | Tensor) -> list[int]:
    return given.tolist() if isinstance(given, Tensor) else list(given)


def _numbered(prompts: Sequence[list[int]]) -> list[int]:
    """The number of each prompt, equal ones sharing theirs."""
    known: dict[tuple[int, ...], int] = {}
    return [known.setdefault(tuple(prompt), len(known)) for prompt in prompts]
