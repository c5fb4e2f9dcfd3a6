"""Ten task files of lm-evaluation-harness, run by the harness through our bridge, against our own tasks."""

import dataclasses
import functools
import importlib
import itertools
import pathlib
import sys
import types
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import trivium
from trivium import tokenizers
from trivium.checkpoints.model_folder import save_folder
from trivium.errors import Unsupported
from trivium.evaluation.tasks import TASKS, find_task, run_task
from trivium.evaluation.tasks.records import read_task
from trivium.lm.local import LocalModel
from trivium.models import architecture
from trivium.models.llama import Llama, LlamaConfig

pytest.importorskip("lm_eval", reason="the harness is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the harness and what it imports

LIMIT = 100
DATA = {
    "cola": "unclear-glue/CoLA/in_domain_dev.tsv",
    "sst2": "unclear-glue/SST-2/dev.tsv",
    "mrpc": "unclear-glue/MRPC/dev.tsv",
    "rte": "unclear-glue/RTE/dev.tsv",
    "qnli": "unclear-glue/QNLI/dev.tsv.gz",
    "wnli": "unclear-glue/WNLI/dev.tsv",
    "boolq": "unclear-fewglue/BoolQ/train.jsonl",
    "blimp": "adjunct_island.jsonl",
    "gsm8k": "gsm8k/test.jsonl",
    "svamp": "svamp/SVAMP.json",
}

COUNTS = {"boolq": 32, "wnli": 71}  # where no more are at hand


@pytest.fixture(scope="module")
def tokenizer(shared_data: pathlib.Path) -> tokenizers.Tokenizer:
    """A vocabulary of GPT-2's kind, made of the questions themselves: twenty times smaller, so is each step."""
    texts = [(shared_data / DATA[name]).read_text(encoding="utf-8") for name in ("gsm8k", "cola", "rte")]
    return tokenizers.train(texts, kind="byte_bpe", vocabulary_size=2500)


@pytest.fixture(scope="module")
def model(tokenizer: tokenizers.Tokenizer) -> LocalModel:
    torch.manual_seed(3)
    shape = {"width": 16, "layers": 1, "heads": 2, "inner_width": 24, "context_tokens": 256}
    network = Llama(LlamaConfig(vocabulary_size=tokenizer.vocabulary_size, **shape)).double()
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return LocalModel(network, tokenizer)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory, shared_data: pathlib.Path) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(shared_data / "blimp" / "blimp_first200.zip") as archive:
        (folder / "adjunct_island.jsonl").write_bytes(archive.read("data/adjunct_island.jsonl"))
    return folder


@pytest.fixture(scope="module")
def manager(
    tmp_path_factory: pytest.TempPathFactory, shared_data: pathlib.Path, unpacked: pathlib.Path
) -> Iterator[Any]:
    """The harness with our ten files and none of its own, its data sets cached where the test cleans up."""
    cache = tmp_path_factory.mktemp("datasets")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
            patch.setenv(name, "1")
        import datasets
        import lm_eval.evaluator
        import lm_eval.utils
        from lm_eval.tasks import TaskManager

        # A dozen programs that describe this machine are run with every task, and templates compiled for every text.
        patch.setattr(lm_eval.evaluator, "add_env_info", lambda results: None)
        patch.setattr(lm_eval.utils.env, "from_string", functools.cache(lm_eval.utils.env.from_string))
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        patch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
        datasets.disable_progress_bars()
        folder = tmp_path_factory.mktemp("tasks")
        for file in (pathlib.Path(__file__).parent / "harness_tasks").glob("*.yaml"):
            text = file.read_text().replace("SHARED", str(shared_data)).replace("UNPACKED", str(unpacked))
            (folder / file.name).write_text(text)
        yield TaskManager(include_path=str(folder), include_defaults=False)


