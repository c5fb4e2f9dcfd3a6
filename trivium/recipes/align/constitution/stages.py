"""The stages of a run that ask models: what is answered, revised, compared and measured, each into its file."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence

from trivium.checkpoints.folder import replace_file
from trivium.data.splits import is_held_out
from trivium.errors import DataError
from trivium.lm.local import LocalModel
from trivium.lm.turns import asked_ids
from trivium.recipes.align.constitution.chance import seed_of
from trivium.recipes.align.constitution.constitution_config import ConstitutionConfig
from trivium.recipes.align.constitution.exemplars import exemplars
from trivium.recipes.align.constitution.feedback import Pair, judged
from trivium.recipes.align.constitution.journal import Row, carried_out
from trivium.recipes.align.constitution.judge import Judge
from trivium.recipes.align.constitution.opening import Models
from trivium.recipes.align.constitution.principles import Constitution
from trivium.recipes.align.constitution.revise import Messages, Reviser, answered
from trivium.recipes.align.prompts import read_prompts
from trivium.training.run import Run

PROMPTS, DONE = "prompts.json", "done.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What all stages need."""

    config: ConstitutionConfig
    run: Run
    models: Models
    constitution: Constitution


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompts:
    """What is asked."""

    trained: list[Messages]
    """What the model learns to answer."""
    held_out: list[Messages]
    """What it is measured on before and after."""
    too_long: int
    """Prompts that are left out, since the model has no room for them and an answer."""


def prompts_of(work: Work) -> Prompts:
    """The prompts of the run, read and parted once."""
    path = work.run.folder / PROMPTS
    if not path.is_file():
        prompts = parted(work.config, work.models.here(work.config.model))
        text = json.dumps(dataclasses.asdict(prompts), ensure_ascii=False, indent=1) + "\n"
        # A surrogate alone has no bytes in UTF-8; as JSON spells it out it is read back as it was.
        replace_file(path, text.encode(errors="backslashreplace"))
    # Read also where it was just written, so that what follows sees the same.
    return Prompts(**json.loads(path.read_text(encoding="utf-8")))


def answers(
    work: Work,
    name: str,
    asked: Sequence[Messages],
    folder: pathlib.Path,
    *,
    n: int,
    temperature: float,
    tokens: int,
    chance: str,
) -> list[Row]:
    """`n` answers of the model in `folder` to each prompt, in the file `name`: lines with "answers".

    Where two models answer with the same `chance` they draw alike.
    """

    def some(first: int, prompts: Sequence[Messages]) -> list[Row]:
        samples = [(first + place, sample) for place in range(len(prompts)) for sample in range(n)]
        found = answered(
            work.models.here(folder),
            [asked[number] for number, _ in samples],
            [seed_of(work.config.seed, chance, *each) for each in samples],
            prompt_format=work.config.prompt_format,
            temperature=temperature,
            max_new_tokens=tokens,
        )
        return [{"answers": found[at : at + n]} for at in range(0, len(found), n)]

    return carried_out(_path(work, name), asked, some, together=work.config.together, title=f"answering ({name})")


def revisions(work: Work, asked: Sequence[Messages]) -> list[Row]:
    """The answers of the model to each prompt, with their critiques and revisions."""
    config, revising = work.config, work.config.revising
    first = answers(
        work,
        "answers",
        asked,
        config.model,
        n=revising.answers,
        temperature=revising.temperature,
        tokens=revising.max_new_tokens,
        chance="answers",
    )
    worked = exemplars(config.exemplars).revisions

    def some(at: int, rows: Sequence[Row]) -> list[Row]:
        revise = Reviser(work.models.speaking("critic"), work.constitution, worked, revising, seed=config.seed)
        return revise([(number, asked[number], row["answers"]) for number, row in enumerate(rows, start=at)])

    return carried_out(_path(work, "revisions"), first, some, together=config.together, title="revising")


def preferences_of(work: Work, asked: Sequence[Messages], tuned: pathlib.Path) -> list[Row]:
    """Pairs of answers of the tuned model to each prompt, judged."""
    feedback = work.config.feedback
    n = 2 * feedback.pairs
    temperature, tokens = feedback.temperature, feedback.max_new_tokens
    rows = answers(work, "pairs", asked, tuned, n=n, temperature=temperature, tokens=tokens, chance="pairs")
    two = [
        (messages, (row["answers"][at], row["answers"][at + 1]))
        for messages, row in zip(asked, rows, strict=True)
        for at in range(0, n, 2)
    ]
    return comparisons(work, "judgements", two)


def comparisons(work: Work, name: str, two: Sequence[tuple[Messages, tuple[str, str]]]) -> list[Row]:
    """What the judge says of two answers to each prompt, in the file `name`."""
    config = work.config
    worked = exemplars(config.exemplars).comparisons

    def some(at: int, pairs: Sequence[tuple[Messages, tuple[str, str]]]) -> list[Row]:
        judge = Judge(work.models.speaking("judge"), worked, config.feedback, seed=config.seed)
        numbered: list[Pair] = [(number, *pair) for number, pair in enumerate(pairs, start=at)]
        drawn = config.feedback.principles
        return judged(judge, work.constitution, numbered, principles=drawn, seed=config.seed, what=name)

    return carried_out(_path(work, name), two, some, together=config.together, title=f"judging ({name})")


def once(work: Work, name: str, train: Callable[[], Run]) -> Run:
    """The run of training that lies in the folder `name`; what is finished is not begun again."""
    path = work.run.folder / DONE
    done: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    if name in done:
        return Run.open(work.run.folder / name)
    work.models.forget()
    run = train()
    assert run.folder == work.run.folder / name, run.folder
    replace_file(path, json.dumps([*done, name]).encode())
    return run


def _path(work: Work, name: str) -> pathlib.Path:
    return work.run.folder / f"{name}.jsonl"


def parted(config: ConstitutionConfig, model: LocalModel) -> Prompts:
    """The prompts of ``config`` that ``model`` has room for, parted. Raises `DataError` where none is left."""
    trained: list[Messages] = []
    held_out: list[Messages] = []
    read = read_prompts(config.prompts, prompt_format=config.prompt_format)
    for messages in (prompt.messages for prompt in read):
        if _fits(model, messages, config):
            said = next(turn["content"] for turn in messages if turn["role"] == "user")
            # By a hash of its own: every later training holds out prompts of those that are left, by the plain text.
            held = is_held_out(f"constitution: {said}", config.measuring.held_out)
            (held_out if held else trained).append(messages)
    if not trained:
        raise DataError(
            "no prompt is left to learn from",
            received=f"{len(read)} prompts, {len(held_out)} held out, the others too long for the model",
            fix="give more or shorter prompts, or hold out fewer with measuring.held_out",
        )
    return Prompts(trained=trained, held_out=held_out, too_long=len(read) - len(trained) - len(held_out))


def _fits(model: LocalModel, messages: Messages, config: ConstitutionConfig) -> bool:
    """Whether there is room for the prompt and for the longest answer to it."""
    assert model.tokenizer is not None
    ids, _ = asked_ids(model.tokenizer, messages, config.prompt_format)
    room = model.config.context_tokens
    longest = max(config.revising.max_new_tokens, config.feedback.max_new_tokens)
    return room is None or len(ids) + longest <= room
