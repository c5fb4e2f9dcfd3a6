"""The filter of system calls, run by an interpreter of its language: what it answers to whom, on both machines."""

import errno
import pathlib
import re
import struct

import pytest

from trivium.sandbox import calls, kernel, seccomp

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
PROCESS = 42
MACHINES = sorted(kernel.AUDIT_ARCHITECTURES)
PROGRAMS = {machine: seccomp.program(machine, PROCESS) for machine in MACHINES}


def answer(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter returns for a call, by the rules of classic BPF."""
    words = [argument % 2**64 for argument in arguments] + [0] * (6 - len(arguments))
    named = kernel.AUDIT_ARCHITECTURES[machine] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number, named, 0, *words)
    program = PROGRAMS[machine]
    place, held = 0, 0
    while True:
        code, if_true, if_false, constant = program[place]
        place += 1
        if code == 0x20:
            (held,) = struct.unpack_from("<I", data, constant)
        elif code == 0x54:
            held &= constant
        elif code == 0x15:
            place += if_true if held == constant else if_false
        elif code == 0x35:
            place += if_true if held >= constant else if_false
        else:
            assert code == 0x06
            return constant


def number(machine: str, name: str) -> int:
    return calls.numbers(machine)[name]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_of_the_list_is_let_through_and_no_other(machine):
    conditional = set(calls.conditions(PROCESS))
    plain = {listed for name, listed in calls.numbers(machine).items() if name not in conditional}
    allowed = {number for number in range(1000) if answer(machine, number) == ALLOW}
    # Of the conditional ones some pass with arguments of zero.
    assert plain <= allowed <= set(calls.numbers(machine).values())


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_by_another_convention_kill(machine):
    read = number(machine, "read")
    assert answer(machine, read) == ALLOW
    assert answer(machine, read, architecture=0x40000003) == KILL  # 32-bit x86


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_younger_than_the_list_is_not_there(machine):
    assert answer(machine, calls.CLONE3) == ENOSYS
    assert answer(machine, 462) == ENOSYS
    assert answer(machine, 0x40000000 + number(machine, "read")) == ENOSYS


ALLOWED = [
    ("clone", (0x3D0F00,)),  # a thread of glibc's
    ("kill", (PROCESS, 15)),
    ("tgkill", (PROCESS, 3, 6)),
    ("openat", (-100, 1, 0)),
    ("openat", (-100, 1, 0o1101)),
    ("fcntl", (1, 3)),
    ("fcntl", (1, 1030, 3)),
    ("ioctl", (1, 0x5401)),
    ("prctl", (15, 1)),
    ("prlimit64", (0, 7, 0, 1)),
    ("prlimit64", (PROCESS, 7, 0, 1)),
    ("socketpair", (1, 0x80801, 0, 1)),
    ("sendto", (3, 1, 1, 0, 0, 0)),
]
REFUSED = [
    ("clone", (0x11,)),  # fork
    ("clone", (0x4111,)),  # vfork
    ("clone", (0x10010000,)),  # a thread in a new user namespace
    ("clone", (0x00020011,)),
    ("kill", (0, 9)),
    ("kill", (-1, 9)),
    ("kill", (1, 9)),
    ("tgkill", (1, 1, 9)),
    ("openat", (-100, 1, 0o1000)),
    ("fcntl", (1, 8, 5)),
    ("fcntl", (1, 1024, 0)),
    ("ioctl", (0, 0x5412, 1)),
    ("prctl", (1, 0)),
    ("prctl", (22, 2, 1)),
    ("prctl", (38, 0)),
    ("prlimit64", (1, 7, 0, 1)),
    ("prlimit64", (0, 7, 1, 0)),
    ("prlimit64", (0, 7, 1 << 32, 0)),  # a pointer whose lower half is zero
    ("socketpair", (1, 2, 0, 1)),
    ("socketpair", (2, 1, 0, 1)),
    ("sendto", (3, 1, 1, 0, 1, 1)),
    ("sendto", (3, 1, 1, 0, 1 << 32, 1)),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "arguments"), ALLOWED)
def test_these_arguments_pass(machine, name, arguments):
    assert answer(machine, number(machine, name), *arguments) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "arguments"), REFUSED)
def test_these_arguments_do_not(machine, name, arguments):
    assert answer(machine, number(machine, name), *arguments) == EPERM


def test_every_condition_is_of_a_call_of_the_list():
    assert set(calls.conditions(PROCESS)) <= set(calls.numbers("x86_64"))
    assert set(calls.conditions(PROCESS)) <= set(calls.numbers("aarch64"))


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_the_numbers_are_the_kernel_s(machine, header):
    if not pathlib.Path(header).exists():
        pytest.skip(f"NO HEADERS of the kernel at {header}")
    text = pathlib.Path(header).read_text()
    named = {name: int(value) for name, value in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)}
    # What the generic header calls fstatat is newfstatat on 64 bits.
    named |= {"newfstatat": named["fstatat"]} if machine == "aarch64" else {}
    for name, listed in calls.numbers(machine).items():
        assert named[name] == listed, name
