"""RLHF from nothing to a policy, GRPO with a verifier, and reward hacking with and without its remedy.

    python benchmarks/figures/alignment.py                       # every cell that is not finished, then the tables
    python benchmarks/figures/alignment.py --cell rlhf-0         # one of them
    python benchmarks/figures/alignment.py --smoke               # two updates each, kept apart

base        a LLaMA pre-trained here on film reviews (no label), tuned to finish sentences of reviews from their first
            four words (rt-polarity, four in five of them); and the gold scorer: a convolutional classifier of SST-2's
            phrases, whose log-odds of "positive" are what an answer is worth. Nothing that is trained below sees it,
            but for the labels of the comparisons.
rlhf-SEED   two samples of the tuned model for each of some thousand prompts, compared by the gold scorer with Bradley
            and Terry's noise; a reward model (LoRA and head on the tuned model) learnt from these comparisons, beside a
            bag of words; PPO with LoRA on the same base. On prompts that nobody looked at: the policy's one answer
            against one sample of the tuned model and the best of four by the reward model, by the gold score, paired.
arithmetic-SEED   a character model learns to add two-digit numbers from text in which carries are often forgotten, and
            takes over the mistake; GRPO with the verifier `number` on other sums; before and after on sums that neither
            saw.
hacking-free, hacking-held   the tuned model and a reward with a loophole: the share of words that praise. Without the
            KL penalty and with it; the gold score is the classifier's log-odds and the tuned model's own mean
            log-probability of a token, so that praise alone is worth little.

Results: benchmarks/results/alignment-CELL.json, and alignment.html. Intervals are 95 %, over prompts.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import zipfile
from typing import Any

from alignment_parts import arithmetic, drawn, tables
from alignment_parts.gold import gold_scorer, log_odds

from trivium.config import to_dict
from trivium.data.rows import read_rows
from trivium.lm.load import load
from trivium.recipes.align.policy import policy
from trivium.recipes.align.policy_config import CadenceConfig, PPORecipeConfig
from trivium.recipes.align.reward import reward
from trivium.recipes.align.reward_config import RewardConfig
from trivium.recipes.align.watch import WatchConfig
from trivium.recipes.classification import ClassificationConfig, classification
from trivium.recipes.classifier import ClassifierConfig
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.language_model import ModelConfig
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, pretrain
from trivium.training.learners.policy_config import PenaltyConfig, PolicyConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.rollouts import RolloutConfig
from trivium.training.run import Run

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_RESULTS, _RUNS = _REPOSITORY / "benchmarks" / "results", _REPOSITORY / "runs"
_PARTS = pathlib.Path(__file__).resolve().parent / "alignment_parts"
_GIVEN_WORDS, _ANSWER_TOKENS = 4, 24
_COMPARED, _WATCHED = 6000, 200
_PHRASES = 20_000
_SEEDS = (0, 1, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything; the smoke test has little."""

    folder: str = "alignment"
    pretrain_steps: int = 900
    tune_passes: int = 3
    compared: int = _COMPARED
    policy_steps: int = 80
    hacking_steps: int = 80
    smoke: bool = False


FULL = Sizes()
SMOKE = Sizes(
    folder="alignment-smoke", pretrain_steps=2, tune_passes=1, compared=60, policy_steps=2, hacking_steps=2, smoke=True
)


def cells() -> list[str]:
    """In the order in which they are run."""
    first = [f"rlhf-{_SEEDS[0]}", "hacking-free", "hacking-held", f"arithmetic-{_SEEDS[0]}"]
    return [*first, *(f"{kind}-{seed}" for seed in _SEEDS[1:] for kind in ("rlhf", "arithmetic"))]


# The base and the gold scorer -----------------------------------------------------------------------------------------


def sentences() -> list[str]:
    """Sentences of reviews, those that praise and those that do not, in one fixed order of chance."""
    with zipfile.ZipFile(_SHARED / "sentiment_cc" / "sentence_polarity.zip") as archive:
        halves = [archive.read(f"sentence_polarity/rt-polarity.{half}").decode("latin-1") for half in ("pos", "neg")]
    found = [line.strip() for half in halves for line in half.splitlines() if len(line.split()) >= 3 * _GIVEN_WORDS]
    random.Random(0).shuffle(found)
    return found


def parted(sentence: str) -> tuple[str, str]:
    """The words that are given, and the rest."""
    words = sentence.split()
    return " ".join(words[:_GIVEN_WORDS]), " ".join(words[_GIVEN_WORDS:])


def _once(run: pathlib.Path, work: Any) -> pathlib.Path:
    """The run, carried out where it is not finished: a run that was stopped goes on."""
    done = run / "done"
    if not done.is_file():
        work((run / "config.yaml").is_file())
        done.touch()
    return run


