"""Several requests under way at once, their answers in the order of the questions."""

import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


def in_order(work: Callable[[Question], Answer], questions: Sequence[Question], *, threads: int) -> Iterator[Answer]:
    """``work`` of each question, at most ``threads`` of them at once.

    Where one fails, its error is raised in its turn and no further question is begun. Where whoever asks stops (Ctrl-C,
    or no more is taken) nothing is waited for: what is under way ends by itself, in threads that hold up no exit.
    """
    if threads == 1 or len(questions) == 1:
        yield from map(work, questions)
        return
    numbers, stopped = itertools.count(), threading.Event()  # a count is drawn from by one thread at a time
    done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()

    def answer_some() -> None:
        while not stopped.is_set() and (number := next(numbers)) < len(questions):
            try:
                done.put((number, work(questions[number]), None))
            except BaseException as error:
                stopped.set()
                done.put((number, None, error))

    for _ in range(min(threads, len(questions))):
        threading.Thread(target=answer_some, daemon=True).start()
    early: dict[int, tuple[Any, BaseException | None]] = {}
    try:
        for number in range(len(questions)):
            while number not in early:
                place, answer, error = done.get()
                early[place] = (answer, error)
            answer, error = early.pop(number)
            if error is not None:
                raise error
            yield answer
    finally:
        stopped.set()
