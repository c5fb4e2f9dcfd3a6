"""One contract for every method of adapting, on every architecture it is for. All in fp64."""

import copy
import pathlib

import pytest
import torch
from torch import Tensor, nn

from tests.contracts.adapter_cases import CASES, IMPOSSIBLE, AdapterCase, answers, begun, randomise
from tests.contracts.tracers import LENGTHS, TRACERS, texts
from trivium.adapters.adapter_set import adapters_of, has_adapters
from trivium.adapters.attach import adapter_parameters, attach, detach, merge, remove, unmerge
from trivium.adapters.holder import holders
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.methods import method_of
from trivium.adapters.routing import activate, route
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import Unsupported, UserError

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)


def same(ours: list[Tensor], theirs: list[Tensor], atol: float = 1e-10) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


def same_state(model: nn.Module, before: dict[str, Tensor]) -> None:
    after = model.state_dict()
    assert list(after) == list(before)
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]), name


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@every_case
def test_a_new_adapter(case: AdapterCase) -> None:
    """It is the active one, only it trains, each of its parameters gets a gradient, and removing it leaves the base."""
    tracer = case.model
    model = tracer.build()
    before, bare = snapshot(model), answers_bare(case, model)
    attach(model, "mine", case.config)
    assert adapters_of(model).routing.active == "mine"
    if case.neutral:
        same(answers(tracer, model, ["mine"] * 3), bare)
    parameters = adapter_parameters(model, "mine")
    assert parameters
    assert {name for name, p in model.named_parameters() if p.requires_grad} == set(parameters)
    randomise(model, "mine")
    output = answers(tracer, model, ["mine"] * 3)
    assert max((a - b).abs().max().item() for a, b in zip(output, bare, strict=True)) > 1e-3
    sum(row.square().sum() for row in output).backward()
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert all(p.grad is None for name, p in model.named_parameters() if name not in parameters)
    remove(model, "mine")
    assert not list(holders(model))
    detach(model)
    same_state(model, before)
    assert all(torch.equal(a, b) for a, b in zip(answers_bare(case, model), bare, strict=True))
    assert all(p.requires_grad for p in model.parameters())


def answers_bare(case: AdapterCase, model: nn.Module) -> list[Tensor]:
    """Without any adapter on the model, or with one that is used by no row."""
    other = copy.deepcopy(model)
    if not has_adapters(other):
        attach(other, "unused", case.config)
    with torch.no_grad():
        return answers(case.model, other, [None] * 3)


@every_case
def test_saved_and_loaded(case: AdapterCase, tmp_path: pathlib.Path) -> None:
    model = case.model.build()
    attach(model, "mine", case.config)
    randomise(model, "mine")
    save_adapter(tmp_path / "adapter", model, "mine")
    other = case.model.build()
    load_adapter(tmp_path / "adapter", other, "yours")
    expected = answers(case.model, model, ["mine"] * 3)
    same(answers(case.model, other, ["yours"] * 3), expected, atol=0 if case.plain else 1e-10)
    if case.plain:
        assert adapters_of(other).configs["yours"] == adapters_of(model).configs["mine"]


@every_case
def test_rows_of_one_batch(case: AdapterCase) -> None:
    """Rows with it, with another of its kind, and with none: each as if it were alone."""
    tracer = case.model
    model = tracer.build()
    for name in ("mine", "other"):
        attach(model, name, case.config)
        randomise(model, name)
    for names in (["mine", None, "other"], [None, "other", "mine"], [None, None, "mine"]):
        together = answers(tracer, model, names)
        for row, name in enumerate(names):
            same(together[row : row + 1], answers(tracer, model, [name], [row]))
    for active, name in (("mine", "mine"), ("other", "other")):
        activate(model, active)
        with torch.no_grad():
            hidden = model(texts(), lengths=torch.tensor(LENGTHS), **begun(tracer, model, [name] * 3, [0, 1, 2])).hidden
        with torch.no_grad(), route(model, [name] * 3):
            wanted = model(texts(), lengths=torch.tensor(LENGTHS), **begun(tracer, model, [name] * 3, [0, 1, 2])).hidden
        for row, length in enumerate(LENGTHS):
            same([hidden[row, :length]], [wanted[row, :length]])


