"""System calls made by number, past Python and the C library: those that are not on the list do not reach the kernel.

Each is made with arguments that do nothing. EPERM and ENOSYS are the filter's answers; whatever else comes back is the
kernel's own, and shows that the call got there. Root gets such an answer from nearly all of them, outside.
"""

import platform
import subprocess
import sys

import pytest

from trivium import sandbox

if platform.machine() != "x86_64":
    pytest.skip("NO NUMBERS of these calls for this machine", allow_module_level=True)

# name: number, arguments; a text is a pointer to it.
CALLS = {
    "creat": (85, "/nowhere/a", 0o600),
    "open": (2, "/nowhere", 0),
    "link": (86, "/nowhere", "/nowhere/b"),
    "symlink": (88, "/nowhere", "/nowhere/b"),
    "symlinkat": (266, "/nowhere", -100, "/nowhere/b"),
    "linkat": (265, -100, "/nowhere", -100, "/nowhere/b", 0),
    "truncate": (76, "/nowhere", 0),
    "fallocate": (285, -1, 0, 0, 1),
    "chmod": (90, "/nowhere", 0),
    "fchmod": (91, -1, 0),
    "fchmodat": (268, -100, "/nowhere", 0),
    "chown": (92, "/nowhere", 0, 0),
    "fchown": (93, -1, 0, 0),
    "lchown": (94, "/nowhere", 0, 0),
    "fchownat": (260, -100, "/nowhere", 0, 0, 0),
    "utimensat": (280, -100, "/nowhere", 0, 0),
    "utime": (132, "/nowhere", 0),
    "mknod": (133, "/nowhere/a", 0o20666, 259),
    "mknodat": (259, -100, "/nowhere/a", 0o20666, 259),
    "setxattr": (188, "/nowhere", "user.a", "b", 1, 0),
    "removexattr": (197, "/nowhere", "user.a"),
    "getxattr": (191, "/nowhere", "user.a", 0, 0),
    "fchdir": (81, -1),
    "chroot": (161, "/nowhere"),
    "pivot_root": (155, "/nowhere", "/nowhere"),
    "mount": (165, "none", "/nowhere", "tmpfs", 0, 0),
    "umount2": (166, "/nowhere", 0),
    "fsopen": (430, "nothing", 0),
    "fsmount": (432, -1, 0, 0),
    "open_tree": (428, -100, "/nowhere", 0),
    "move_mount": (429, -1, "", -1, "", 4),
    "mount_setattr": (442, -100, "/nowhere", 0, 0, 0),
    "statmount": (457, 0, 0, 0, 0),
    "name_to_handle_at": (303, -100, "/nowhere", 0, 0, 0),
    "open_by_handle_at": (304, -1, 0, 0),
    "openat2": (437, -100, "/nowhere", 0, 0),
    "quotactl": (179, 0, 0, 0, 0),
    "statfs": (137, "/nowhere", 0),
    "swapon": (167, "/nowhere", 0),
    "swapoff": (168, "/nowhere"),
    "sync_file_range": (277, -1, 0, 0, 0),
    "splice": (275, -1, 0, -1, 0, 1, 0),
    "tee": (276, -1, -1, 1, 0),
    "vmsplice": (278, -1, 0, 0, 0),
    "sendfile": (40, -1, -1, 0, 1),
    "copy_file_range": (326, -1, 0, -1, 0, 1, 0),
    "inotify_init1": (294, 0),
    "fanotify_init": (300, 0xFFFF, 0),
    "memfd_create": (319, "a", 0),
    "memfd_secret": (447, 0xFFFF),
    "userfaultfd": (323, 0xFF),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 1),
    "process_vm_writev": (311, 1, 0, 0, 0, 0, 1),
    "process_madvise": (440, -1, 0, 0, 0, 0),
    "process_mrelease": (448, -1, 0),
    "ptrace": (101, 16, 0, 0, 0),
    "kcmp": (312, 1, 1, 99, 0, 0),
    "pidfd_open": (434, -1, 0),
    "pidfd_getfd": (438, -1, 0, 0),
    "pidfd_send_signal": (424, -1, 0, 0, 0),
    "tkill": (200, 1 << 30, 0),
    "rt_sigqueueinfo": (129, 1 << 30, 0, 0),
    "rt_tgsigqueueinfo": (297, 1 << 30, 1 << 30, 0, 0),
    "kill of another": (62, 1 << 30, 0),
    "tgkill of another": (234, 1 << 30, 1 << 30, 0),
    "move_pages": (279, 1 << 30, 0, 0, 0, 0, 0),
    "migrate_pages": (256, 1 << 30, 0, 0, 0),
    "mbind": (237, 0, 0, 99, 0, 0, 0),
    "get_mempolicy": (239, 0, 0, 0, 0, 99),
    "mlock": (149, 1, 1 << 62),
    "mlockall": (151, 0xFF),
    "remap_file_pages": (216, 0, 0, 0, 0, 0),
    "pkey_alloc": (330, 1, 0),
    "io_uring_setup": (425, 1, 0),
    "io_uring_enter": (426, -1, 0, 0, 0, 0, 0),
    "io_uring_register": (427, -1, 0, 0, 0),
    "io_setup": (206, 0, 0),
    "bpf": (321, 999, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "seccomp": (317, 999, 0, 0),
    "prctl of the filter": (157, 22, 999, 0, 0, 0),
    "prctl of dumping": (157, 4, 9, 0, 0, 0),
    "prctl of tracing": (157, 0x59616D61, 1 << 30, 0, 0, 0),
    "prctl of capabilities": (157, 24, 999, 0, 0, 0),
    "arch_prctl": (158, 0xFFFF, 0),
    "modify_ldt": (154, 99, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "request_key": (249, 0, 0, 0, 0),
    "keyctl": (250, 0, -3, 0, 0, 0),
    "capset": (126, 0, 0),
    "setuid": (105, -1),
    "setgid": (106, -1),
    "setreuid": (113, 5, -1 - (1 << 31)),
    "setresuid": (117, -1, -1, -1),
    "setresgid": (119, -1, -1, -1),
    "setgroups": (116, 1 << 20, 0),
    "setpgid": (109, -1, -1),
    "setrlimit": (160, 99, 0),
    "prlimit64 that sets": (302, 0, 99, 1, 0),
    "setpriority": (141, 99, 0, 0),
    "sched_setscheduler": (144, -1, 0, 0),
    "sched_setattr": (314, -1, 0, 0),
    "sched_setaffinity": (203, -1, 0, 0),
    "ioprio_set": (251, 99, 0, 0),
    "personality": (135, 0xFFFFFFFF),
    "execve": (59, "/nowhere", 0, 0),
    "execveat": (322, -100, "/nowhere", 0, 0, 0),
    "clone of a namespace": (56, 0x10000000 | 0x00020000 | 0x200, 0, 0, 0, 0),
    "clone3": (435, 0, 0),
    "unshare": (272, 0),
    "setns": (308, -1, 0),
    "socket": (41, 2, 99, 0),
    "socketpair of datagrams": (53, 1, 2, 0, 0),
    "bind": (49, -1, 0, 0),
    "listen": (50, -1, 0),
    "connect": (42, -1, 0, 0),
    "accept4": (288, -1, 0, 0, 0),
    "sendmsg": (46, -1, 0, 0),
    "sendmmsg": (307, -1, 0, 0, 0),
    "recvmsg": (47, -1, 0, 0),
    "sendto with an address": (44, -1, 0, 0, 0, 1, 1),
    "setsockopt": (54, -1, 0, 0, 0, 0),
    "ioctl that types": (16, 0, 0x5412, 0),
    "ioctl of a terminal": (16, -1, 0x540E, 0),
    "fcntl of an owner": (72, -1, 8, 0),
    "fcntl of a lease": (72, -1, 1024, 0),
    "openat that truncates what it reads": (257, -100, "/nowhere", 0o1000),
    "shmget": (29, 1, 0, 0),
    "shmat": (30, -1, 0, 0),
    "semget": (64, 1, 0, 0),
    "msgget": (68, 1, 0),
    "mq_open": (240, 0, 0, 0, 0),
    "timer_create": (222, 999, 0, 0),
    "timerfd_create": (283, 999, 0),
    "signalfd4": (289, -1, 0, 0, 0),
    "clock_settime": (227, 999, 0),
    "settimeofday": (164, 1, 0),
    "adjtimex": (159, 0),
    "clock_adjtime": (305, 999, 0),
    "sethostname": (170, 0, -1),
    "setdomainname": (171, 0, -1),
    "syslog": (103, 10, 0, 0),
    "acct": (163, "/nowhere"),
    "reboot": (169, 0, 0, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0xFFFF),
    "kexec_file_load": (320, -1, -1, 0, 0, 0xFFFF),
    "init_module": (175, 0, 0, 0),
    "finit_module": (313, -1, 0, 0),
    "delete_module": (176, "nothing", 0),
    "iopl": (172, 9),
    "ioperm": (173, 1 << 20, 1, 1),
    "landlock_create_ruleset": (444, 0, 0, 0xFF),
    "lsm_get_self_attr": (459, 0, 0, 0, 0),
    "call of the future": (600,),
    "call of another convention": (0x40000000 + 39,),
}
PROGRAM = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
refused = (errno.EPERM, errno.ENOSYS)
for name, (number, *arguments) in CALLS.items():
    words = [ctypes.c_char_p(a.encode()) if isinstance(a, str) else ctypes.c_long(a) for a in arguments]
    words += [ctypes.c_long(0)] * (6 - len(words))
    result = libc.syscall(ctypes.c_long(number), *words)
    error = ctypes.get_errno() if result == -1 else 0
    print(name, 'ABSENT' if error == errno.ENOSYS else 'refused' if error == errno.EPERM else 'REACHED', sep=': ')
"""


def told(output: str) -> dict[str, str]:
    return dict(line.split(": ") for line in output.splitlines())


@pytest.mark.skipif(not sandbox.survey().usable, reason="NO SANDBOX on this machine: see trivium doctor")
def test_inside_none_reaches_the_kernel():
    result = sandbox.run(f"CALLS = {CALLS!r}\n{PROGRAM}")
    assert result.status == "ok", result
    answers = told(result.stdout)
    assert set(answers) == set(CALLS)
    assert [name for name, answer in answers.items() if answer == "REACHED"] == []


def test_outside_nearly_all_reach_it():
    code = f"CALLS = {CALLS!r}\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    answers = told(done.stdout)
    assert set(answers) == set(CALLS)
    reached = [name for name, answer in answers.items() if answer == "REACHED"]
    # Some kernels are built without some calls, and a user without privileges is refused others by the kernel itself.
    assert len(reached) > 0.6 * len(CALLS), answers
