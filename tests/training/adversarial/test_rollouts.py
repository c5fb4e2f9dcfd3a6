"""Monte Carlo search: every reward stands at its own text and its own position."""

import pytest
import torch
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.generation.ancestral import sample
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.nn.output import Output
from trivium.nn.state import RecurrentState, State
from trivium.objectives.seqgan import position_mean, seqgan
from trivium.training.adversarial.rollouts import rollout_rewards

V = 7


def generator(kind: str = "lstm") -> nn.Module:
    torch.manual_seed(3)
    if kind == "gpt2":
        return GPT2(GPT2Config(vocabulary_size=V, width=16, layers=2, heads=2, context_tokens=12)).eval()
    return LSTM(LSTMConfig(vocabulary_size=V, width=16, layers=1, dropout=0.2, tied=False)).eval()


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
    (gradient,) = torch.autograd.grad(
        seqgan(policy, batch, rewards, position_mean(rewards, batch.mask)).total / rows, policy.logits
    )
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
    assert len(seen) == 1
    own, *endings = seen[0].split([2, *[4] * 5])
    assert torch.equal(own, texts)
    for t, wholes in enumerate(endings):
        for copy, whole in enumerate(wholes):
            row = copy // 2
            expected = torch.cat([start[row], texts[row, : t + 1]])[None]
            with torch.no_grad():
                while expected.shape[1] < 7:
                    following = model.head(model(expected).hidden[:, -1]).argmax(-1)
                    expected = torch.cat([expected, following[:, None]], 1)
            assert torch.equal(whole, expected[0, 1:])


def test_an_ending_is_judged_up_to_its_own_end():
    """What a rollout writes after its end is not seen, and a text that had ended is itself."""
    filler = torch.full((5, V), -1e9)
    filler[:3, 2] = filler[3:, 1] = 0.0  # endings are 2 and, from the fourth token on, the end 1
    texts = torch.tensor([[4, 5, 2, 2, 2], [4, 1, 6, 6, 6]])

    def judge(whole: Tensor, lengths: Tensor) -> Tensor:
        return lengths.double()

    lengths = torch.tensor([5, 2])
    start = torch.zeros(2, 1, dtype=torch.long)
    rewards = rollout_rewards(Table(filler), judge, start, texts, lengths, rollouts=2, end_id=1)
    assert rewards.tolist() == [[4.0, 4.0, 4.0, 5.0, 5.0], [4.0, 2.0, 2.0, 2.0, 2.0]]
