"""Beam search: equal to ``transformers``; in groups and with coverage, equal to the papers' rules written naively."""

import functools
import json
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from tests.generation.small import PROMPTS, SHAPES, V, build, start_of
from trivium.errors import ConfigError, NonFiniteError, Unsupported
from trivium.generation.search.beam import beam_search
from trivium.generation.search.candidates import best
from trivium.generation.search.group import Candidate, Group
from trivium.generation.search.hypothesis import Hypothesis, completed
from trivium.generation.settings import Constraints, GenerationSettings, Search
from trivium.models import architecture
from trivium.nn.state import State
from trivium.nn.weight_map import load_into


def settings_of(**fields: Any) -> GenerationSettings:
    return GenerationSettings(**{"max_new_tokens": 9, "beams": 4, "n": 4, **fields})


def search(model: nn.Module, prompts: list[list[int]], settings: GenerationSettings) -> list[list[Hypothesis]]:
    return completed(beam_search(model, prompts, settings, start_id=start_of(model)))


def same(ours: list[Hypothesis], theirs: list[Hypothesis]) -> None:
    assert [answer.token_ids for answer in ours] == [answer.token_ids for answer in theirs]
    assert [answer.finish_reason for answer in ours] == [answer.finish_reason for answer in theirs]
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine.score == pytest.approx(yours.score, abs=1e-10)
        assert mine.log_probs == pytest.approx(yours.log_probs, abs=1e-10)


# transformers --------------------------------------------------------------------------------------------------------


def reference(family: str) -> transformers.PreTrainedModel:
    torch.manual_seed(5)
    shape = {"vocab_size": V, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if family == "gpt2":
        config = transformers.GPT2Config(n_embd=24, n_layer=2, n_head=3, n_positions=32, **shape)
        model = transformers.GPT2LMHeadModel(config)
    elif family == "llama":
        sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **shape))
    else:
        sizes = {"d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_heads": 3, "decoder_start_token_id": 0}
        model = transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes, **shape | {"pad_token_id": 0}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.25 * torch.randn_like(parameter))
    return model.eval()


def ours_of(theirs: transformers.PreTrainedModel) -> nn.Module:
    row = architecture(theirs.config.model_type)
    config = row.config_class().from_hf(json.loads(theirs.config.to_json_string(use_diff=False)))
    model = row.model_class()(config).eval()
    tensors = theirs.state_dict()
    load_into(model, row.weight_map(config), tensors, tensors.__getitem__)
    return model


@pytest.fixture(scope="module", params=["gpt2", "llama", "t5"])
def twins(request: pytest.FixtureRequest) -> tuple[transformers.PreTrainedModel, nn.Module]:
    theirs = reference(request.param)
    return theirs, ours_of(theirs)


@torch.no_grad()
def their_answers(
    theirs: transformers.PreTrainedModel, prompt: list[int], settings: GenerationSettings, **options: Any
) -> list[tuple[list[int], float]]:
    """Ids and score of each answer to one prompt: alone, since padding would count as read for their processors."""
    early = {True: True, False: False, None: "never"}[settings.search.early_stopping]
    tokens = torch.tensor([prompt])
    out = theirs.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        do_sample=False,
        num_beams=settings.beams,
        num_return_sequences=settings.n,
        max_new_tokens=settings.max_new_tokens,
        length_penalty=settings.length_penalty,
        early_stopping=early,
        eos_token_id=list(settings.eos_ids) or None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    before = 1 if theirs.config.is_encoder_decoder else len(prompt)
    answers = []
    for row, score in zip(out.sequences[:, before:].tolist(), out.sequences_scores.tolist(), strict=True):
        ends = [place + 1 for place, token in enumerate(row) if token in settings.eos_ids]
        answers.append((row[: min(ends, default=settings.max_new_tokens)], score))
    return answers


def assert_equal_to_theirs(
    twins: tuple[transformers.PreTrainedModel, nn.Module], settings: GenerationSettings, **options: Any
) -> list[list[Hypothesis]]:
    theirs, ours = twins
    found = search(ours, PROMPTS[:2], settings)
    for prompt, answers in zip(PROMPTS[:2], found, strict=True):
        wanted = their_answers(theirs, prompt, settings, **options)
        assert [answer.token_ids for answer in answers] == [ids for ids, _ in wanted]
        assert [answer.score for answer in answers] == pytest.approx([score for _, score in wanted], rel=1e-6, abs=1e-5)
    return found


