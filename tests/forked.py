"""Work in a forked child, which may be killed."""

import os
import pathlib
import traceback
from collections.abc import Callable

from trivium.errors import Interrupted


def in_child(work: Callable[[], None], tmp_path: pathlib.Path) -> int:
    """Runs `work` in a forked child; its exit code, or minus the signal that killed it."""
    log = tmp_path / "child.log"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            work()
            code = 0
        except Interrupted as error:
            code = error.exit_code
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 1:
        raise AssertionError(log.read_text())
    return code
