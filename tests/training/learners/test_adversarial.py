"""SeqGAN through its learner: rewards stand where they belong, the turns, the lag, resuming."""

import pytest
import torch
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.models.text_cnn import TextCNN, TextCNNConfig
from trivium.nn.output import Output
from trivium.nn.state import RecurrentState, State
from trivium.objectives.seqgan import seqgan
from trivium.training.learners.adversarial import AdversarialConfig, AdversarialLearner
from trivium.training.learners.rollouts import rollout_rewards, sample
from trivium.training.optimisers import OptimiserConfig

V = 7


def generator(kind: str = "lstm") -> nn.Module:
    torch.manual_seed(3)
    if kind == "gpt2":
        return GPT2(GPT2Config(vocabulary_size=V, width=16, layers=2, heads=2, context_tokens=12)).eval()
    return LSTM(LSTMConfig(vocabulary_size=V, width=16, layers=1, dropout=0.2, tied=False)).eval()


def discriminator() -> nn.Module:
    torch.manual_seed(4)
    shape = TextCNNConfig(vocabulary_size=V, width=16, windows=(1, 2, 3), filters=(8, 8, 8), highway=True, dropout=0.5)
    return TextCNN(shape)


def real(rows: int = 6, length: int = 5) -> CausalBatch:
    """Texts that count upwards, of unequal length, after the start token 0."""
    texts = (torch.randint(0, V, (rows, 1)) + torch.arange(length)) % V
    tokens = torch.cat([torch.zeros(rows, 1, dtype=torch.long), texts[:, :-1]], 1)
    lengths = torch.arange(rows) % 3 + length - 2
    mask = torch.arange(length) < lengths[:, None]
    return CausalBatch(tokens=tokens, targets=texts, mask=mask, lengths=lengths)