@every_case
def test_a_ragged_step(case: AdapterCase) -> None:
    """Packed tokens ``[1, N]`` of three rows, then one token of each from the state."""
    tracer = case.model
    if not tracer.goes_on or not case.ragged:
        pytest.skip("carries no state")
    model = tracer.build()
    for name in ("mine", "other"):
        attach(model, name, case.config)
        randomise(model, name)
    names: list[str | None] = ["other", "mine", None]
    seen = [4, 2, 3]
    packed = torch.cat([texts()[b, :n] for b, n in enumerate(seen)])[None]
    segments = torch.repeat_interleave(torch.tensor(seen))[None]
    with torch.no_grad():
        with route(model, names):
            state = begun(tracer, model, names, [0, 1, 2])["state"]
        with route(model, names, segments=segments):
            output = model(packed, segments=segments, state=state)
        with route(model, names):
            following = model(texts()[:, [3]], state=output.state).hidden
        start = 0
        for row, name in enumerate(names):
            with route(model, [name]):
                alone = model(texts()[[row], : seen[row]], **begun(tracer, model, [name], [row]))
                after = model(texts()[[row], 3:4], state=alone.state).hidden
            same([output.hidden[0, start : start + seen[row]], following[row]], [alone.hidden[0], after[0]])
            start += seen[row]


@pytest.mark.parametrize("label", sorted({case.tracer for case in CASES}))
def test_all_methods_in_one_batch(label: str) -> None:
    """Each row its own method, up to one a row at a time, over one base: each as if it were alone."""
    cases = [case for case in CASES if case.tracer == label]
    tracer = cases[0].model
    model = tracer.build()
    names = []
    for number, case in enumerate(cases):
        names.append(f"adapter{number}")
        attach(model, names[-1], case.config)
        randomise(model, names[-1])
    rows = [*names, None, None]
    for start in range(0, len(names), 3):
        chosen = rows[start : start + 3]
        together = answers(tracer, model, chosen)
        for row, name in enumerate(chosen):
            same(together[row : row + 1], answers(tracer, model, [name], [row]))


@every_case
def test_merged_is_unmerged(case: AdapterCase) -> None:
    model = case.model.build()
    attach(model, "mine", case.config)
    randomise(model, "mine")
    tracer, before = case.model, snapshot(model)
    if not (case.merges and method_of(case.config).merges):
        with pytest.raises(Unsupported, match="cannot be merged"):
            merge(model, "mine")
        same_state(model, before)
        return
    apart = hidden_of_the_active(case, model)
    merge(model, "mine")
    same(hidden_of_the_active(case, model), apart)
    with pytest.raises(Unsupported, match="'mine' is merged"):
        answers(tracer, model, [None] * 3)
    unmerge(model)
    same_state(model, before)
    assert all(torch.equal(a, b) for a, b in zip(hidden_of_the_active(case, model), apart, strict=True))
    merge(model, "mine")
    detach(model)
    same(hidden_of_the_active(case, model), apart)
    assert list(model.state_dict()) == list(tracer.build().state_dict())


def hidden_of_the_active(case: AdapterCase, model: nn.Module) -> list[Tensor]:
    """Hidden states and logits without routing: as training sees the model."""
    tracer = case.model
    with torch.no_grad():
        output = model(texts(), lengths=torch.tensor(LENGTHS), **tracer.given(model, [0, 1, 2]))
        said = model.classify(output.hidden) if tracer.row.kind == "classifier" else model.head.logits(output.hidden)
    return [said] if said.dim() == 2 else [row[:length] for row, length in zip(said, LENGTHS, strict=True)]


@pytest.mark.parametrize(("label", "config", "message"), IMPOSSIBLE, ids=lambda value: str(value)[:20])
def test_a_failed_attach_leaves_the_model_as_it_was(label: str, config: object, message: str) -> None:
    tracer = next(tracer for tracer in TRACERS if tracer.label == label)
    model = tracer.build()
    before = snapshot(model)
    with pytest.raises(UserError, match=message):
        attach(model, "mine", config)
    assert not has_adapters(model)
    same_state(model, before)
    assert all(p.requires_grad for p in model.parameters())


def test_a_failed_attach_leaves_other_adapters_as_they_were() -> None:
    model = next(tracer for tracer in TRACERS if tracer.label == "llama").build()
    attach(model, "kept", LoRAConfig(rank=2))
    before = snapshot(model)
    with pytest.raises(UserError, match="matches no"):
        attach(model, "mine", LoRAConfig(targets="nothing"))
    same_state(model, before)
    assert list(adapters_of(model).configs) == ["kept"]
    assert adapters_of(model).routing.active == "kept"
