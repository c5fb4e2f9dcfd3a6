"""Continuous batching: requests come and go between two steps of one batch (Yu et al. 2022, "Orca", section 3).

The rows of one ``State`` are slots. A request that waits is read as soon as a slot is free, in pieces if it is long;
after that every step gives one more token to every request in a slot. A row that ends is replaced by the last one,
so the rows in use always stand first and nothing is computed for empty slots. Models of every kind are served, on
nothing but their ``State``: what a request answers depends on no other, whatever they share.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trivium.errors import ConfigError, NonFiniteError, Unsupported, UserError
from trivium.generation.adapting import Adapting, Unadapted
from trivium.generation.prefixes import PrefixCache
from trivium.generation.reading import device_of, read_on, read_sources, told_if_too_large
from trivium.generation.request import Request, check_requests
from trivium.generation.sampling import choose
from trivium.nn.state import State

# Prompt tokens of one forward pass: enough for the products to run at full speed, little enough for their memory.
MOST_READ_AT_ONCE = 8192


@dataclass
class _Reading:
    """Requests whose prompts are being read; equal prompts are read once."""

    requests: list[Request]
    row_of: list[int]
    """The row in which the prompt of each request is read."""
    adapters: list[str | None]
    """Of each row."""
    rest: list[list[int]]
    """What is still to be read of each row."""
    state: State
    hidden: Tensor | None = None
    """After the last token of each row that is read to its end."""


class Engine:
    """Answers requests as they come, ``slots`` of them side by side.

    ``read_tokens`` bounds how much of new prompts is read between two steps, so that a long one does not hold up the
    answers in progress; None reads all there is room for. ``start_id`` is given for encoder-decoders: prompts are then
    sources, and answers begin after that token. ``adapting`` knows the model's adapters, ``prefixes`` what was read
    before, for prompts that begin alike.

        engine = Engine(model)
        engine.submit(requests(prompts, settings))
        while not engine.idle:
            for request in engine.step(): ...
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        slots: int = 64,
        read_tokens: int | None = None,
        start_id: int | None = None,
        adapting: Adapting | None = None,
        prefixes: PrefixCache | None = None,
    ) -> None:
        if slots < 1 or (read_tokens is not None and read_tokens < 1):
            raise ConfigError(
                "an engine needs a slot, and reads at least a token at a time",
                received=f"slots={slots}, read_tokens={read_tokens}",
                fix="give 1 or more",
            )
        self.model = model
        self.slots = slots
        self.start_id = start_id
        self._read_tokens = read_tokens
        self._adapting = adapting or Unadapted(model)
        self._prefixes = prefixes if start_id is None else None  # a source is read as a whole
        self._waiting: deque[Request] = deque()
        self._reading: _Reading | None = None
        self._running: list[Request] = []
        self._last: list[int] = []  # the token that each running request is to be fed next
        self._room: State | None = None  # all slots
        self._active: State | None = None  # the first of them, one a running request
        self._capacity = 0  # tokens that a slot can hold
        self._failed: list[Request] = []  # since the last step, and not in a slot

    # What a caller does ----------------------------------------------------------------------------------------------

    def submit(self, requests: Iterable[Request]) -> None:
        """Requests to answer, in this order.

        Takes none of them and raises what ``check_requests`` raises, or ``Unsupported`` for a search or a stop text
        that nothing follows.
        """
        asked = list(requests)
        check_requests(self.model, asked, encoder_decoder=self.start_id is not None, adapting=self._adapting)
        for request in asked:
            _check_decodable(request)
        for request in asked:
            request.adapter = self._adapting.resolve(request.adapter)
        self._waiting.extend(asked)

    def cancel(self, request: Request) -> None:
        """Nobody waits for this answer any more: its slot is free from the next step on."""
        if request.finish_reason is None:
            request.finish_reason = "cancelled"

    @property
    def idle(self) -> bool:
        """Every request has its answer."""
        return not (self._waiting or self._reading or any(r.finish_reason is None for r in self._running))

    @torch.inference_mode()
    def step(self) -> list[Request]:
        """One more token for every request in a slot, new ones included: those that got one, or failed.

        A request fails, and no other with it, where its logits are NaN, where its constraints leave no token, and where
        it does not fit into memory: ``Request.error`` says so.
        """
        self._leave()  # who was cancelled
        if self._reading is not None and all(r.finish_reason is not None for r in self._reading.requests):
            self._reading = None
        hidden = [self._advance()] if self._running else []
        budget = self._read_tokens
        while (budget is None or budget > 0) and (reading := self._reading or self._next_reading()) is not None:
            budget = self._read(reading, budget)
            if self._reading is None and self._admit(reading):  # read to its end, and in its slots
                assert reading.hidden is not None
                hidden.append(reading.hidden)
        answered = self._choose(torch.cat(hidden)) if hidden else []
        self._leave()
        failed, self._failed = self._failed, []
        return [*answered, *failed]

    # Rows that leave -------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Frees the slots of requests that have ended; the last rows move into the gaps."""
        staying = [row for row, request in enumerate(self._running) if request.finish_reason is None]
        count = len(staying)
        if count == len(self._running):
            return
        assert self._active is not None and self._room is not None
        if self._prefixes is not None:
            self._remember([row for row, request in enumerate(self._running) if request.finish_reason is not None])
        order = list(range(count))
        gaps = sorted(set(order) - set(staying))
        moving = [row for row in staying if row >= count]
        for gap, row in zip(gaps, moving, strict=True):
            order[gap] = row
        self._settle()
        if moving:
            self._room = self._room.put(self._rows(gaps), self._room.take(self._rows(moving)))
        self._running = [self._running[row] for row in order]
        self._last = [self._last[row] for row in order]
        self._active = self._room.first(count)
        if not count:  # a long text makes the slots of all wide: they are made anew for who comes next
            self._room = self._active = None
            self._capacity = 0

    def _remember(self, rows: list[int]) -> None:
        assert self._prefixes is not None and self._active is not None
        for row in rows:
            request = self._running[row]
            if request.error is not None:
                continue
            read = request.prompt + request.token_ids[:-1]  # the last token was never fed back
            self._prefixes.keep(request.adapter, read, self._active.take(self._rows([row])))

    def _settle(self) -> None:
        """What the last step returned, into the slots; caches are written in place and stand there already."""
        assert self._active is not None and self._room is not None
        if self._active.rows:
            self._room = self._room.put(self._rows(range(self._active.rows)), self._active)

    # Rows that go on -------------------------------------------------------------------------------------------------

    def _advance(self) -> Tensor:
        """The hidden state ``[B, D]`` after the last token of every running request."""
        tokens = torch.tensor(self._last, device=device_of(self.model))[:, None]
        with self._adapting.routing([request.adapter for request in self._running], None):
            output = self.model(tokens, state=self._active)
        self._active = output.state
        return output.hidden[:, 0]

    def _choose(self, hidden: Tensor) -> list[Request]:
        """The next token of each row, each by its own settings and chance."""
        with self._adapting.routing([request.adapter for request in self._running], None):
            logits = self.model.head(hidden)
        alike: dict[tuple[object, ...], list[int]] = {}
        for row, request in enumerate(self._running):
            alike.setdefault(request.way_of_choosing, []).append(row)
        self._last = [0] * len(self._running)
        for rows in alike.values():
            self._choose_alike(rows, logits if len(alike) == 1 else logits[self._rows(rows)])
        return list(self._running)

    def _choose_alike(self, rows: list[int], logits: Tensor) -> None:
        """The next token of ``rows``, whose settings are alike; ``logits [R, V]`` are theirs."""
        group = [self._running[row] for row in rows]
        histories = [request.history(self.start_id) for request in group]
        try:
            ids, log_probs = choose(logits, group[0].settings, [request.chance for request in group], histories)
        except UserError as error:  # constraints that leave one of them nothing
            if len(rows) == 1:
                group[0].fail(error)
                return
            for place, row in enumerate(rows):
                self._choose_alike([row], logits[place : place + 1])
            return
        for row, request, token, log_prob in zip(rows, group, ids.tolist(), log_probs.tolist(), strict=True):
            self._last[row] = token
            if request.finish_reason is not None:  # cancelled while its prompt was read
                continue
            if log_prob != log_prob:
                request.fail(NonFiniteError("the model's logits are not numbers (NaN or infinite)"))
            else:
                request.append(token, log_prob)

    # Rows that come --------------------------------------------------------------------------------------------------

    def _next_reading(self, most_requests: int | None = None) -> _Reading | None:
        """The next requests for which there are slots, as many as are read in one go."""
        free, tokens = self.slots - len(self._running), 0
        free = free if most_requests is None else min(free, most_requests)
        rows: dict[tuple[str | None, tuple[int, ...]], int] = {}
        chosen, row_of = [], []
        most = min(self._read_tokens or MOST_READ_AT_ONCE, MOST_READ_AT_ONCE)
        while self._waiting and len(chosen) < free:
            request = self._waiting[0]
            if request.finish_reason is None:  # else cancelled before its turn
                key = (request.adapter, tuple(request.prompt))
                if key not in rows:
                    if rows and tokens + len(request.prompt) > most:
                        break
                    tokens += len(request.prompt)
                    rows[key] = len(rows)
                chosen.append(request)
                row_of.append(rows[key])
            self._waiting.popleft()
        if not chosen:
            return None
        try:
            return self._reading_of(chosen, row_of, list(rows))
        except ConfigError as error:  # they do not fit into memory
            if len(chosen) == 1:
                chosen[0].fail(error)
                self._failed += chosen
                return self._next_reading()
            self._waiting.extendleft(reversed(chosen))
            return self._next_reading(most_requests=1)

    def _reading_of(
        self, chosen: list[Request], row_of: list[int], rows: list[tuple[str | None, tuple[int, ...]]]
    ) -> _Reading:
        """Of each row the adapter and the prompt: the state to read them into, what is known of them already there."""
        adapters, prompts = [adapter for adapter, _ in rows], [list(prompt) for _, prompt in rows]
        if self.start_id is not None:
            return self._source(chosen, row_of, adapters, prompts)
        new = max(request.settings.max_new_tokens for request in chosen)
        with told_if_too_large(len(rows), new):
            state = self._adapting.begin(adapters, max(map(len, prompts)) + new - 1)
        rest = prompts
        if self._prefixes is not None:
            known = [self._prefixes.find(*row) for row in rows]
            for row, (_, before) in enumerate(known):
                if before is not None:
                    state = state.put(self._rows([row]), before)
            rest = [prompt[length:] for prompt, (length, _) in zip(prompts, known, strict=True)]
        return _Reading(chosen, row_of, adapters, rest, state)

    def _source(
        self, chosen: list[Request], row_of: list[int], adapters: list[str | None], sources: list[list[int]]
    ) -> _Reading:
        """An encoder looks at a source from both sides, so it is read whole."""
        assert self.start_id is not None
        new = max(request.settings.max_new_tokens for request in chosen)
        with self._adapting.routing(adapters, None):
            hidden, state = read_sources(self.model, sources, new, self.start_id)
        return _Reading(chosen, row_of, adapters, [[] for _ in sources], state, hidden)

    def _read(self, reading: _Reading, budget: int | None) -> int | None:
        """Reads on, and puts the requests into slots once their prompts are read; gives what is left of the budget."""
        while any(reading.rest):
            if budget is not None and budget <= 0:
                self._reading = reading
                return budget
            left = MOST_READ_AT_ONCE if budget is None else min(budget, MOST_READ_AT_ONCE)
            piece = []
            for row, rest in enumerate(reading.rest):
                piece.append(rest[:left])
                reading.rest[row] = rest[left:]
                left -= len(piece[-1])
            hidden, reading.state = read_on(
                self.model, piece, reading.state, lambda segments: self._adapting.routing(reading.adapters, segments)
            )
            before = hidden if reading.hidden is None else reading.hidden
            grown = torch.tensor([bool(part) for part in piece], device=hidden.device)[:, None]
            reading.hidden = torch.where(grown, hidden, before)
            budget = None if budget is None else budget - sum(map(len, piece))
        self._reading = None
        return budget

    def _admit(self, reading: _Reading) -> bool:
        """The requests' rows, into slots after those in use; False where there cannot be so much room."""
        state, count, old = reading.state, len(reading.requests), len(self._running)
        assert reading.hidden is not None
        if reading.row_of != list(range(state.rows)):
            rows = self._rows(reading.row_of)
            state, reading.hidden = state.take(rows), reading.hidden[rows]
        needed = int(state.lengths.max()) + max(request.settings.max_new_tokens for request in reading.requests) - 1
        if self._room is None:
            self._room, self._capacity = state, needed
        else:
            if self._active is not None:
                self._settle()
            try:
                self._make_room(old + count, needed)
            except ConfigError as error:
                for request in reading.requests:
                    request.fail(error)
                self._failed += reading.requests
                return False
            self._room = self._room.put(self._rows(range(old, old + count)), state)
        self._active = self._room.first(old + count)
        self._running += reading.requests
        self._last += [0] * count
        return True

    def _make_room(self, rows: int, capacity: int) -> None:
        """Slots for ``rows`` requests of ``capacity`` tokens; where they must grow, for those that wait as well."""
        assert self._room is not None
        if rows <= self._room.rows and capacity <= self._capacity:
            return
        asked = self._waiting if self.start_id is None else ()
        waiting = max((len(request.prompt) + request.settings.max_new_tokens for request in asked), default=0)
        self._capacity = max(self._capacity, capacity, waiting)
        rows = max(self._room.rows, min(rows + len(self._waiting), self.slots))
        with told_if_too_large(rows, self._capacity):
            self._room = self._room.reserve(rows, self._capacity)

    def _rows(self, rows: Iterable[int]) -> Tensor:
        return torch.tensor(list(rows), dtype=torch.long, device=device_of(self.model))


def _check_decodable(request: Request) -> None:
    settings = request.settings
    if settings.beams > 1 or settings.search.contrastive_alpha:
        raise Unsupported(
            "an engine grows one answer a request",
            received=f"beams={settings.beams}, {settings.search}",
            fix="use generate for a search, or leave it out",
        )
    if settings.stop and request.text is None:
        raise Unsupported(
            "nothing makes a text of this request's tokens, so that no stop text would be seen",
            received=f"stop={settings.stop}",
            fix="make requests with model.requests(prompt, stop=...)",
        )