@functools.cache
def frequent_tokens(model: nn.Module, count: int) -> tuple[int, ...]:
    """What the model likes to say: as end tokens, they end many beams at many lengths."""
    answers = search(model, PROMPTS, settings_of(max_new_tokens=12))
    said = Counter(token for group in answers for answer in group for token in answer.token_ids[2:])
    return tuple(token for token, _ in said.most_common(count))


@pytest.mark.parametrize("early_stopping", [True, False, None])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0, -1.0])
def test_equal_to_transformers(twins: Any, length_penalty: float, early_stopping: bool | None) -> None:
    settings = settings_of(
        max_new_tokens=12,
        length_penalty=length_penalty,
        eos_ids=frequent_tokens(twins[1], 1),
        search=Search(early_stopping=early_stopping),
    )
    found = assert_equal_to_theirs(twins, settings)
    if length_penalty < 1:  # above, the longest may win them all
        assert len({len(answer.token_ids) for group in found for answer in group}) > 1


def test_equal_to_transformers_without_and_with_several_end_tokens(twins: Any) -> None:
    assert_equal_to_theirs(twins, settings_of(n=2, beams=3))
    found = assert_equal_to_theirs(twins, settings_of())
    assert {answer.finish_reason for group in found for answer in group} == {"length"}
    found = assert_equal_to_theirs(twins, settings_of(eos_ids=frequent_tokens(twins[1], 3), length_penalty=0.5))
    assert "stop" in {answer.finish_reason for group in found for answer in group}


def test_equal_to_transformers_with_processors(twins: Any) -> None:
    ends = frequent_tokens(twins[1], 2)
    rules = Constraints(min_new_tokens=4, no_repeat_ngram=2, banned=((11,), (7, 9)))
    found = assert_equal_to_theirs(
        twins,
        settings_of(eos_ids=ends, repetition_penalty=1.4, constraints=rules),
        repetition_penalty=1.4,
        no_repeat_ngram_size=2,
        min_new_tokens=4,
        bad_words_ids=[[11], [7, 9]],
    )
    assert min(len(answer.token_ids) for group in found for answer in group) >= 5


def test_equal_to_a_padded_batch_of_transformers() -> None:
    theirs = reference("llama")
    ours = ours_of(theirs)
    settings = settings_of(eos_ids=frequent_tokens(ours, 1), n=1)
    longest = max(map(len, PROMPTS))
    tokens = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in PROMPTS])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in PROMPTS])
    with torch.no_grad():
        rows = theirs.generate(
            tokens,
            attention_mask=mask,
            num_beams=4,
            max_new_tokens=9,
            do_sample=False,
            eos_token_id=list(settings.eos_ids),
            pad_token_id=0,
        )
    for (answer,), row in zip(search(ours, PROMPTS, settings), rows[:, longest:].tolist(), strict=True):
        assert row[: len(answer.token_ids)] == answer.token_ids


@pytest.mark.parametrize(
    ("length_penalty", "early_stopping", "goes_on"),
    [(-1.0, None, True), (-1.0, True, False), (-2.0, False, True), (1.0, None, True), (1.0, False, False)],
)
def test_when_an_open_answer_can_still_win(length_penalty: float, early_stopping: bool | None, goes_on: bool) -> None:
    """A negative penalty makes long answers worse: "never" then hopes for what the answer is worth now."""
    rules = Search(early_stopping=early_stopping)
    settings = settings_of(beams=1, n=1, length_penalty=length_penalty, search=rules)
    worst = -5.0 if length_penalty < 0 else -0.5
    group = Group(prompt=0, turn=0, read=[1])
    group.finished = [Hypothesis(token_ids=[2], log_probs=[worst], score=worst, finish_reason="stop")]
    group.advance([Candidate(parent=0, token=3, total=-1.0, log_prob=-1.0)], [0.0], settings, None)
    assert bool(group.beams) == goes_on


# A slow and plain reference ------------------------------------------------------------------------------------------


