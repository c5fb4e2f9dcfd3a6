"""Answers of the policy, and their critiques and revisions by a critic (Bai et al. 2022, section 3.1)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from trivium.data.conversations import Turn
from trivium.lm.local import LocalModel
from trivium.lm.turns import PromptFormat, asked_ids
from trivium.recipes.align.constitution.chance import seed_of
from trivium.recipes.align.constitution.constitution_config import RevisingConfig
from trivium.recipes.align.constitution.exemplars import RevisionExemplar
from trivium.recipes.align.constitution.journal import Row
from trivium.recipes.align.constitution.principles import Constitution, Principle
from trivium.recipes.align.constitution.wording import STOPS, critique_text, revision_text
from trivium.recipes.align.constitution.writing import Speaker, with_room, write

Messages = Sequence[Turn]
"""A conversation that ends with what the user says."""
TOO_LONG = "too long for the critic"


def answered(
    model: LocalModel,
    asked: Sequence[Messages],
    seeds: Sequence[int],
    *,
    prompt_format: PromptFormat,
    temperature: float,
    max_new_tokens: int,
) -> list[str]:
    """An answer of a model to each prompt, as it is written, with the space that it may begin with."""
    assert model.tokenizer is not None, "refused before"
    prompts: list[list[int]] = []
    stop: tuple[str, ...] = ()
    for messages in asked:
        ids, stop = asked_ids(model.tokenizer, messages, prompt_format)
        prompts.append(ids)
    found = model.sample(prompts, seeds, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop)
    return [answer.text for answer in found]


class Reviser:
    """Criticises and revises answers, each in every round under a principle that is drawn for it alone."""

    def __init__(
        self,
        critic: Speaker,
        constitution: Constitution,
        exemplars: Sequence[RevisionExemplar],
        config: RevisingConfig,
        *,
        seed: int,
    ):
        self._critic = critic
        self._constitution = constitution
        self._exemplars = exemplars
        self._config = config
        self._seed = seed

    def __call__(self, asked: Sequence[tuple[int, Messages, Sequence[str]]]) -> list[Row]:
        """A line for each (number, prompt, answers): every answer with its rounds."""
        drafts = [
            _Draft(number, sample, messages, answer)
            for number, messages, answers in asked
            for sample, answer in enumerate(answers)
        ]
        for turn in range(self._config.rounds):
            self._round(turn, [draft for draft in drafts if draft.stopped is None])
        rows: dict[int, Row] = {number: {"messages": list(messages), "samples": []} for number, messages, _ in asked}
        for draft in drafts:
            rows[draft.number]["samples"].append(draft.told())
        return list(rows.values())

    def _round(self, turn: int, drafts: Sequence["_Draft"]) -> None:
        """One more critique and revision of every draft; one that has no room any more is stopped."""
        principles = {}
        for draft in drafts:
            what = (draft.number, draft.sample, turn)
            (principles[draft],) = self._constitution.drawn(1, self._seed, "revise", *what)

        def critique(draft: _Draft, exemplars: Sequence[RevisionExemplar]) -> str:
            return critique_text(exemplars, draft.messages, draft.now, principles[draft])

        tokens = self._config.critique_tokens
        critiques = self._written("critique", turn, drafts, critique, tokens)

        def revision(draft: _Draft, exemplars: Sequence[RevisionExemplar]) -> str:
            return revision_text(exemplars, draft.messages, draft.now, principles[draft], critiques[draft])

        tokens = self._config.max_new_tokens
        for draft, text in self._written("revision", turn, list(critiques), revision, tokens).items():
            draft.revise(principles[draft], critiques[draft], text)

    def _written(
        self,
        what: str,
        turn: int,
        drafts: Sequence["_Draft"],
        text_of: Callable[["_Draft", Sequence[RevisionExemplar]], str],
        max_new_tokens: int,
    ) -> dict["_Draft", str]:
        """What the critic writes of each draft that it has room for."""
        texts = {}
        for draft in drafts:
            fitting = with_room(self._critic, partial(text_of, draft), self._exemplars, max_new_tokens)
            if fitting is None:
                draft.stopped = TOO_LONG
            else:
                texts[draft] = fitting
        seeds = [seed_of(self._seed, what, draft.number, draft.sample, turn) for draft in texts]
        written = write(
            self._critic,
            list(texts.values()),
            seeds,
            max_new_tokens=max_new_tokens,
            temperature=self._config.temperature,
            stop=STOPS,
        )
        return {draft: one.strip() for draft, one in zip(texts, written, strict=True)}


class _Draft:
    """One answer on its way."""

    def __init__(self, number: int, sample: int, messages: Messages, answer: str):
        self.number, self.sample, self.messages = number, sample, messages
        self.stopped: str | None = None
        """Why it goes no further; None while it does."""
        self._answer = answer
        self._rounds: list[dict[str, Any]] = []
        self.now = answer.strip()
        """The answer as it stands."""

    def revise(self, principle: Principle, critique: str, revision: str) -> None:
        """Takes one round; an empty revision leaves the answer as it stands."""
        self._rounds.append({"principle": principle.name, "critique": critique, "revision": revision})
        self.now = revision or self.now

    def told(self) -> dict[str, Any]:
        """As it is written down."""
        return {"answer": self._answer, "rounds": self._rounds, "stopped": self.stopped}
