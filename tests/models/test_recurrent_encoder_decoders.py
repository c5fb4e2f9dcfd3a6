"""What every recurrent encoder-decoder must do beyond the contract: searches, padding, gradients, learning to copy."""

import pytest
import torch
from torch import Tensor, nn

from tests.contracts.tracers import SOURCE_LENGTHS, TRACERS, Tracer, V, sources, texts
from trivium.data.batches import Seq2SeqBatch
from trivium.errors import Unsupported
from trivium.generation.decode import decode
from trivium.generation.request import requests
from trivium.generation.search.beam import beam_search
from trivium.generation.search.hypothesis import completed
from trivium.generation.settings import GenerationSettings, Search
from trivium.objectives.seq2seq import seq2seq

MINE = [tracer for tracer in TRACERS if tracer.recurrent and tracer.reads_a_source]
every_model = pytest.mark.parametrize("tracer", MINE, ids=lambda tracer: tracer.label.replace(" ", "-"))
PROMPTS = [[3, 7, 1, 9, 22], [5], [8, 2]]
START, END = 0, 4


def greedy(model: nn.Module, prompts: list[list[int]], **fields: object) -> list[list[int]]:
    """Two at a time: who waits takes the place, and the source, of one that has ended."""
    asked = requests(prompts, GenerationSettings(**fields))
    for _ in decode(model, asked, start_id=START, slots=2):
        pass
    return [request.token_ids for request in asked]


@every_model
def test_padding_of_the_source_never_matters(tracer: Tracer) -> None:
    """Whatever ids stand there, and however many; nor does it get any gradient."""
    model, lengths = tracer.build(), torch.tensor(SOURCE_LENGTHS)
    beyond = torch.arange(6) >= lengths[:, None]
    wanted = model(texts(), state=model.encode(sources(), lengths)).hidden
    for garbage in (torch.full((3, 6), V - 1), torch.zeros(3, 6, dtype=torch.long)):
        found = model(texts(), state=model.encode(torch.where(beyond, garbage, sources()), lengths)).hidden
        assert torch.equal(found, wanted)
    longer = torch.cat([sources(), sources()], dim=1)
    found = model(texts(), state=model.encode(longer, lengths)).hidden
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    vectors = model.embed(sources()).detach().requires_grad_()
    model(texts(), state=model.encode(embeddings=vectors, lengths=lengths)).hidden.sum().backward()
    assert not vectors.grad[beyond].any()
    assert vectors.grad[~beyond].abs().sum(-1).gt(0).all()


@every_model
def test_one_beam_is_greedy(tracer: Tracer) -> None:
    model = tracer.build()
    settings = GenerationSettings(max_new_tokens=8, eos_ids=(END,))
    found = completed(beam_search(model, PROMPTS, settings, start_id=START))
    assert [answer.token_ids for (answer,) in found] == greedy(model, PROMPTS, max_new_tokens=8, eos_ids=(END,))


@every_model
def test_a_beam_as_wide_as_the_space_finds_the_best(tracer: Tracer) -> None:
    """All answers of at most two tokens, scored one by one."""
    model, source = tracer.build(), torch.tensor(PROMPTS[:1])
    pairs = torch.cartesian_prod(torch.arange(V), torch.arange(V))
    given = torch.stack([torch.full((V * V,), START), pairs[:, 0]], dim=1)
    with torch.no_grad():
        hidden = model(given, state=model.encode(source.expand(V * V, -1))).hidden
        log_probs = model.head.log_prob(hidden, pairs)
    scores = {(END,): log_probs[pairs[:, 0] == END][0, 0].item()}
    for pair, score in zip(pairs.tolist(), log_probs.sum(-1).tolist(), strict=True):
        if pair[0] != END:
            scores[tuple(pair)] = score
    best = sorted(scores, key=lambda answer: -scores[answer])[:5]
    settings = GenerationSettings(max_new_tokens=2, eos_ids=(END,), beams=V, n=5, length_penalty=0.0)
    (found,) = completed(beam_search(model, PROMPTS[:1], settings, start_id=START))
    assert [tuple(answer.token_ids) for answer in found] == best
    assert [answer.score for answer in found] == pytest.approx([scores[answer] for answer in best], abs=1e-10)


@every_model
def test_a_coverage_penalty_needs_attention(tracer: Tracer) -> None:
    settings = GenerationSettings(max_new_tokens=3, beams=2, n=1, search=Search(coverage_penalty=0.2))
    search = beam_search(tracer.build(), PROMPTS, settings, start_id=START)
    if tracer.attends:
        assert len(completed(search)) == 3
        return
    with pytest.raises(Unsupported, match="no attention"):
        completed(search)


def copies(rows: int) -> Seq2SeqBatch:
    """Texts of three to five words, to be written again and ended."""
    lengths = 3 + torch.arange(rows) % 3
    texts = torch.randint(END + 1, 12, (rows, 6), generator=torch.Generator().manual_seed(5))
    places = torch.arange(6)
    targets = torch.where(places < lengths[:, None], texts, torch.where(places == lengths[:, None], END, 0))
    tokens = torch.cat([torch.full((rows, 1), START), targets[:, :-1]], dim=1)
    return Seq2SeqBatch(texts, lengths, tokens, targets, places <= lengths[:, None], lengths + 1)


@every_model
def test_copies_by_heart(tracer: Tracer) -> None:
    """Learned to the last word in seconds, and greedy decoding then writes every text again."""
    torch.manual_seed(0)
    fields = {"width": 32, "embedding_width": 32, **tracer.without_dropout}
    model, batch = tracer.row.model_class()(tracer.config(**fields)), copies(12)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(200):
        loss = seq2seq(model, batch)
        optimiser.zero_grad()
        (loss.total / loss.count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if loss.total / loss.count < 0.02:
            break
    prompts = [row[:length].tolist() for row, length in zip(batch.source, batch.source_lengths, strict=True)]
    written = greedy(model.eval(), prompts, max_new_tokens=8, eos_ids=(END,))
    assert written == [[*prompt, END] for prompt in prompts]


@every_model
def test_what_training_gives_is_what_carrying_on_gives(tracer: Tracer) -> None:
    """With no room asked for, rows are read to their ends and nothing is carried; the answers are the same."""
    model, lengths = tracer.build(), torch.tensor([7, 3, 5])

    def hidden(capacity: int) -> Tensor:
        state = model.encode(sources(), torch.tensor(SOURCE_LENGTHS), capacity=capacity)
        assert bool(state.layers) == bool(capacity)
        output = model(texts(), lengths=lengths, state=state)
        assert output.state.lengths.tolist() == (lengths.tolist() if capacity else [0, 0, 0])
        return output.hidden[torch.arange(7) < lengths[:, None]]

    torch.testing.assert_close(hidden(0), hidden(9), rtol=0, atol=1e-10)