class Table(nn.Module):
    """A model whose distribution depends on the position alone."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.head = _TableHead()

    def new_state(self, rows: int, capacity: int) -> State:
        return State([RecurrentState((torch.zeros(rows, 1),))], torch.zeros(rows, dtype=torch.long))

    def forward(self, tokens: Tensor, *, lengths: Tensor | None = None, state: State | None = None) -> Output:
        start = torch.zeros(tokens.shape[0], dtype=torch.long) if state is None else state.lengths
        positions = start[:, None] + torch.arange(tokens.shape[1])
        after = None if state is None else State(state.layers, start + tokens.shape[1])
        return Output(self.logits[positions.clamp(max=self.logits.shape[0] - 1)], after)


class _TableHead(nn.Module):
    def logits(self, hidden: Tensor) -> Tensor:
        return hidden

    def nll_sum(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        picked = torch.log_softmax(hidden, -1).gather(-1, targets[:, None])[:, 0]
        return -(picked * weights).sum()


def test_every_reward_stands_at_its_text_and_its_position():
    """The judge reads off which text it sees and how much of it was given: nothing is scrambled on the way."""
    filler = torch.full((6, V), -1e9)
    filler[:, 0] = 0.0  # every ending is zeros
    texts = torch.randint(1, V, (5, 6))
    texts[:, 0] = torch.arange(1, 6)
    lengths = torch.full((5,), 6)

    def judge(seen: Tensor, lengths: Tensor) -> Tensor:
        return (100 * seen[:, 0] + (seen != 0).sum(1)).double()

    rewards = rollout_rewards(Table(filler), judge, torch.zeros(5, 1, dtype=torch.long), texts, lengths, rollouts=3)
    expected = 100.0 * torch.arange(1, 6)[:, None] + torch.arange(1, 7)
    assert torch.equal(rewards, expected.double())


def test_a_reward_that_depends_on_one_position_trains_that_position():
    """A hand-made discriminator likes the token 2 at position 3 and looks at nothing else."""
    torch.manual_seed(0)
    rows, length, at = 3000, 6, 3
    policy = Table(torch.zeros(length, 4))
    start = torch.zeros(rows, 1, dtype=torch.long)
    texts = sample(policy, start, length)
    lengths = torch.full((rows,), length)

    def judge(seen: Tensor, lengths: Tensor) -> Tensor:
        return (seen[:, at] == 2).float()

    rewards = rollout_rewards(policy, judge, start, texts, lengths, rollouts=8)
    assert torch.equal(rewards[:, at:], (texts[:, at] == 2).float()[:, None].expand(-1, length - at))
    assert (rewards[:, :at].mean(0) - 0.25).abs().max() < 0.02
    batch = CausalBatch(
        tokens=torch.cat([start, texts[:, :-1]], 1),
        targets=texts,
        mask=torch.ones(rows, length, dtype=torch.bool),
        lengths=lengths,
    )
    (gradient,) = torch.autograd.grad(seqgan(policy, batch, rewards, "position").total / rows, policy.logits)
    torch.testing.assert_close(gradient[at], torch.tensor([0.0625, 0.0625, -0.1875, 0.0625]), rtol=0, atol=0.03)
    others = torch.cat([gradient[:at], gradient[at + 1 :]])
    assert others.abs().max() < 0.03


@pytest.mark.parametrize("kind", ["lstm", "gpt2"])
def test_sampling_with_a_state_equals_sampling_without(kind: str):
    model = generator(kind).double()
    start = torch.tensor([[1], [2], [3]])
    torch.manual_seed(5)
    texts = sample(model, start, 6)
    torch.manual_seed(5)
    whole = start
    with torch.no_grad():
        for _ in range(6):
            probabilities = torch.softmax(model.head(model(whole).hidden[:, -1]), -1)
            uniforms = torch.rand(3, dtype=torch.float64)
            chosen = (probabilities.cumsum(-1) <= uniforms[:, None]).sum(-1)
            whole = torch.cat([whole, chosen[:, None]], 1)
    assert torch.equal(texts, whole[:, 1:])


@pytest.mark.parametrize("kind", ["lstm", "gpt2"])
def test_endings_continue_their_own_beginning(kind: str):
    """A rollout of the greatest certainty is what the model makes of that beginning alone."""
    model = generator(kind).double()
    with torch.no_grad():
        model.head.weight.mul_(1e9)  # as good as greedy
    start, texts = torch.tensor([[1], [2]]), torch.randint(0, V, (2, 6))
    lengths = torch.tensor([6, 6])
    seen: list[Tensor] = []

    def judge(whole: Tensor, lengths: Tensor) -> Tensor:
        seen.append(whole)
        return torch.zeros(whole.shape[0])

    rollout_rewards(model, judge, start, texts, lengths, rollouts=2)
    assert len(seen) == 6
    for t, wholes in enumerate(seen[:-1]):
        for copy, whole in enumerate(wholes):
            row = copy // 2
            expected = torch.cat([start[row], texts[row, : t + 1]])[None]
            with torch.no_grad():
                while expected.shape[1] < 7:
                    following = model.head(model(expected).hidden[:, -1]).argmax(-1)
                    expected = torch.cat([expected, following[:, None]], 1)
            assert torch.equal(whole, expected[0, 1:])


def learner(**changes: object) -> AdversarialLearner:
    given = {
        "generator": OptimiserConfig(learning_rate=1e-2, weight_decay=0.0),
        "discriminator": OptimiserConfig(learning_rate=1e-2, weight_decay=0.0),
        "discriminator_updates": 2,
        "rollouts": 3,
        **changes,
    }
    return AdversarialLearner(generator(), discriminator(), AdversarialConfig(**given), steps=10)


def test_a_step():
    both = learner()
    start = [parameter.clone() for parameter in both.model.parameters()]
    modes: list[bool] = []
    judge = both._discriminator
    judge.register_forward_hook(lambda module, *_: modes.append(module.training == torch.is_grad_enabled()))
    metrics = both.step(real())
    assert all(modes), "dropout acts in the discriminator's own updates and never in rewards"
    assert len(modes) == 2 + 5
    assert metrics["tokens"] == int(real().mask.sum())
    assert metrics["skipped"] == 0.0
    assert 0 < metrics["reward"] < 1
    lagging = list(both._rollout_policy.parameters())
    for before, lagged, now in zip(start, lagging, both.model.parameters(), strict=True):
        torch.testing.assert_close(lagged, 0.8 * before + 0.2 * now)
    assert any(not torch.equal(a, b) for a, b in zip(start, both.model.parameters(), strict=True))


def test_the_discriminator_learns_to_tell():
    both = learner(discriminator_updates=20, rollouts=1)
    metrics = [both.step(real(32)) for _ in range(3)]
    assert metrics[-1]["discriminator_correct"] > 0.8
    assert metrics[-1]["discriminator_loss"] < metrics[0]["discriminator_loss"]


def test_micro_batches_change_nothing():
    ends = []
    for micro_batches in (1, 3):
        torch.manual_seed(6)
        network = generator().double()
        critic = TextCNN(TextCNNConfig(vocabulary_size=V, width=8, windows=(2,), filters=(8,), dropout=0.0)).double()
        chosen = AdversarialConfig(micro_batches=micro_batches, rollouts=2, discriminator_updates=1)
        both = AdversarialLearner(network, critic, chosen, steps=2)
        torch.manual_seed(7)
        for _ in range(2):
            both.step(real())
        ends.append(torch.cat([parameter.flatten() for parameter in network.parameters()]))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-10)


def test_resumed_it_goes_on_bit_for_bit():
    both = learner()
    for _ in range(2):
        both.step(real())
    tensors, state = both.state_dict()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    random = torch.get_rng_state()
    expected = [both.step(real()) for _ in range(2)]
    resumed = learner()
    resumed.load_state_dict(tensors, state)
    torch.set_rng_state(random)
    assert [resumed.step(real()) for _ in range(2)] == expected
    for name, tensor in both.state_dict()[0].items():
        assert torch.equal(tensor, resumed.state_dict()[0][name]), name


def test_evaluation_is_the_likelihood_of_real_text():
    both, batch = learner(), real()
    random = torch.get_rng_state()
    total, count = both.evaluate(batch)
    assert torch.equal(torch.get_rng_state(), random)
    with torch.no_grad():
        log_probs = torch.log_softmax(both.model.head(both.model(batch.tokens).hidden), -1)
    expected = -log_probs.gather(-1, batch.targets[..., None])[..., 0][batch.mask].sum()
    assert total == pytest.approx(float(expected), rel=1e-5)
    assert count == batch.num_tokens
    assert set(both.weights()) == set(both.model.state_dict())


def test_errors():
    for wrong in ({"rollouts": 0}, {"discriminator_updates": 0}, {"rollout_lag": 1.0}):
        with pytest.raises(ConfigError):
            AdversarialConfig(**wrong)
