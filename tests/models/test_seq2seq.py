"""The attention encoder-decoder beyond the contract: the equations, and learning where to look."""

import pytest
import torch

from tests.models.equations import gru, lstm, read_gru, read_lstm
from trivium.data.batches import Seq2SeqBatch
from trivium.models.seq2seq import Seq2Seq, Seq2SeqConfig
from trivium.objectives.seq2seq import seq2seq


def config(**changes: object) -> Seq2SeqConfig:
    fields = {"vocabulary_size": 11, "embedding_width": 6, "width": 5, "attention_width": 4, **changes}
    return Seq2SeqConfig(**fields)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@torch.no_grad()
def test_equations(cell: str) -> None:
    """One source word and one target word after another, as appendix A writes it."""
    model = Seq2Seq(config(cell=cell)).double()
    encoder, decoder = model.blocks
    attention, words = decoder.attention, model.embedding.weight
    source, target = [3, 7, 1, 4], [0, 5, 2]
    left, right = (
        read_gru(encoder.rnn, xs, side) if cell == "gru" else read_lstm(encoder.rnn, xs, side)[0]
        for xs, side in ((words[source], ""), (words[source].flip(0), "_reverse"))
    )
    annotations = torch.cat([left, right.flip(0)], dim=-1)
    s = torch.tanh(decoder.bridge(right[-1]))  # the backward state at the first source position
    s, c = s.chunk(2) if cell == "lstm" else (s, None)
    wanted, looked = [], []
    for word in target:
        energies = torch.stack(
            [
                attention.score.weight[0] @ torch.tanh(attention.query.weight @ s + attention.key.weight @ annotation)
                for annotation in annotations
            ]
        )
        weights = energies.exp() / energies.exp().sum()
        context = weights @ annotations
        given = torch.cat([words[word], context])
        s, c = lstm(decoder.cell, given, s, c) if cell == "lstm" else (gru(decoder.cell, given, s), None)
        deep = decoder.readout(torch.cat([s, words[word], context]))
        wanted.append(torch.maximum(deep[0::2], deep[1::2]))
        looked.append(weights)
    state = model.encode(torch.tensor([source]))
    output = model(torch.tensor([target]), state=state, collect=("cross_attention",))
    torch.testing.assert_close(output.hidden[0], torch.stack(wanted), rtol=0, atol=1e-12)
    torch.testing.assert_close(output.collected["cross_attention"][0][0, 0], torch.stack(looked), rtol=0, atol=1e-12)


def test_learns_to_reverse() -> None:
    """Copying backwards needs the attention: it is learned in seconds, and greedy decoding then does it."""
    torch.manual_seed(0)
    fields = {"vocabulary_size": 8, "embedding_width": 24, "width": 32, "attention_width": 24}
    model = Seq2Seq(Seq2SeqConfig(**fields))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def batch(rows: int) -> Seq2SeqBatch:
        source, lengths = torch.randint(1, 8, (rows, 4)), torch.full((rows,), 4)
        targets = source.flip(1)
        tokens = torch.cat([torch.zeros(rows, 1, dtype=torch.long), targets[:, :-1]], dim=1)
        return Seq2SeqBatch(source, lengths, tokens, targets, torch.ones_like(targets, dtype=torch.bool), lengths)

    for _ in range(100):
        loss = seq2seq(model, batch(32))
        optimiser.zero_grad()
        (loss.total / loss.count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    test = batch(50)
    with torch.no_grad():
        state, token, written = model.encode(test.source, capacity=4), torch.zeros(50, 1, dtype=torch.long), []
        looked = []
        for _ in range(4):
            output = model(token, state=state, collect=("attention",))
            state, token = output.state, model.head.logits(output.hidden).argmax(-1)
            written.append(token)
            looked.append(output.collected["attention"][0][:, 0, 0])
    assert (torch.cat(written, 1) == test.targets).float().mean() > 0.95
    assert torch.stack(looked, 1).shape == (50, 4, 4)