def base(sizes: Sizes) -> pathlib.Path:
    """The model that finishes sentences of reviews."""
    folder = _RUNS / sizes.folder
    reviews = folder / "reviews"
    if not reviews.is_dir():
        with zipfile.ZipFile(_SHARED / "sentiment_cc" / "movie_reviews.zip") as archive:
            archive.extractall(folder)
        (folder / "movie_reviews").rename(reviews)
    pretrained = _once(
        folder / "pretrain",
        lambda resume: pretrain(
            PretrainConfig(
                data=reviews,
                output=folder,
                run="pretrain",
                resume=resume,
                model=ModelConfig(architecture="llama", width=192, layers=4),
                batch=BatchConfig(rows=16, context_tokens=128),
                steps=sizes.pretrain_steps,
                seed=0,
            )
        ),
    )
    tuning = folder / "sentences.jsonl"
    if not tuning.is_file():
        pairs = map(parted, sentences()[: 8 * len(sentences()) // 10])
        lines = [json.dumps({"prompt": prompt, "completion": f" {rest}"}) for prompt, rest in pairs]
        tuning.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _once(
        folder / "tuned",
        lambda resume: finetune(
            FinetuneConfig(
                model=pretrained,
                data=tuning,
                method="full",
                prompt_format="plain",
                output=folder,
                run="tuned",
                resume=resume,
                rows=8,
                context_tokens=128,
                steps=2 if sizes.smoke else 200 * sizes.tune_passes,
            )
        ),
    )


def gold(sizes: Sizes) -> pathlib.Path:
    """The classifier whose log-odds are the gold score."""
    folder = _RUNS / sizes.folder
    phrases = folder / "phrases.jsonl"
    if not phrases.is_file():
        names = {"0": "negative", "1": "positive"}
        rows = [row.fields for row in read_rows(_SHARED / "unclear-glue" / "SST-2" / "train.tsv.gz")][:_PHRASES]
        lines = [json.dumps({"text": row["sentence"], "label": names[row["label"]]}) for row in rows]
        phrases.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _once(
        folder / "gold",
        lambda resume: classification(
            ClassificationConfig(
                data=phrases,
                model=ClassifierConfig(architecture="text_cnn", width=64),
                output=folder,
                run="gold",
                resume=resume,
                steps=2 if sizes.smoke else None,
            )
        ),
    )


def prompts(sizes: Sizes) -> tuple[pathlib.Path, pathlib.Path]:
    """Files of prompts, to learn from and to watch: neither is in what the model was tuned on."""
    folder = _RUNS / sizes.folder
    made = folder / "prompts.txt", folder / "watched.txt"
    if not made[1].is_file():
        apart = sentences()[8 * len(sentences()) // 10 :]
        begun = list(dict.fromkeys(parted(sentence)[0] for sentence in apart))
        watched = 8 if sizes.smoke else 2 * _WATCHED
        made[0].write_text("\n".join(begun[watched:]) + "\n", encoding="utf-8")
        made[1].write_text("\n".join(begun[:watched]) + "\n", encoding="utf-8")
    return made


# Cells ----------------------------------------------------------------------------------------------------------------


def comparisons(sizes: Sizes, seed: int) -> pathlib.Path:
    """Pairs of the tuned model's own answers, compared by the gold scorer with Bradley and Terry's noise."""
    path = _RUNS / sizes.folder / f"comparisons-{seed}.jsonl"
    if path.is_file():
        return path
    begun = [parted(sentence)[0] for sentence in sentences()[: sizes.compared]]
    model, scorer = load(base(sizes)), gold_scorer(gold(sizes))
    written = model.generate(begun, n=2, max_new_tokens=_ANSWER_TOKENS, temperature=1.0, seed=seed)
    answers = [answer.text.strip() for answer in written]
    scores = log_odds(scorer, [prompt for prompt in begun for _ in range(2)], answers)
    chance, lines = random.Random(seed), []
    for at, prompt in enumerate(begun):
        (one, other), (first, second) = answers[2 * at : 2 * at + 2], scores[2 * at : 2 * at + 2]
        if one == other or not one or not other:
            continue
        better = chance.random() < 1 / (1 + math.exp(second - first))
        chosen, rejected = (one, other) if better else (other, one)
        lines.append(json.dumps({"prompt": prompt, "chosen": f" {chosen}", "rejected": f" {rejected}"}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rlhf(sizes: Sizes, seed: int) -> dict[str, Any]:
    """Comparisons, a reward model, a policy."""
    folder, tuned = _RUNS / sizes.folder, base(sizes)
    judged = _once(
        folder / f"reward-{seed}",
        lambda resume: reward(
            RewardConfig(
                model=tuned,
                data=comparisons(sizes, seed),
                method="lora",
                prompt_format="plain",
                context_tokens=64,
                rows=32,
                passes=3,
                optimiser=OptimiserConfig(learning_rate=1e-3, weight_decay=0.0),
                output=folder,
                run=f"reward-{seed}",
                resume=resume,
                seed=seed,
                steps=2 if sizes.smoke else None,
            )
        ),
    )
    run = _policy(sizes, f"policy-{seed}", seed=seed, reward=(str(judged),), steps=sizes.policy_steps, weight=0.05)
    return {**_told(run), "reward_model": json.loads((judged / "held_out.json").read_text(encoding="utf-8"))}


def hacking(sizes: Sizes, held: bool) -> dict[str, Any]:
    """The share of praise as the reward, with the KL penalty or without."""
    name = "held" if held else "free"
    praise = (f"{_PARTS / 'loophole.py'}:praise",)
    weight = 0.5 if held else 0.0  # the reward goes up to 10
    return _told(_policy(sizes, f"hacking-{name}", seed=0, reward=praise, steps=sizes.hacking_steps, weight=weight))


def _policy(sizes: Sizes, run: str, *, seed: int, reward: tuple[str, ...], steps: int, weight: float) -> Run:
    learn, watch = prompts(sizes)
    os.environ["TRIVIUM_GOLD"] = str(gold(sizes))
    os.environ["TRIVIUM_TUNED"] = str(base(sizes))
    usual = PPORecipeConfig(model=base(sizes), data=learn, reward=reward).learning
    learning: PolicyConfig = dataclasses.replace(
        usual,
        penalty=PenaltyConfig(weight=weight),
        optimiser=OptimiserConfig(learning_rate=1e-3, weight_decay=0.0),
        epochs=2,
    )
    scored = "gold_of_reviews" if run.startswith("policy") else "gold_and_fluency"
    config = PPORecipeConfig(
        model=base(sizes),
        data=learn,
        validation=watch,
        reward=reward,
        gold=(f"{_PARTS / 'gold.py'}:{scored}",),
        learning=learning,
        rollouts=RolloutConfig(prompts=4 if sizes.smoke else 64, end_penalty=0.0),
        max_new_tokens=_ANSWER_TOKENS,
        prompt_format="plain",
        # The pair is to show what happens to the end, so nothing stops it.
        watch=WatchConfig(prompts=_WATCHED, patience=2 if run.startswith("policy") else 1000),
        best_of=4,
        cadence=CadenceConfig(look_every_steps=10, checkpoint_every_steps=10),
        output=_RUNS / sizes.folder,
        run=run,
        resume=(_RUNS / sizes.folder / run / "config.yaml").is_file(),
        steps=steps,
        seed=seed,
    )
    return policy(config)


def _told(run: Run) -> dict[str, Any]:
    looks = [json.loads(line) for line in (run.folder / "watch.jsonl").read_text(encoding="utf-8").splitlines()]
    found = run.folder / "compared.json"
    compared = json.loads(found.read_text(encoding="utf-8")) if found.is_file() else None
    kept = ("step", "proxy", "gold", "kl", "length_tokens", "unique", "distinct2", "samples")
    seconds = run.metrics()[-1]["seconds"]
    return {"looks": [{name: look[name] for name in kept} for look in looks], "compared": compared, "seconds": seconds}


def measure(cell: str, sizes: Sizes) -> dict[str, Any]:
    """One cell."""
    kind, _, which = cell.partition("-")
    if kind == "rlhf":
        return rlhf(sizes, int(which))
    if kind == "hacking":
        return hacking(sizes, which == "held")
    found = arithmetic.measure(_RUNS / sizes.folder, int(which), smoke=sizes.smoke)
    return to_dict(found)


# The command ----------------------------------------------------------------------------------------------------------


def _result(sizes: Sizes, cell: str) -> pathlib.Path:
    return _RESULTS / f"{sizes.folder}-{cell}.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=["base", *cells()], help="only this one")
    parser.add_argument("--smoke", action="store_true", help="two updates each, kept apart")
    asked = parser.parse_args()
    sizes = SMOKE if asked.smoke else FULL
    _RESULTS.mkdir(parents=True, exist_ok=True)
    if asked.cell == "base":
        print(base(sizes), gold(sizes))
        return 0
    if asked.cell is not None:
        _result(sizes, asked.cell).write_text(json.dumps(measure(asked.cell, sizes), indent=1), encoding="utf-8")
        return 0
    for cell in cells():
        if not _result(sizes, cell).is_file():
            words = [sys.executable, __file__, "--cell", cell, *(["--smoke"] if asked.smoke else [])]
            code = subprocess.run(words, check=False).returncode
            if code:
                return code
    tables.write(_RESULTS, sizes.folder, cells())
    print(drawn.write(_RESULTS, sizes.folder, cells()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
