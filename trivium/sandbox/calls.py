"""The system calls that a program may make: an allow-list, with the numbers of x86_64 and of aarch64.

Python's own start, threads, files of the scratch folder, pipes, timers and memory need these. What is not here fails:
new programs, new processes, sockets (but pairs that lead nowhere else), mounts, namespaces, tracing, other processes'
signals and memory, modes and owners of files, keys, eBPF, io_uring, performance counters, modules, clocks.
"""

import os

from trivium.sandbox.kernel import PR_GET_NAME, PR_SET_NAME

# name, x86_64, aarch64; "-" where the machine has no such call.
_TABLE = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70
close 3 57, close_range 436 436, lseek 8 62, fstat 5 80, newfstatat 262 79, stat 4 -, lstat 6 -, statx 332 291
access 21 -, faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, getcwd 79 17, chdir 80 49
getdents64 217 61, openat 257 56, mkdir 83 -, mkdirat 258 34, rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -
renameat 264 38, renameat2 316 276, ftruncate 77 46, fsync 74 82, fdatasync 75 83, flock 73 32, umask 95 166
fadvise64 221 223, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, fcntl 72 25, ioctl 16 29

poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -
epoll_pwait 281 22, eventfd2 290 19, socketpair 53 199, sendto 44 206, recvfrom 45 207, shutdown 48 210
getsockname 51 204, getpeername 52 205, getsockopt 55 209

mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, brk 12 214

rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigtimedwait 128 137
rt_sigsuspend 130 133, sigaltstack 131 132, pause 34 -, alarm 37 -, setitimer 38 103, getitimer 36 102, kill 62 129
tgkill 234 131

clone 56 220, futex 202 98, set_robust_list 273 99, get_robust_list 274 100, rseq 334 293, set_tid_address 218 96
restart_syscall 219 128, sched_yield 24 124, sched_getaffinity 204 123, getcpu 309 168, exit 60 93, exit_group 231 94

getpid 39 172, gettid 186 178, getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177
getresuid 118 148, getresgid 120 150, getgroups 115 158, getpgrp 111 -, getpgid 121 155, getsid 124 156, uname 63 160
sysinfo 99 179, getrlimit 97 163, prlimit64 302 261, getrusage 98 165, times 100 153, prctl 157 167

clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115, nanosleep 35 101, gettimeofday 96 169
time 201 -, getrandom 318 278
"""

# With ENOSYS the C library falls back to `clone`, whose flags a filter can see; EPERM would break threads.
CLONE3 = 435
# Numbers from here on are of kernels younger than the table: ENOSYS, the answer of the kernels it was written for.
YOUNGER = 450

_CLONE_THREAD = 0x00010000
# Of the namespaces that `clone` could make; CLONE_NEWTIME lies in the byte of the exit signal.
_CLONE_NAMESPACES = 0x7E020000
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE = 1, 1, 0xF
_TCGETS, _FIONREAD, _FIONBIO, _FIOCLEX, _FIONCLEX, _TIOCGWINSZ = 0x5401, 0x541B, 0x5421, 0x5451, 0x5450, 0x5413
_F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_GETLK, _F_SETLK, _F_SETLKW = range(8)
_F_DUPFD_CLOEXEC = 1030

# A check: which 32-bit half of the arguments (2 x argument, + 1 for the upper half), a mask, and what may then be left.
Check = tuple[int, int, tuple[int, ...]]
_ALL = 0xFFFFFFFF


def conditions(process: int) -> dict[str, list[Check]]:
    """Of some calls only a part is allowed; `process` is the id of the program's process as it sees it itself."""
    writing = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_TRUNC)
    return {
        "clone": [(0, _CLONE_THREAD | _CLONE_NAMESPACES, (_CLONE_THREAD,))],
        "kill": [(0, _ALL, (process,))],
        "tgkill": [(0, _ALL, (process,))],
        # Reading and truncating at once needs no right to write from a Landlock older than its third version.
        "openat": [(4, os.O_ACCMODE | os.O_TRUNC, writing)],
        "fcntl": [
            (
                2,
                _ALL,
                (_F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_GETLK, _F_SETLK, _F_SETLKW, _F_DUPFD_CLOEXEC),
            )
        ],
        "ioctl": [(2, _ALL, (_TCGETS, _FIONREAD, _FIONBIO, _FIOCLEX, _FIONCLEX, _TIOCGWINSZ))],
        "prctl": [(0, _ALL, (PR_SET_NAME, PR_GET_NAME))],
        # Limits are read, of this process, and never set.
        "prlimit64": [(0, _ALL, (0, process)), (4, _ALL, (0,)), (5, _ALL, (0,))],
        # What asyncio wakes itself by. A datagram pair could send to an address; so could `sendto` with one.
        "socketpair": [(0, _ALL, (_AF_UNIX,)), (2, _SOCK_TYPE, (_SOCK_STREAM,))],
        "sendto": [(8, _ALL, (0,)), (9, _ALL, (0,))],
    }


def numbers(machine: str) -> dict[str, int]:
    """Name and number of every call of the list that this machine ("x86_64" or "aarch64") has."""
    column = {"x86_64": 1, "aarch64": 2}[machine]
    rows = [entry.split() for line in _TABLE.split("\n") for entry in line.split(",") if entry.strip()]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}