@torch.inference_mode()
def distribution(model: nn.Module, prompt: list[int], new: list[int]) -> tuple[list[float], list[float]]:
    """Log-probabilities of the next token, and the attention of all tokens so far to the source, without a cache."""
    start = start_of(model)
    if start is None:
        return torch.log_softmax(model.head(model(torch.tensor([prompt + new])).hidden[0, -1]), -1).tolist(), []
    state = model.encode(torch.tensor([prompt]))
    output = model(torch.tensor([[start, *new]]), state=state, collect=("cross_attention",))
    attended = torch.stack(output.collected["cross_attention"])[:, 0].mean((0, 1)).sum(0).tolist()
    return torch.log_softmax(model.head(output.hidden[0, -1]), -1).tolist(), attended


def naive(model: nn.Module, prompt: list[int], settings: GenerationSettings) -> list[Hypothesis]:
    """Vijayakumar et al. 2018, algorithm 1, each group with the rules of a plain beam search; nothing is kept."""
    search, groups = settings.search, settings.search.groups
    width, ends = settings.beams // groups, settings.eos_ids
    beams = [[(0.0, [], [])] for _ in range(groups)]
    finished: list[list[Hypothesis]] = [[] for _ in range(groups)]
    for _ in range(settings.max_new_tokens):
        said: Counter[int] = Counter()
        for group in range(groups):
            candidates = []
            for total, ids, log_probs in beams[group]:
                nexts, attended = distribution(model, prompt, ids)
                covered = sum(math.log(min(p, 1.0)) for p in attended) if search.coverage_penalty else 0.0
                for token, log_prob in enumerate(nexts):
                    new = total + log_prob - search.diversity_penalty * said[token]
                    candidates.append((new, [*ids, token], [*log_probs, log_prob], covered))
            candidates.sort(key=lambda candidate: -candidate[0])
            was_open, beams[group] = beams[group], []
            for rank, (total, ids, log_probs, covered) in enumerate(candidates):
                stop = ids[-1] in ends
                if not stop and len(ids) < settings.max_new_tokens:
                    beams[group].append((total, ids, log_probs))
                elif rank < width:
                    score = total / len(ids) ** settings.length_penalty + search.coverage_penalty * covered
                    reason = "stop" if stop else "length"
                    finished[group].append(
                        Hypothesis(token_ids=ids, log_probs=log_probs, score=score, finish_reason=reason)
                    )
            del beams[group][width:]
            finished[group] = sorted(finished[group], key=lambda answer: -answer.score)[:width]
            if was_open and beams[group] and len(finished[group]) == width:
                total, ids, _ = beams[group][0]
                length = settings.max_new_tokens if search.early_stopping is None else len(ids)
                hope = total / length**settings.length_penalty
                if search.early_stopping or hope <= finished[group][-1].score:
                    beams[group] = []
            said.update(ids[-1] for _, ids, _ in beams[group])
    return sorted((answer for group in finished for answer in group), key=lambda answer: -answer.score)[: settings.n]


@pytest.mark.parametrize("name", SHAPES)
def test_every_kind_of_model_equals_the_naive_search(name: str) -> None:
    model = build(name)
    settings = settings_of(max_new_tokens=6, beams=3, n=3, eos_ids=frequent_tokens(model, 2))
    for prompt, answers in zip(PROMPTS[:2], search(model, PROMPTS[:2], settings), strict=True):
        same(answers, naive(model, prompt, settings))


@pytest.mark.parametrize("early_stopping", [True, False, None])
@pytest.mark.parametrize(("groups", "penalty"), [(2, 0.7), (4, 0.3), (4, 3.0)])
def test_diverse_groups_equal_the_paper(groups: int, penalty: float, early_stopping: bool | None) -> None:
    model = build("lstm")
    rules = Search(groups=groups, diversity_penalty=penalty, early_stopping=early_stopping)
    settings = settings_of(max_new_tokens=7, eos_ids=frequent_tokens(model, 2), search=rules)
    for prompt, answers in zip(PROMPTS, search(model, PROMPTS, settings), strict=True):
        same(answers, naive(model, prompt, settings))