def by_harness(manager: Any, model: Any, name: str) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Figures by name, and what the harness wrote down of every example."""
    import lm_eval

    from trivium.evaluation.harness import TriviumLM

    found = lm_eval.simple_evaluate(
        model=TriviumLM(model), tasks=[f"trivium_{name}"], limit=LIMIT, bootstrap_iters=0, task_manager=manager
    )
    figures = {}
    for key, value in found["results"][f"trivium_{name}"].items():
        metric, _, way = key.partition(",")
        if way and not metric.endswith("_stderr"):
            figures[metric if way == "none" else f"{metric}_{way}"] = value
    return figures, found["samples"][f"trivium_{name}"]


def our_own(model: Any, name: str, shared_data: pathlib.Path, unpacked: pathlib.Path) -> Any:
    task = find_task(name)
    if task.method == "write":  # shorter answers, as in the files
        task = dataclasses.replace(task, max_new_tokens=8)
    folder = unpacked if name == "blimp" else shared_data
    pool = read_task(shared_data / "gsm8k" / "train.jsonl.gz", task) if name == "gsm8k" else None
    return run_task(model, task, read_task(folder / DATA[name], task), limit=LIMIT, pool=pool)


@pytest.mark.parametrize("name", list(TASKS))
def test_our_task_is_the_harness_task(
    name: str, manager: Any, model: LocalModel, shared_data: pathlib.Path, unpacked: pathlib.Path
) -> None:
    figures, samples = by_harness(manager, model, name)
    ours = our_own(model, name, shared_data, unpacked)
    assert len(ours.answered) == COUNTS.get(name, LIMIT)
    assert ours.metrics == pytest.approx(figures, abs=1e-6)
    by_number = {sample["doc_id"]: sample for sample in samples}
    assert len(by_number) == len(ours.answered)
    for number, one in enumerate(ours.answered):
        sample = by_number[number]
        assert all(one.prompt == asked[0] for asked in sample["arguments"])
        if one.choices:
            assert one.log_probs == pytest.approx([float(answer[0][0]) for answer in sample["resps"]], abs=1e-6)
            assert [f" {choice}" for choice in one.choices] == [asked[1] for asked in sample["arguments"]]
        else:
            assert one.text == sample["resps"][0][0]


@pytest.mark.parametrize("name", ["gsm8k", "svamp"])
def test_written_answers_are_found_and_compared_as_the_harness_does(
    name: str,
    manager: Any,
    model: LocalModel,
    shared_data: pathlib.Path,
    unpacked: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that writes what it is given: the right numbers, in many spellings."""
    task = find_task(name)
    right = [str(task.target(record)).rpartition("#### ")[2] for record in read_task(shared_data / DATA[name], task)]
    spellings = ["it is #### {}", "#### {}.\n", "{}", "$ {}. ", "#### ${}", "-{}", "{}, and 3 left", "#### {}.00", ""]
    texts = [spellings[number % 9].format(right[number]) for number in range(LIMIT)]
    written = itertools.cycle(texts)

    def generate(prompts: Any, *, max_new_tokens: int, **settings: Any) -> list[Any]:
        assert settings["temperature"] == 0.0
        return [types.SimpleNamespace(text=next(written)) for _ in prompts]

    monkeypatch.setattr(model, "generate", generate)
    monkeypatch.setattr(model, "tokenizer", None)  # so that no prompt is cut: order is what counts
    figures, _ = by_harness(manager, model, name)
    ours = our_own(model, name, shared_data, unpacked).metrics
    assert ours == pytest.approx(figures, abs=1e-12)
    assert all(0.1 < figure < 0.9 for figure in ours.values())


