"""From what a caller asks to finished answers: prompts and settings in, decoding or a search, texts out."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from trivium.adapters.answering import Answering
from trivium.adapters.routing import using
from trivium.errors import DataError, Unsupported
from trivium.generation.decode import decode
from trivium.generation.engine import Engine
from trivium.generation.generation_config import token_ids
from trivium.generation.prefixes import PrefixCache
from trivium.generation.request import Request, check_requests, requests
from trivium.generation.resolve import resolve
from trivium.generation.sampling import source_of_chance
from trivium.generation.search.beam import beam_search
from trivium.generation.search.best_of import best
from trivium.generation.search.contrastive import contrastive_search
from trivium.generation.search.hypothesis import Hypothesis, Stopped, completed
from trivium.generation.settings import GenerationSettings, Search
from trivium.generation.speculation import ModelDraft, PromptLookup, check_draft, speculate
from trivium.generation.stopping import StopText, TokenText
from trivium.lm.protocol import Generation, Prompts
from trivium.nn.packed import MOST_ROWS, packed
from trivium.tokenizers import Tokenizer

# Answers decoded together: of a large model this many, since more would only take memory; of a small one, whose steps
# cost more to start than to compute, as many as have room for what they remember.
ROWS_AT_ONCE, MOST_ROWS_AT_ONCE = 64, 512
_REMEMBERED_BYTES = 256 << 20
_PACKED_FROM = 8  # tokens: packing costs as much as two or three steps


class Generator:
    """Everything between ``LocalModel.generate`` and the engine.

    ``generation`` is the content of ``generation_config.json``, ``config_file`` that of ``config.json``.
    """

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Tokenizer | None,
        *,
        generation: Mapping[str, Any],
        config_file: Mapping[str, Any],
        encoder_decoder: bool,
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.prefixes: PrefixCache | None = None
        """Where given, what was read is kept for prompts that begin alike; to be replaced when the weights change."""
        self._adapters = Answering(network)
        self._file = generation
        self._start_id: int | None = network.config.start_id if encoder_decoder else None
        self._ends = token_ids(generation.get("eos_token_id")) or token_ids(config_file.get("eos_token_id"))
        if not self._ends and tokenizer is not None:
            self._ends = token_ids(tokenizer.eos_id)

    # What is asked ---------------------------------------------------------------------------------------------------

    def settings(self, **arguments: Any) -> GenerationSettings:
        """Argument, else ``generation_config.json``, else greedy."""
        return resolve(self._file, eos_ids=self._ends, encoder_decoder=self._start_id is not None, **arguments)

    def ask(
        self, prompts: Prompts, settings: GenerationSettings, adapter: str | None, *, follow: bool = False
    ) -> list[Request]:
        """The requests, checked; their text is made as they grow where ``follow`` or a stop text asks for it."""
        asked = requests(self._prompt_ids(prompts), settings, adapter=adapter)
        self._check(asked)
        if settings.stop or follow:
            for request in asked:
                self._follow_text(request)
        return asked

    def ask_one(self, prompt: str | Sequence[int], adapter: str | None, **settings: Any) -> Request:
        """One answer, whose text is made as it grows. Raises ``Unsupported`` for a search, which has nothing to show
        before its end, and for a draft; ``DataError`` for several answers."""
        if settings.pop("draft", None) is not None:
            raise Unsupported(
                "a stream cannot be drafted for", received="draft", fix="use generate, or leave draft out"
            )
        effective = self.settings(**settings)
        if effective.beams > 1 or effective.search != Search():
            raise Unsupported(
                "a search over several answers has nothing to show before its end",
                received=f"beams={effective.beams}, {effective.search}",
                fix="use generate, or leave the search out",
            )
        asked = self.ask(prompt, effective, adapter, follow=True)
        if len(asked) != 1:
            raise DataError("a stream is one answer", received=f"n={effective.n}", fix="leave n out, or use generate")
        return asked[0]

    def _check(self, asked: Sequence[Request]) -> None:
        check_requests(self.network, asked, encoder_decoder=self._start_id is not None, adapting=self._adapters)

    def _prompt_ids(self, prompts: Prompts) -> list[list[int]]:
        given: Any = prompts.tolist() if isinstance(prompts, Tensor | np.ndarray) else prompts
        if not isinstance(given, str | list | tuple):
            raise DataError(
                "this is no prompt",
                received=type(prompts).__name__,
                expected="a text, ids, or a list of either",
                fix='generate("Once upon a time", ...), or generate([[1, 2, 3]], ...)',
            )
        alone = isinstance(given, str) or (len(given) > 0 and isinstance(given[0], int | np.integer))
        return [self.ids_of(row) if isinstance(row, str) else _ids(row) for row in ([given] if alone else given)]

    def ids_of(self, prompt: str) -> list[int]:
        """The ids that ``prompt`` is read as; see ``LocalModel.prompt_ids``."""
        if self.tokenizer is None:
            raise Unsupported(
                "this model has no tokenizer: it takes ids only",
                received="a text",
                fix="copy tokenizer.json into the model's folder, or give ids: generate([[1, 2, 3]], ...)",
            )
        # Special tokens in a user's text are not read as such; chat renders its own.
        ids = self.tokenizer.prefix_ids + self.tokenizer.encode(prompt)
        if self._start_id is not None:
            return ids + self.tokenizer.suffix_ids
        if ids:
            return ids
        begin = self.tokenizer.bos_id if self.tokenizer.bos_id is not None else self.tokenizer.eos_id
        return [] if begin is None else [begin]

    # How it is answered ----------------------------------------------------------------------------------------------

    def answers(
        self, prompts: Prompts, settings: GenerationSettings, adapter: str | None, draft: "nn.Module | str | None"
    ) -> list[Generation]:
        """``settings.n`` answers to each prompt, prompt-major."""
        if settings.beams > 1 or settings.search.contrastive_alpha:
            if draft is not None:
                raise Unsupported(
                    "a search looks at several answers at once, and cannot be drafted for",
                    received=f"draft with beams={settings.beams}, {settings.search}",
                    fix="leave the draft out, or the search",
                )
            return self._searched(prompts, settings, adapter)
        asked = self.ask(prompts, settings, adapter)
        if not asked:
            return []
        for _ in self.run(asked) if draft is None else self._speculated(asked, draft):
            pass
        if (drawn := settings.search.best_of) is not None:
            asked = [kept for at in range(0, len(asked), drawn) for kept in best(asked[at : at + drawn], settings.n)]
        return [self.finished(request) for request in asked]

    def sampled(
        self,
        rows: Sequence[list[int]],
        seeds: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float,
        stop: Sequence[str],
        adapter: str | None,
    ) -> list[Generation]:
        """An answer to each of ``rows`` from the model's own distribution, whatever its folder says of sampling."""
        settings = GenerationSettings(
            max_new_tokens=max_new_tokens, temperature=temperature, eos_ids=self._ends, stop=tuple(stop)
        )
        asked = [
            Request(prompt=row, settings=settings, chance=source_of_chance(seed, 0), adapter=adapter)
            for row, seed in zip(rows, seeds, strict=True)
        ]
        self._check(asked)
        if stop:
            for request in asked:
                self._follow_text(request)
        with using(self.network, adapter), self._packed(len(rows), max_new_tokens):
            for _ in self.run(asked):
                pass
        return [self.finished(request) for request in asked]

    def _packed(self, rows: int, tokens: int) -> AbstractContextManager[None]:
        """For so much writing the weights are packed first; a single row has a product of its own."""
        worth = rows > 1 and tokens >= _PACKED_FROM
        return packed(self.network, min(rows, MOST_ROWS)) if worth else nullcontext()

    def run(self, asked: Sequence[Request]) -> Iterator[None]:
        """Answers the requests; yields between two steps."""
        return decode(
            self.network,
            asked,
            slots=min(len(asked), self._rows_at_once(asked)),
            start_id=self._start_id,
            adapting=self._adapters,
            prefixes=self.prefixes,
        )

    def engine(self, *, slots: int, read_tokens: int | None) -> Engine:
        """An engine for requests that come and go."""
        return Engine(
            self.network,
            slots=slots,
            read_tokens=read_tokens,
            start_id=self._start_id,
            adapting=self._adapters,
            prefixes=self.prefixes,
        )

    def _searched(self, prompts: Prompts, settings: GenerationSettings, adapter: str | None) -> list[Generation]:
        rows = self._prompt_ids(prompts)
        self._check(requests(rows, settings, adapter=adapter))
        search, width = (
            (beam_search, settings.beams) if settings.beams > 1 else (contrastive_search, settings.top_k or 1)
        )
        at_once = max(1, ROWS_AT_ONCE // width)
        found: list[list[Hypothesis]] = []
        with using(self.network, adapter):
            for at in range(0, len(rows), at_once):
                steps = search(
                    self.network,
                    rows[at : at + at_once],
                    settings,
                    start_id=self._start_id,
                    begin=lambda count, capacity: self._adapters.begin([adapter] * count, capacity),
                    stopped=self._has_stopped(settings),
                )
                found += completed(steps)
        return [
            self._replayed(prompt, hypothesis, settings)
            for prompt, some in zip(rows, found, strict=True)
            for hypothesis in some
        ]

    def _replayed(self, prompt: list[int], hypothesis: Hypothesis, settings: GenerationSettings) -> Generation:
        """A search's answer as a request that has grown to it: its text ends at a stop text as any other's does."""
        (request,) = requests([prompt], dataclasses.replace(settings, n=1, seed=0))
        request.settings = settings
        if settings.stop:
            self._follow_text(request)
        for token, log_prob in zip(hypothesis.token_ids, hypothesis.log_probs, strict=True):
            if request.finish_reason is None:
                request.append(token, log_prob)
        request.finish_reason = request.finish_reason or hypothesis.finish_reason
        return self.finished(request)

    def _has_stopped(self, settings: GenerationSettings) -> Stopped | None:
        if not settings.stop:
            return None
        if self.tokenizer is None:
            raise _without_tokenizer(settings)
        decode_ids = self.tokenizer.decode
        # A stop text ends with the last token, and a token that adds to the text holds at least a byte of it.
        looked_at = max(len(stop.encode()) for stop in settings.stop) + 1

        def stopped(read: Sequence[int], ids: list[int]) -> bool:
            if len(ids) > looked_at:
                text = decode_ids(ids[-looked_at:])
            else:  # as `TokenText` does: some vocabularies write a space only between two tokens
                context = list(read[-1:]) if self._start_id is None else []
                text = decode_ids([*context, *ids])[len(decode_ids(context)) :]
            return any(stop in text for stop in settings.stop)

        return stopped

    def _speculated(self, asked: Sequence[Request], draft: "nn.Module | str") -> Iterator[None]:
        for request in asked:  # all of them before any work
            self._check_draft(draft, request)
        for request in asked:
            guesses = ModelDraft(draft, request) if isinstance(draft, nn.Module) else PromptLookup()
            with self._adapters.routing([request.adapter], None):
                yield from speculate(
                    self.network,
                    request,
                    guesses,
                    lambda rows, capacity: self._adapters.begin([None] * rows, capacity),
                )

    def _check_draft(self, draft: "nn.Module | str", request: Request) -> None:
        if self._start_id is not None:
            raise Unsupported("an encoder-decoder cannot be drafted for", received="draft", fix="leave draft out")
        if isinstance(draft, nn.Module):
            check_draft(self.network, draft, request)
        elif draft != "lookup":
            raise Unsupported("there is no such draft", received=draft, expected='"lookup", or a smaller model')

    def _rows_at_once(self, asked: Sequence[Request]) -> int:
        if self._start_id is not None or len(asked) <= ROWS_AT_ONCE:
            return ROWS_AT_ONCE
        capacity = max(len(request.prompt) + request.settings.max_new_tokens for request in asked)
        remembered = sum(tensor.nbytes for tensor in tree_leaves(self.network.new_state(1, capacity)))
        return min(max(ROWS_AT_ONCE, _REMEMBERED_BYTES // max(remembered, 1)), MOST_ROWS_AT_ONCE)

    # What came of it -------------------------------------------------------------------------------------------------

    def finished(self, request: Request) -> Generation:
        """A request that has ended, as a caller gets it."""
        assert request.finish_reason is not None
        return Generation(
            text=self._text_of(request),
            token_ids=request.token_ids,
            logprobs=request.log_probs,
            finish_reason=request.finish_reason,
            settings=request.settings,
        )

    def _follow_text(self, request: Request) -> None:
        if self.tokenizer is None:
            raise _without_tokenizer(request.settings)
        request.text = TokenText(self.tokenizer.decode, self._context(request))
        request.stop = StopText(request.settings.stop)

    def _context(self, request: Request) -> list[int]:
        """What the first new token is read after: the source of an encoder-decoder is no part of its answer."""
        return request.prompt[-1:] if self._start_id is None else []

    def _text_of(self, request: Request) -> str:
        if request.text is not None:
            return "".join(request.pieces)
        if self.tokenizer is None:
            return ""
        ended = request.token_ids[-1] in request.settings.eos_ids
        context = self._context(request)
        new = request.token_ids[:-1] if ended else request.token_ids
        return self.tokenizer.decode(context + new)[len(self.tokenizer.decode(context)) :]


def pieces(request: Request, steps: Iterator[None]) -> Iterator[str]:
    """The text of a request as the steps make it grow."""
    shown = 0
    for _ in steps:
        yield from request.pieces[shown:]
        shown = len(request.pieces)


def _without_tokenizer(settings: GenerationSettings) -> Unsupported:
    return Unsupported("a stop text needs a tokenizer, and this model has none", received=f"{settings.stop}")


def _ids(row: Any) -> list[int]:
    """The ids of one prompt, each a whole number."""
    given = row.tolist() if isinstance(row, Tensor | np.ndarray) else row
    if not isinstance(given, list | tuple) or not all(isinstance(token, int | np.integer) for token in given):
        raise DataError(
            "this is no prompt", received=repr(row)[:60], expected="a text, or a list of ids", fix="give whole numbers"
        )
    return [int(token) for token in given]
