"""Reward models: a number for an answer to a prompt, from a network with a head of scores, or from several.

    reward = load_reward("runs/reward")
    reward(["What is 2 + 2?"], ["4"])                                  # [0.83]
    policy = trivium.load("runs/finetune")
    reward = load_reward("runs/reward", on=policy)                     # its adapter and its head, on the policy's base

The raw number of an answer is the weighted sum of its criteria, and the score is (raw - bias) gain. A preference does
not change when a number is added to all scores, so what they are of answers of an untrained policy is an accident, and
so would be the balance of a reward against a KL penalty. The recipe sets bias and gain so that reference answers score
0 with a spread of 1 (Huang et al. 2024, "The N+ Implementation Details of RLHF with PPO", detail 4).

What an ensemble is not sure of its members score differently. "conservative" takes so many of their standard deviations
from the mean: a policy then gains nothing by what only some of them like (Coste et al. 2023, "Reward Model Ensembles
Help Mitigate Overoptimization", section 3.2, with the deviation for the variance, in the unit of a score).
"""

import dataclasses
import json
import pathlib
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of, has_adapters
from trivium.adapters.attach import adapter_parameters
from trivium.adapters.routing import activate, using
from trivium.checkpoints.adapter_folder import check_base, load_beside_scores, scores_of
from trivium.checkpoints.provenance import is_model, read_description
from trivium.errors import CheckpointError, ConfigError, DataError, NonFiniteError, Unsupported
from trivium.generation.reading import device_of
from trivium.lm.load import load, saved_folder
from trivium.lm.local import LocalModel
from trivium.lm.reading import read_hidden
from trivium.lm.reward_rows import OBJECTIVE, Asked, RewardFacts, plain_row, reward_rows
from trivium.nn.classification_head import ClassificationHead
from trivium.nn.evaluating import evaluating
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined

Combination = Literal["mean", "conservative"]
ENSEMBLE = "ensemble.json"
"""In the folder of a run: the names of the runs beside it that score together with it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scorer:
    """One network that scores."""

    network: nn.Module
    """In any mode: it is put into evaluation mode to score."""
    classify: nn.Module
    """Its head of scores, or one that is kept beside a network that others use too."""
    adapter: str | None = None
    """The adapter that scores, where others are on the network; None: the network as it stands."""
    tokenizer: Tokenizer
    facts: RewardFacts


class RewardModel:
    """Scores answers by one network, or by several that were trained alike: an ensemble.

    Networks are read in evaluation mode and without gradients, and left as they were found, their active adapter too.
    """

    def __init__(
        self, scorers: Sequence[Scorer], *, combination: Combination = "mean", deviations: float = 1.0
    ) -> None:
        """``deviations``: of the members' scores, taken from their mean where the combination is "conservative"."""
        assert scorers, "a reward model has a network"
        criteria = {scorer.facts.criteria for scorer in scorers}
        if len(criteria) > 1:
            raise ConfigError(
                "the members of an ensemble score different things",
                received="; ".join(", ".join(each) for each in sorted(criteria)),
                fix="train them by the same criteria",
            )
        if combination == "conservative" and (len(scorers) < 2 or not deviations >= 0):
            raise ConfigError(
                "a conservative score is below the mean of several",
                received=f"{len(scorers)} reward model(s), deviations {deviations}",
                expected="two or more, and deviations of 0 or more",
                fix="use the combination mean, or train an ensemble",
            )
        self.scorers = tuple(scorers)
        self.combination: Combination = combination
        self.deviations = deviations
        self.cut = 0
        """Rows so far of which the beginning was cut off, as they were too long."""

    @property
    def criteria(self) -> tuple[str, ...]:
        """What is scored, in the order of ``scores``."""
        return self.scorers[0].facts.criteria

    def score(self, asked: Sequence[Asked], answers: Sequence[str]) -> list[float]:
        """One number for each answer to the prompt, or conversation, of the same place.

        Raises ``DataError`` for another number of answers than of prompts, and for rows that are too long where that is
        refused; ``NonFiniteError`` for weights that give no numbers.
        """
        return self._combined(self.each(asked, answers))

    __call__ = score

    def scores(self, asked: Sequence[Asked], answers: Sequence[str]) -> Float[Tensor, "N C"]:
        """Every criterion of each answer as the head gives it, fp64; of an ensemble the mean."""
        return self.numbers(asked, answers).mean(0)

    def numbers(self, asked: Sequence[Asked], answers: Sequence[str]) -> Float[Tensor, "M N C"]:
        """Every criterion of each answer as the head of each of the M members gives it, fp64; raises as ``score``."""
        return torch.stack([self._numbers(scorer, asked, answers) for scorer in self.scorers])

    def each(self, asked: Sequence[Asked], answers: Sequence[str]) -> Float[Tensor, "M N"]:
        """The score of each answer by each of the M members, fp64."""
        return torch.stack([_weighed(scorer, self._numbers(scorer, asked, answers)) for scorer in self.scorers])

    def score_ids(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """One number for each row of a prompt's ids with its answer's, end token included. Longer rows than the model
        reads lose their beginning; raises as ``score``."""
        if not all(rows):
            raise DataError("a row is empty: there is nothing to score", fix="leave empty rows out")
        each = [
            _weighed(scorer, _read(scorer, [plain_row(row, scorer.facts.context_tokens) for row in rows]))
            for scorer in self.scorers
        ]
        return self._combined(torch.stack(each))

    def _numbers(self, scorer: Scorer, asked: Sequence[Asked], answers: Sequence[str]) -> Float[Tensor, "N C"]:
        if isinstance(asked, str) or isinstance(answers, str) or len(asked) != len(answers):
            raise DataError(
                "there is one answer to each prompt",
                received=f"{len(asked)} prompts, {len(answers)} answers",
                fix='score(["prompt"], ["answer"])',
            )
        rows, cut = reward_rows(scorer.network, scorer.tokenizer, asked, answers, scorer.facts)
        if cut and not self.cut:
            warnings.warn(
                "rows are longer than those that the reward model was trained on: the beginning of their prompts is "
                "cut off; RewardModel.cut counts them",
                stacklevel=4,
            )
        self.cut += cut if scorer is self.scorers[0] else 0
        return _read(scorer, rows)

    def _combined(self, each: Float[Tensor, "M N"]) -> list[float]:
        middle = each.mean(0)
        if self.combination == "conservative":
            middle = middle - self.deviations * each.std(0, correction=0)
        return middle.tolist()


def _weighed(scorer: Scorer, numbers: Float[Tensor, "N C"]) -> Float[Tensor, "N"]:
    weights = torch.tensor(scorer.facts.weights, dtype=numbers.dtype)
    return (numbers @ weights - scorer.facts.bias) * scorer.facts.gain


@torch.no_grad()  # no inference mode: what a network keeps from one call for the next is trained with later
def _read(scorer: Scorer, rows: Sequence[Joined]) -> Float[Tensor, "N C"]:
    """What the head gives each row, rows of about one length together."""
    found = torch.empty(len(rows), len(scorer.facts.criteria), dtype=torch.float64)
    with evaluating(scorer.network), evaluating(scorer.classify), _with_adapter(scorer):
        for places, hidden, lengths in read_hidden(scorer.network, rows):
            found[places] = scorer.classify(hidden, lengths).double().cpu()
    if not bool(found.isfinite().all()):
        raise NonFiniteError("the reward model's scores are not numbers (NaN or infinite)")
    return found


def normalised(scorer: Scorer, reference: Sequence[Joined]) -> RewardFacts:
    """The scorer's facts, with a bias and a gain by which the rows of ``reference`` score 0 on average, with a standard
    deviation of 1. Rows that all score the same have no spread: the gain is then 1."""
    plain = dataclasses.replace(scorer.facts, bias=0.0, gain=1.0)
    found = _weighed(dataclasses.replace(scorer, facts=plain), _read(scorer, reference))
    spread = float(found.std(correction=0))
    return dataclasses.replace(plain, bias=float(found.mean()), gain=1 / spread if spread > 0 else 1.0)


def _with_adapter(scorer: Scorer) -> AbstractContextManager[None]:
    return using(scorer.network, scorer.adapter)


# Opening --------------------------------------------------------------------------------------------------------------


def load_reward(
    path: str | pathlib.Path | Sequence[str | pathlib.Path],
    *,
    on: LocalModel | None = None,
    name: str = "reward",
    combination: Combination = "mean",
    deviations: float = 1.0,
    device: str = "auto",
    dtype: str = "float32",
    any_base: bool = False,
) -> RewardModel:
    """The reward model of a folder or run, of all the runs of an ensemble, or of several folders.

    With ``on`` a folder that holds an adapter is put on that model's network, under ``name`` (and ``name_2``, ... for
    the others of an ensemble), and shares its weights; its head of scores is kept here. The adapter that was active
    stays so, and neither the adapter nor the head is trained. A base without adapters is frozen by it, as by any. A
    folder that holds a whole model is loaded by itself, on the same device.

    Raises what ``trivium.load`` does, ``CheckpointError`` for an adapter that was made for other weights than those of
    ``on`` unless ``any_base``, ``Unsupported`` for a model that gives no scores.
    """
    given = [path] if isinstance(path, str | pathlib.Path) else list(path)
    places = [member for each in given for member in _members(pathlib.Path(each).expanduser())]
    scorers = []
    for number, place in enumerate(places, start=1):
        folder = saved_folder(place)
        if on is not None and not is_model(folder):
            own = name if number == 1 else f"{name}_{number}"
            scorers.append(_beside(folder, on, own, any_base=any_base))
        else:
            target = device if on is None else str(device_of(on.network))
            scorers.append(_alone(load(folder, device=target, dtype=dtype, any_base=any_base), folder))
    return RewardModel(scorers, combination=combination, deviations=deviations)


def reward_of(model: LocalModel) -> RewardModel:
    """A model that is open already, as a reward. Raises as `load_reward`."""
    assert model.origin is not None, "a model that was loaded knows its folder"
    adapter = model.origin.adapters.get("default")
    return RewardModel([_alone(model, model.origin.folder if adapter is None else adapter)])


def is_reward(path: str | pathlib.Path) -> bool:
    """Whether the folder or run says of itself that it scores answers to prompts; raises as `saved_folder`."""
    return read_description(saved_folder(path)).get("objective") == OBJECTIVE


def _alone(model: LocalModel, folder: pathlib.Path) -> Scorer:
    if model.purpose != "regression" or model.tokenizer is None:
        raise Unsupported(
            "this model gives no scores",
            received=f"{folder}: " + ("no tokenizer" if model.purpose == "regression" else f"for {model.purpose}"),
            expected="a reward model, with its tokenizer",
            fix="train one: trivium align reward",
        )
    network: Any = model.network
    return Scorer(
        network=network,
        classify=network.classify,
        tokenizer=model.tokenizer,
        facts=RewardFacts.of(read_description(folder), model.config.labels),
    )


def _beside(folder: pathlib.Path, on: LocalModel, name: str, *, any_base: bool) -> Scorer:
    """The adapter of ``folder`` on the network of ``on``."""
    labels = scores_of(folder)
    if labels is None or on.tokenizer is None:
        raise Unsupported(
            "this adapter gives no scores" if labels is None else "scoring texts needs a tokenizer",
            received=folder if labels is None else "a base without one",
            expected="the adapter of a reward model",
        )
    if on.origin is not None and not any_base:
        check_base(folder, on.origin.folder)
    network = on.network
    before = adapters_of(network).routing.active if has_adapters(network) else None
    weight = load_beside_scores(folder, network, name)
    activate(network, before)
    for parameter in adapter_parameters(network, name).values():
        parameter.requires_grad_(False)
    head = ClassificationHead(weight.shape[1], len(labels), pooling="last", bias=False).requires_grad_(False)
    head.output.weight.copy_(weight)
    like = next(parameter for parameter in network.parameters() if parameter.is_floating_point())
    return Scorer(
        network=network,
        classify=head.to(device=like.device, dtype=like.dtype),
        adapter=name,
        tokenizer=on.tokenizer,
        facts=RewardFacts.of(read_description(folder), labels),
    )


def _members(path: pathlib.Path) -> list[pathlib.Path]:
    """The folder, and those of the ensemble that it is the first of."""
    listed = path / ENSEMBLE
    if not listed.is_file():
        return [path]
    try:
        names = json.loads(listed.read_text(encoding="utf-8"))["members"]
        found = [path.parent / str(name) for name in names]
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise CheckpointError(f"{listed} does not list runs", received=error, fix="copy it again") from error
    return [path if member.name == path.name else member for member in found]