def test_solved_examples_are_those_the_harness_draws(
    manager: Any, model: LocalModel, shared_data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """GSM8K's files tell the harness where to draw from; GLUE's do not, and it draws one more than it shows."""
    folder = shared_data / "unclear-glue" / "RTE"
    text = (pathlib.Path(__file__).parent / "harness_tasks" / "rte.yaml").read_text()
    text = text.replace("{test: SHARED", f"{{train: {folder}/train.tsv, validation: SHARED")
    text = text.replace("test_split: test", "training_split: train\nvalidation_split: validation")
    text = text.replace("num_fewshot: 0", "num_fewshot: 3").replace("trivium_rte", "trivium_shown")
    (tmp_path / "shown.yaml").write_text(text.replace("SHARED", str(shared_data)))
    manager = type(manager)(include_path=str(tmp_path), include_defaults=False)
    _, samples = by_harness(manager, model, "shown")
    task = find_task("rte")
    pool, records = (read_task(folder / part, task) for part in ("train.tsv", "dev.tsv"))
    ours = run_task(model, task, records, limit=LIMIT, shots=3, pool=pool).answered
    theirs = {sample["doc_id"]: sample["arguments"][0][0] for sample in samples}
    assert [one.prompt for one in ours] == [theirs[number] for number in range(LIMIT)]


def request(*arguments: Any) -> Any:
    from lm_eval.api.instance import Instance

    return Instance(request_type="loglikelihood", doc={}, arguments=arguments, idx=0)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_bridge_answers_as_the_harness_own_model_does(
    family: str, tmp_path: pathlib.Path, tokenizer: tokenizers.Tokenizer
) -> None:
    """The same folder opened by us and by `transformers`, in the harness's own class for it."""
    import transformers
    from lm_eval.models.huggingface import HFLM

    from trivium.evaluation.harness import TriviumLM

    row = architecture(family)
    shape = {"width": 16, "layers": 2, "heads": 2, "context_tokens": 40}
    torch.manual_seed(1)
    network = row.model_class()(row.config_class()(vocabulary_size=tokenizer.vocabulary_size, **shape))
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    save_folder(tmp_path / "model", network, tokenizer=tokenizer)
    ours = TriviumLM(trivium.load(tmp_path / "model"))
    theirs = HFLM(
        pretrained=transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
        tokenizer=transformers.AutoTokenizer.from_pretrained(tmp_path / "model"),
        device="cpu",
        batch_size=4,
    )
    texts = ["The cat sat on the mat. ", "Who,", "\u00bfqu\u00e9? \u00a55 \u2026", "a long story " * 30]
    asked = [request(context, answer) for context in texts for answer in (" yes", "no", " and then some")]
    asked += [request("", " Alone it stands."), request("The answer is", " yes"), request("Who are you", "?")]
    mine, wanted = ours.loglikelihood(asked), theirs.loglikelihood(asked, disable_tqdm=True)
    assert [one[0] for one in mine] == pytest.approx([one[0] for one in wanted], abs=2e-4)
    assert [one[1] for one in mine] == [one[1] for one in wanted]
    whole = [request(text) for text in ("Short.", "a long story " * 30, " ".join(map(str, range(200))))]
    assert ours.loglikelihood_rolling(whole) == pytest.approx(theirs.loglikelihood_rolling(whole), abs=2e-3)
    for settings in ({"until": ["the"], "max_gen_toks": 12}, {"until": "e", "max_gen_toks": 30, "do_sample": False}):
        written = [request(text, settings) for text in texts]
        assert ours.generate_until(written) == theirs.generate_until(written, disable_tqdm=True)


def test_without_the_harness_the_bridge_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.api.instance", None)
    monkeypatch.delitem(sys.modules, "trivium.evaluation.harness", raising=False)
    with pytest.raises(Unsupported, match=r"trivium-lm\[harness\]"):
        importlib.import_module("trivium.evaluation.harness")


def test_settings_of_a_task_are_passed_on_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from trivium.evaluation.harness import TriviumLM

    seen = []

    def generate(prompts: Any, **settings: Any) -> list[Any]:
        seen.append(settings)
        return [types.SimpleNamespace(text="x") for _ in prompts]

    model = LocalModel(Llama(LlamaConfig(vocabulary_size=8, width=8, layers=1, heads=2, inner_width=8)))
    monkeypatch.setattr(model, "generate", generate)
    bridge = TriviumLM(model)

    def asked(**settings: Any) -> list[Any]:
        return [request("a", settings)]

    bridge.generate_until(asked(until=["."], max_gen_toks=6, num_beams=3, length_penalty=0.5))
    assert seen[0]["beams"] == 3 and seen[0]["length_penalty"] == 0.5 and seen[0]["max_new_tokens"] == 6
    with pytest.raises(Unsupported, match="foo=1"):
        bridge.generate_until(asked(until=["."], foo=1))
