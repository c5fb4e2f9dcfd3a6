"""The learners that write their own data, through the one Trainer: killed anywhere, they end where they would have."""

import pathlib
from typing import Any

import torch

from tests.training.kill import assert_survives_kills
from tests.training.toys import VOCABULARY, NumberedSource, batch
from trivium.data.batches import CausalBatch, RolloutBatch
from trivium.generation.ancestral import sample
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.models.text_cnn import TextCNN, TextCNNConfig
from trivium.objectives.seqgan import SeqGANConfig
from trivium.training.adversarial.seqgan import SeqGAN
from trivium.training.learners.adversarial import AdversarialConfig, AdversarialLearner
from trivium.training.learners.policy import PolicyLearner
from trivium.training.learners.policy_config import PenaltyConfig, PolicyConfig
from trivium.training.references import separate
from trivium.training.schedules import ScheduleConfig


def lstm() -> LSTM:
    return LSTM(LSTMConfig(vocabulary_size=VOCABULARY, width=8, layers=1, dropout=0.1))


class RolloutSource:
    """Texts that the learner's policy samples from the default generator; the reward is the share of even tokens."""

    def __init__(self, learner: PolicyLearner) -> None:
        self.learner = learner

    def __next__(self) -> RolloutBatch:
        policy = self.learner.model.eval()
        start, lengths = torch.ones(4, 1, dtype=torch.long), torch.tensor([5, 2, 4, 6])
        texts = torch.cat([start, sample(policy, start, 5)], 1)
        rewards = (texts[:, 1:] % 2 == 0).double().mean(1)
        return self.learner.rollout(texts, lengths, torch.ones_like(lengths), rewards)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state == {}


def policy_job() -> tuple[PolicyLearner, RolloutSource, list[RolloutBatch]]:
    generator = torch.get_rng_state()
    torch.manual_seed(11)  # a reference is loaded, not drawn: it is the same in every process
    reference = lstm()
    torch.set_rng_state(generator)
    config = PolicyConfig(
        schedule=ScheduleConfig(kind="constant", warmup_steps=2),
        mini_batches=2,
        penalty=PenaltyConfig(weight=0.1, target=0.2, horizon=100),
    )
    learner = PolicyLearner(lstm(), config, steps=20, reference=separate(reference))
    fixed = batch(1000)
    mask = torch.arange(12) < fixed.lengths[:, None]
    mask[:, 0] = False
    zeros = torch.zeros(4, 12)
    rollouts = RolloutBatch(
        fixed.tokens,
        fixed.lengths,
        torch.ones_like(fixed.lengths),
        zeros - 3,
        zeros,
        zeros + mask * 0.1,
        mask,
        torch.arange(4),
    )
    return learner, RolloutSource(learner), [rollouts]


def adversarial_job() -> tuple[AdversarialLearner, NumberedSource, list[CausalBatch]]:
    shape = TextCNNConfig(vocabulary_size=VOCABULARY, width=8, windows=(1, 2), filters=(4, 4), dropout=0.5)
    game = SeqGAN(lstm(), TextCNN(shape), SeqGANConfig(rollouts=1), parts=2)
    config = AdversarialConfig(discriminator_updates=1)
    return AdversarialLearner(game, config, steps=20), NumberedSource(), [batch(1000)]


def test_policy_learner(tmp_path: pathlib.Path) -> None:
    assert_survives_kills(policy_job, tmp_path, 6)


def test_adversarial_learner(tmp_path: pathlib.Path) -> None:
    assert_survives_kills(adversarial_job, tmp_path, 3)
