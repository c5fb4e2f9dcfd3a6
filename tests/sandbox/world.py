"""What there is to be had outside of the sandbox: files, processes and listeners with canaries, and who took one."""

import contextlib
import os
import pathlib
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

REPOSITORY = pathlib.Path(__file__).parents[2]
PATIENCE_SECONDS = 60
# They print the token as soon as an interpreter looks into PYTHONPATH: for all others that would be a false success.
_OF_THE_PATH = {("reading", "sitecustomize"), ("reading", "shadowed module")}


class World:
    """One token for all attacks, and the listeners. Attacks may run side by side, each on a `Stage` of its own."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.token = "token" + secrets.token_hex(8)
        self.heard = b""
        self._over = threading.Event()
        self._sockets = {name: socket.socket(*kind) for name, kind in _LISTENERS.items()}
        for name in ("tcp", "udp"):
            self._sockets[name].bind(("127.0.0.1", 0))
        self._sockets["unix"].bind(str(folder / "unix"))
        (folder / "unix").chmod(0o777)
        self._sockets["abstract"].bind("\0" + self.token)
        for name in ("tcp", "unix"):
            self._sockets[name].listen()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def addresses(self) -> dict[str, Any]:
        ports = {name: self._sockets[name].getsockname()[1] for name in ("tcp", "udp")}
        return {**ports, "unix": str(self.folder / "unix"), "abstract": "\0" + self.token}

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            for name, listening in self._sockets.items():
                selector.register(listening, selectors.EVENT_READ, name in ("tcp", "unix"))
            while not self._over.is_set():
                for key, _ in selector.select(0.02):
                    line: Any = key.fileobj
                    if key.data:
                        selector.register(line.accept()[0], selectors.EVENT_READ, False)
                    elif data := line.recv(1 << 16):
                        self.heard += data
                    elif line.type == socket.SOCK_STREAM:
                        selector.unregister(line)
                        line.close()
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # pyright: ignore[reportAttributeAccessIssue]

    def close(self) -> None:
        self._over.set()
        self._listener.join()


_LISTENERS = {
    "tcp": (socket.AF_INET, socket.SOCK_STREAM),
    "udp": (socket.AF_INET, socket.SOCK_DGRAM),
    "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
    "abstract": (socket.AF_UNIX, socket.SOCK_DGRAM),
}


@contextlib.contextmanager
def open_world() -> Iterator[World]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="canary-"))
    folder.chmod(0o777)
    world = World(folder)
    try:
        yield world
    finally:
        world.close()
        shutil.rmtree(folder)


class Stage:
    """The canaries of one attack, fresh."""

    def __init__(self, world: World, attack: tuple[str, str], code: str):
        self.world = world
        self.attack = attack
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=world.folder))
        self.name = "name" + secrets.token_hex(8)
        modules = self.folder / "modules"
        modules.mkdir()
        (self.folder / "secret").write_text(world.token)
        self.victim = self.folder / "victim"
        self.victim.write_text("whole")
        for module in ("treasure", "colorsys"):
            (modules / f"{module}.py").write_text(f"TOKEN = {world.token!r}\n")
        (modules / "sitecustomize.py").write_text(f"print({world.token!r})\n")
        (self.folder / "link").symlink_to(self.folder / "secret")
        for path in (self.folder, modules, self.victim):
            path.chmod(0o777)
        self.before = self._state()
        self.fd = os.open(self.folder / "secret", os.O_RDONLY)
        os.set_inheritable(self.fd, True)
        # Only where it is spoken of: a process more costs what an attack does.
        self.process = subprocess.Popen(
            ["/bin/sleep", "60"], env={"CANARY": world.token}, start_new_session=True
        ) if "W['pid']" in code else None  # fmt: skip
        self.places = {place: pathlib.Path(f"/{place}", self.name) for place in ("tmp", "dev/shm")}
        self.program = f"W = {self._knowledge()!r}\n{code}\n"

    def _knowledge(self) -> dict[str, Any]:
        return {
            "secret": str(self.folder / "secret"),
            "folder": str(self.folder),
            "victim": str(self.victim),
            "link": str(self.folder / "link"),
            "mark": str(self.folder / "mark"),
            "tmp": str(self.places["tmp"]),
            "shm": str(self.places["dev/shm"]),
            "pid": None if self.process is None else self.process.pid,
            "fd": self.fd,
            "name": self.name,
            "host": os.uname().nodename,
            "repository": str(REPOSITORY),
            **self.world.addresses(),
        }

    def _state(self) -> tuple:
        """Of the victim: what a change would change. The time of a change, too, but not that of a look."""
        facts = self.victim.stat()
        return self.victim.read_bytes(), facts.st_mode, facts.st_uid, facts.st_mtime_ns, facts.st_nlink

    def taken(self, output: str) -> list[str]:
        """Which canaries the attack has taken, to be asked once it is over."""
        found = []
        if self.world.token in output or "ESCAPED" in output:
            found.append("output")
        if os.path.lexists(self.folder / "mark"):
            found.append("mark")
        if not self.victim.exists() or self._state() != self.before:
            found.append("victim")
        found += [place for place, path in self.places.items() if os.path.lexists(path)]
        if self.process is not None and self.process.poll() is not None:
            found.append("process")
        if self.name.encode() in self.world.heard:
            found.append("heard")
        return found

    def run_outside(self) -> str:
        """The output of the attack in a plain process of this user: what it can do where nothing stops it."""
        environment = {"CANARY": self.world.token, "PATH": "/bin:/usr/bin"}
        if self.attack in _OF_THE_PATH:
            environment["PYTHONPATH"] = str(self.folder / "modules")
        done = subprocess.run(
            [sys.executable, "-c", self.program],
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS,
            pass_fds=(self.fd,),
            start_new_session=True,
            cwd="/",
            check=False,
        )
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def close(self) -> None:
        os.close(self.fd)
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for path in self.places.values():
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)


def survivors(patience_s: float = 5.0) -> list[str]:
    """Processes of the sandbox, dead ones that nobody has collected included, and files in the places for all.

    Other tests may use the sandbox at the same time. What it began says for whom (`process.py`); of anything else that
    which is still there after `patience_s` counts.
    """
    mine, others = _left()
    end = time.monotonic() + patience_s
    while others and time.monotonic() < end:
        time.sleep(0.05)
        others &= _left()[1]
    return sorted(mine | others)


def _left() -> tuple[set[str], set[str]]:
    """What this process has begun in the sandbox, and what somebody else may have."""
    mine, others = set(), set()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if any(b"child.main(sys.argv" in word for word in words):
                mine |= {f"{folder}: {words}"} if str(os.getpid()).encode() in words else set()
            elif folder.stat().st_uid >= 0x70000000:
                others.add(f"{folder}: {words}")
    for place in ("/tmp", "/dev/shm", "/var/tmp"):
        for path in pathlib.Path(place).glob("*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_uid >= 0x70000000:
                    others.add(str(path))
    return mine, others
