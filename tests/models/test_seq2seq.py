"""The attention encoder-decoder beyond the contract: the equations, and learning where to look."""

import pytest
import torch

from trivium.data.batches import Seq2SeqBatch
from trivium.models.seq2seq import Seq2Seq, Seq2SeqConfig
from trivium.objectives.seq2seq import seq2seq


def config(**changes: object) -> Seq2SeqConfig:
    fields = {"vocabulary_size": 11, "embedding_width": 6, "width": 5, "attention_width": 4, **changes}
    return Seq2SeqConfig(**fields)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_equations(cell: str) -> None:
    """One target token after another, as appendix A writes it."""
    model = Seq2Seq(config(cell=cell)).double()
    source, target = torch.randint(11, (1, 4)), torch.randint(11, (1, 3))
    state = model.encode(source)
    hidden = model(target, state=state).hidden[0]
    decoder, annotations = model.blocks[-1], model.blocks[0].rnn(model.embed(source))[0][0]
    torch.testing.assert_close(state.memory.tensors[0][0][0], annotations)
    s = torch.tanh(decoder.bridge(annotations[0, 5:]))  # the backward state at the first source position
    s, c = s.chunk(2) if cell == "lstm" else (s, None)
    for t in range(3):
        y = model.embed(target)[0, t]
        energies = decoder.attention.score(torch.tanh(decoder.attention.query(s) + decoder.attention.key(annotations)))[
            :, 0
        ]
        context = torch.softmax(energies, 0) @ annotations
        given = torch.cat([y, context])
        if cell == "lstm":
            s, c = decoder.cell(given, (s, c))
        else:
            s = decoder.cell(given, s)
        deep = decoder.readout(torch.cat([s, y, context]))
        torch.testing.assert_close(hidden[t], torch.maximum(deep[0::2], deep[1::2]), rtol=0, atol=1e-12)


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
        state, token, written = model.encode(test.source), torch.zeros(50, 1, dtype=torch.long), []
        looked = []
        for _ in range(4):
            output = model(token, state=state, collect=("attention",))
            state, token = output.state, model.head.logits(output.hidden).argmax(-1)
            written.append(token)
            looked.append(output.collected["attention"][0][:, 0, 0])
    assert (torch.cat(written, 1) == test.targets).float().mean() > 0.95
    assert torch.stack(looked, 1).shape == (50, 4, 4)
