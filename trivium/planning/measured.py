"""What a computation really takes, beside what a rehearsal foretells."""

from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from trivium.planning.ledger import Ledger


class Noting(TorchDispatchMode):
    """Inside it a ledger is told of every tensor that an operation gives, by whatever library the operation is asked.

    What was there before is to be noted by the caller.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.ledger.note(result)
        return result


def peak_tensor_bytes(work: Callable[[], object]) -> int:
    """Most bytes that PyTorch's CPU allocator had given out at once during ``work``, beyond those before it.

    It counts blocks, also those inside kernels, and knows nothing of the ledger; nothing is sampled.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most