def test_a_large_penalty_makes_every_group_say_something_else() -> None:
    model = build("gpt2")

    def different(penalty: float) -> int:
        settings = settings_of(search=Search(groups=4, diversity_penalty=penalty))
        return len({tuple(answer.token_ids) for answer in search(model, PROMPTS[:1], settings)[0]})

    assert (different(1e-9), different(5.0)) == (1, 4)


@pytest.mark.parametrize("name", ["seq2seq", "t5"])
@pytest.mark.parametrize("early_stopping", [True, False, None])
def test_coverage_equals_the_paper_and_changes_the_order(name: str, early_stopping: bool | None) -> None:
    model, sources = build(name), [[3, 7, 1, 9, 22, 4, 17, 30], [5, 40, 39]]
    plain = settings_of(
        eos_ids=frequent_tokens(model, 2), length_penalty=0.0, search=Search(early_stopping=early_stopping)
    )
    covered = replace(plain, search=replace(plain.search, coverage_penalty=3.0))
    found = search(model, sources, covered)
    for source, answers in zip(sources, found, strict=True):
        same(answers, naive(model, source, covered))
    bare = search(model, sources, plain)
    if name == "seq2seq":  # its shortest answer has not seen the whole source
        assert len(bare[0][0].token_ids) < len(found[0][0].token_ids)


def test_coverage_is_refused_where_there_is_no_source() -> None:
    with pytest.raises(Unsupported, match="coverage"):
        search(build("gpt2"), PROMPTS, settings_of(search=Search(coverage_penalty=0.2)))


# The exactness law ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_alone_is_batched(name: str) -> None:
    model = build(name)
    rules = Search(groups=2, diversity_penalty=0.5)
    settings = settings_of(eos_ids=frequent_tokens(model, 2), search=rules, repetition_penalty=1.2)
    together = search(model, PROMPTS, settings)
    for prompt, answers in zip(PROMPTS, together, strict=True):
        same(answers, search(model, [prompt], settings)[0])


def test_a_score_is_what_the_log_probabilities_say() -> None:
    model = build("llama")
    for answers in search(model, PROMPTS, settings_of(length_penalty=0.7, eos_ids=frequent_tokens(model, 1))):
        scores = [answer.score for answer in answers]
        assert scores == sorted(scores, reverse=True)
        for answer in answers:
            assert answer.score == pytest.approx(sum(answer.log_probs) / len(answer.token_ids) ** 0.7, abs=1e-10)


def test_finished_prompts_leave_the_batch() -> None:
    model = build("llama")
    settings = settings_of(eos_ids=frequent_tokens(model, 1), search=Search(early_stopping=True), max_new_tokens=16)
    rows: list[int] = []
    model.register_forward_hook(lambda _, inputs, output: rows.append(output.state.rows))
    search(model, PROMPTS, settings)
    assert rows[:2] == [4, 16]
    assert sorted(rows[1:], reverse=True) == rows[1:]
    assert rows[-1] < 16


# Edges ---------------------------------------------------------------------------------------------------------------


def test_one_beam_is_greedy() -> None:
    model = build("llama")
    (answer,) = search(model, PROMPTS[:1], settings_of(beams=1, n=1))[0]
    ids: list[int] = []
    for _ in range(9):
        nexts, _ = distribution(model, PROMPTS[0], ids)
        ids.append(nexts.index(max(nexts)))
    assert answer.token_ids == ids


def test_all_sequences_are_found_with_enough_beams() -> None:
    """With a beam for each of the V pairs' first tokens, the search is exhaustive."""
    model = build("lstm")
    settings = settings_of(max_new_tokens=2, beams=V, n=5, length_penalty=0.0)
    pairs = []
    firsts, _ = distribution(model, PROMPTS[0], [])
    for first in range(V):
        seconds, _ = distribution(model, PROMPTS[0], [first])
        pairs += [(firsts[first] + seconds[second], [first, second]) for second in range(V)]
    pairs.sort(reverse=True)
    assert [answer.token_ids for answer in search(model, PROMPTS[:1], settings)[0]] == [ids for _, ids in pairs[:5]]


