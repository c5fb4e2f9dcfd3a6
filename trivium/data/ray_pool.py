"""The tasks of `trivium.data.tasks` on a Ray cluster: more than one machine, all of which see the work folder.

    trivium prepare /shared/texts --output /shared/prepared --work.engine ray

Ray is started on this machine where there is no cluster; the environment variable RAY_ADDRESS names one. Ray sends our
function to its workers as code: a cluster runs what those who reach it send, so it belongs behind a closed door.
"""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from trivium import errors
from trivium.data.tasks import perform
from trivium.errors import StorageError, Unsupported, UserError


class Cluster:
    """A `Pool` whose workers are Ray's. Files that hang a reader are not stopped here: read unknown ones locally."""

    def __init__(self) -> None:
        try:
            import ray
        except ImportError as error:
            raise Unsupported(
                "the Ray engine needs a package that is not installed",
                received="no ray",
                fix='pip install "trivium-lm[ray]"',
            ) from error
        self._ray = ray
        self._started = False

    def map(self, requests: Sequence[dict[str, Any]]) -> Iterator[None]:
        """See `trivium.data.pool.Pool`."""
        task = self._ray.remote(_answer)
        for reference in [task.remote(request) for request in requests]:
            answer = self._ray.get(reference)
            if "failed" in answer:
                raise errors.from_json(answer["failed"])
            yield

    def __enter__(self) -> Self:
        if not self._ray.is_initialized():
            self._ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
            self._started = True
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._started:
            self._ray.shutdown()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """As `trivium.data.worker` answers: errors as data, since Ray would wrap them in its own."""
    try:
        perform(request)
        return {"done": True}
    except UserError as error:
        return {"failed": error.to_json()}
    except OSError as error:
        return {"failed": StorageError("a file of the work folder cannot be used", received=error).to_json()}