def test_stop_texts_end_beams() -> None:
    model = build("llama")
    settings = settings_of(max_new_tokens=8)
    ends = frequent_tokens(model, 1)
    steps = beam_search(model, PROMPTS, settings, stopped=lambda _, ids: ids[-1] in ends)
    wanted = search(model, PROMPTS, replace(settings, eos_ids=ends))
    for ours, theirs in zip(completed(steps), wanted, strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("name", ["gpt2", "llama", "lstm"])
def test_a_prefix_may_be_read_already(name: str) -> None:
    model, settings = build(name), settings_of()

    def begin(rows: int, capacity: int) -> State:
        return model(torch.tensor([[3, 7]] * rows), state=model.new_state(rows, capacity + 2)).state

    rest = [[1, 9, 22], [5]]
    found = completed(beam_search(model, rest, settings, begin=begin))
    for ours, theirs in zip(found, search(model, [[3, 7, *row] for row in rest], settings), strict=True):
        same(ours, theirs)


def test_no_prompts_have_no_answers() -> None:
    assert search(build("lstm"), [], settings_of()) == []


def test_what_has_no_answers_is_refused() -> None:
    model = build("lstm")
    forced = Constraints(forced=(1, 2))
    with pytest.raises(ConfigError, match=r"fewer possible answers[\s\S]*at most 1"):
        search(model, PROMPTS, settings_of(max_new_tokens=2, constraints=forced))
    (answer,) = search(model, PROMPTS[:1], settings_of(max_new_tokens=2, n=1, constraints=forced))[0]
    assert answer.token_ids == [1, 2]


def chain(follows: dict[int, list[int]]) -> Constraints:
    """After each of these tokens, only what follows it; a token that nothing follows is a dead end."""
    return Constraints(banned=tuple((a, b) for a, after in follows.items() for b in range(V) if b not in after))


def test_a_beam_without_a_token_left_is_dropped_and_the_others_go_on() -> None:
    model = build("lstm")
    settings = settings_of(max_new_tokens=3, beams=2, n=1, constraints=chain({5: [2, 3], 2: [4], 3: [], 4: [6], 6: []}))
    (answer,) = search(model, [[5]], settings)[0]
    assert answer.token_ids == [2, 4, 6]
    alone, among = search(model, [[5]], settings), search(model, [[5], [7, 9]], replace(settings, max_new_tokens=3))
    same(alone[0], among[0])


def test_a_prompt_is_refused_with_the_rules_when_all_its_beams_are_dead_and_none_has_ended() -> None:
    model, rule = build("lstm"), chain({5: [2, 3], 2: [4], 3: [], 4: []})
    with pytest.raises(ConfigError, match=r"leave no token to choose from[\s\S]*banned=[\s\S]*after 2 new tokens"):
        search(model, [[7], [5]], settings_of(max_new_tokens=3, beams=2, n=1, constraints=rule))
    ended = settings_of(max_new_tokens=3, beams=2, n=1, constraints=rule, eos_ids=(3,))
    assert search(model, [[5]], ended)[0][0].token_ids == [3], "one had ended before the others died"
    groups = Search(groups=2, diversity_penalty=0.5)
    with pytest.raises(ConfigError, match="leave no token to choose from"):
        search(model, [[5]], settings_of(max_new_tokens=3, beams=2, n=1, constraints=rule, search=groups))


def test_logits_that_are_not_numbers_are_refused() -> None:
    model = build("lstm")
    next(model.parameters()).data[:] = math.nan
    with pytest.raises(NonFiniteError):
        search(model, PROMPTS, settings_of())


def test_equal_scores_are_taken_in_order() -> None:
    scores = torch.tensor([[1.0, 3.0, 3.0, 2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    values, places = best(scores, 4)
    assert places.tolist() == [[1, 2, 3, 4], [0, 1, 2, 3]]
    assert values.tolist() == [[3, 3, 2, 2], [0, 0, 0, 0]]
    assert best(scores, 9)[1].tolist() == [[1, 2, 3, 4, 5, 0], [0, 1, 2, 3, 4, 5]]
    forbidden = torch.tensor([[-math.inf, 2.0, -math.inf, 5.0]])
    assert best(forbidden, 2)[1].tolist() == [[3, 1]]
    assert best(forbidden, 3)[0].tolist() == [[5, 2, -math.inf]]
