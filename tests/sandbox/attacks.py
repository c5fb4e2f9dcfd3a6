"""Programs that try to get out of the sandbox, by what they are after.

Each is a whole program but for `W`, a dictionary of what there is to be had (`world.World`): `secret` (a file that
holds a token), `folder` (world-writable, holds `secret`, `victim` and `modules`), `victim` (a file), `mark` (a file
that is not there), `shm` and `tmp` (places for files that must not stay), `pid` (a process, with the token in its
environment), `fd` (a descriptor of the secret), `tcp`, `udp`, `unix`, `abstract` (addresses that listen), `name`.

An attack has succeeded when the token or the word ESCAPED is in its output, `mark` is there or `victim` changed, the
process is dead, or a listener has heard `name`. An attack that finds nothing to attack, even outside, prints ABSENT.
"""

from textwrap import dedent

READING = {
    "open": "print(open(W['secret']).read())",
    "os.open": "import os; print(os.read(os.open(W['secret'], os.O_RDONLY), 99))",
    "pathlib": "import pathlib; print(pathlib.Path(W['secret']).read_text())",
    "FileIO": "import io; print(io.FileIO(W['secret']).read())",
    "mmap": "import mmap, os; print(mmap.mmap(os.open(W['secret'], 0), 0, prot=mmap.PROT_READ)[:])",
    "fileinput": "import fileinput; print(*fileinput.input([W['secret']]))",
    "linecache": "import linecache; print(linecache.getlines(W['secret']))",
    "codecs": "import codecs; print(codecs.open(W['secret'], encoding='utf-8').read())",
    "tokenize": "import tokenize; print(tokenize.open(W['secret']).read())",
    "libc": """
        import ctypes
        libc = ctypes.CDLL(None)
        place = ctypes.create_string_buffer(99)
        libc.read(libc.open(W['secret'].encode(), 0), place, 99)
        print(place.raw)
    """,
    "O_PATH": "import os; print(open(f\"/proc/self/fd/{os.open(W['secret'], os.O_PATH)}\").read())",
    "upwards": "print(open('../' * 30 + W['secret'].lstrip('/')).read())",
    "symbolic link": """
        import os
        os.symlink(W['secret'], W['tmp'])
        try:
            print(open(W['tmp']).read())
        finally:
            os.unlink(W['tmp'])
    """,
    "symbolic link that is there": "print(open(W['link']).read())",
    "hard link": """
        import os
        os.link(W['secret'], W['tmp'])
        try:
            print(open(W['tmp']).read())
        finally:
            os.unlink(W['tmp'])
    """,
    "chdir": "import os; os.chdir(W['folder']); print(open('secret').read())",
    "dir_fd": "import os; print(os.read(os.open('secret', 0, dir_fd=os.open(W['folder'], 0)), 99))",
    "copy": """
        import os, shutil
        shutil.copy(W['secret'], W['tmp'])
        print(open(W['tmp']).read())
        os.unlink(W['tmp'])
    """,
    "tar": """
        import io, tarfile
        place = io.BytesIO()
        tarfile.open(fileobj=place, mode='w').add(W['secret'])
        print(place.getvalue())
    """,
    "import": "import sys; sys.path.insert(0, W['folder'] + '/modules'); import treasure; print(treasure.TOKEN)",
    "runpy": "import runpy; print(runpy.run_path(W['folder'] + '/modules/treasure.py'))",
    "loader": """
        import importlib.machinery
        path = W['folder'] + '/modules/treasure.py'
        print(importlib.machinery.SourceFileLoader('treasure', path).get_data(path))
    """,
    "entity": """
        import io, xml.sax, xml.sax.handler
        parser = xml.sax.make_parser()
        parser.setFeature(xml.sax.handler.feature_external_ges, True)
        handler = xml.sax.handler.ContentHandler()
        handler.characters = print
        parser.setContentHandler(handler)
        parser.parse(io.StringIO('<!DOCTYPE a [<!ENTITY b SYSTEM "file://%s">]><a>&b;</a>' % W['secret']))
    """,
    "URL": "import urllib.request; print(urllib.request.urlopen('file://' + W['secret']).read())",
    "shared library": """
        import ctypes
        try:
            ctypes.CDLL(W['secret'])
        except OSError as error:
            if 'too short' in str(error) or 'ELF' in str(error):
                print('ESCAPED')
    """,
    "listdir": "import os; print(os.listdir(W['folder']) and 'ESCAPED')",
    "scandir": "import os; print([entry.name for entry in os.scandir(W['folder'])] and 'ESCAPED')",
    "glob": "import glob; print('ESCAPED' if glob.glob(W['folder'] + '/*') else '')",
    "walk": "import os; print('ESCAPED' if list(os.walk(W['folder'])) else '')",
    "root folder": "import os; print('ESCAPED' if os.listdir('/') else '')",
    "passwd": "print('ESCAPED' if 'root:' in open('/etc/passwd').read() else '')",
    "shadow": "print('ESCAPED' if 'root:' in open('/etc/shadow').read() else '')",
    "pwd": "import pwd; print(pwd.getpwnam('root') and 'ESCAPED')",
    "home": "import os; print('ESCAPED' if os.scandir(os.path.expanduser('~root')) else '')",
    "environment of the first process": """
        try:
            print('ESCAPED' if open('/proc/1/environ', 'rb').read() is not None else '')
        except PermissionError:  # where even root is not asked
            print('ABSENT')
    """,
    "first process": "print(open('/proc/1/cmdline').read() is not None and 'ESCAPED')",
    "environment of a process": "print(open(f\"/proc/{W['pid']}/environ\").read())",
    "memory of a process": "print(open(f\"/proc/{W['pid']}/maps\").read() and 'ESCAPED')",
    "root of a process": "print(open(f\"/proc/{W['pid']}/root{W['secret']}\").read())",
    "own root": "print(open('/proc/self/root' + W['secret']).read())",
    "own memory": "print(open('/proc/self/mem', 'rb') and 'ESCAPED')",
    "own command line": "print(open('/proc/self/cmdline').read() and 'ESCAPED')",
    "mounts": "print(open('/proc/self/mountinfo').read() and 'ESCAPED')",
    "version of the kernel": "print(open('/proc/version').read() and 'ESCAPED')",
    "sysfs": "import os; print(os.listdir('/sys/class') and 'ESCAPED')",
    "devices": "import os; print(os.listdir('/dev') and 'ESCAPED')",
    "shared memory": "import os; print('ESCAPED' if os.listdir('/dev/shm') is not None else '')",
    "installed packages": """
        import os, sysconfig
        folders = {sysconfig.get_path('purelib'), os.path.dirname(os.__file__) + '/site-packages'}
        print('ESCAPED' if any(os.path.isdir(folder) and os.listdir(folder) for folder in folders) else '')
    """,
    "this package": "import sys; sys.path.append(W['repository']); import trivium.errors; print('ESCAPED')",
    "host's name": "import os; print('ESCAPED' if os.uname().nodename == W['host'] else '')",
    "descriptor that was open": "import os; print(os.pread(W['fd'], 99, 0))",
    "all descriptors": """
        import os
        for descriptor in range(3, 256):
            try:
                print(os.pread(descriptor, 99, 0))
            except OSError:
                pass
    """,
    "environment": "import os; print(os.environ)",
    "environment by libc": """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_char_p
        print(libc.getenv(b'CANARY'))
    """,
    "sitecustomize": "pass",
    "shadowed module": "import colorsys; print(getattr(colorsys, 'TOKEN', ''))",
}

WRITING = {
    "open": "open(W['mark'], 'w').write('x')",
    "os.open": "import os; os.open(W['mark'], os.O_CREAT | os.O_WRONLY)",
    "touch": "import pathlib; pathlib.Path(W['mark']).touch()",
    "append": "open(W['victim'], 'a').write('x')",
    "overwrite": "open(W['victim'], 'w').write('x')",
    "in place": "open(W['victim'], 'r+').write('x')",
    "truncate": "import os; os.truncate(W['victim'], 0)",
    "truncate while reading": "import os; os.open(W['victim'], os.O_RDONLY | os.O_TRUNC)",
    "map": """
        import mmap, os
        with mmap.mmap(os.open(W['victim'], os.O_RDWR), 0) as view:
            view[0:1] = b'X'
    """,
    "unlink": "import os; os.unlink(W['victim'])",
    "rename": "import os; os.rename(W['victim'], W['mark'])",
    "replace": "import os; open(W['tmp'], 'w').close(); os.rename(W['tmp'], W['victim'])",
    "move": "import shutil; shutil.move(W['victim'], W['mark'])",
    "remove the folder": "import shutil; shutil.rmtree(W['folder'] + '/modules'); open(W['mark'], 'w')",
    "mkdir": "import os; os.mkdir(W['mark'])",
    "symbolic link": "import os; os.symlink('/', W['mark'])",
    "hard link": "import os; os.link(W['victim'], W['mark'])",
    "fifo": "import os; os.mkfifo(W['mark'])",
    "device": "import os, stat; os.mknod(W['mark'], 0o666 | stat.S_IFCHR, os.makedev(1, 3))",
    "Unix socket": "import socket; socket.socket(socket.AF_UNIX).bind(W['mark'])",
    "mode": "import os; os.chmod(W['victim'], 0o700)",
    "owner": "import os; os.chown(W['victim'], 1, 1)",
    "times": "import os; os.utime(W['victim'], (1, 1))",
    "attribute": "import os; os.setxattr(W['victim'], 'user.a', b'b'); print('ESCAPED')",
    "temporary file": "import tempfile; tempfile.NamedTemporaryFile(dir=W['folder']); print('ESCAPED')",
    "log": "import logging; logging.FileHandler(W['mark'])",
    "database": "import sqlite3; sqlite3.connect(W['mark']).execute('create table a (b)')",
    "zip": "import zipfile; zipfile.ZipFile(W['mark'], 'w').close()",
    "the library": "import os; open(os.__file__, 'r+b'); print('ESCAPED')",
    "path file": """
        import os
        os.open(os.path.dirname(os.__file__) + '/site-packages', os.O_TMPFILE | os.O_WRONLY); print('ESCAPED')
    """,
    "beside the library": """
        import os
        os.open(os.path.dirname(os.__file__), os.O_TMPFILE | os.O_WRONLY); print('ESCAPED')
    """,
    "left in /tmp": "open(W['tmp'], 'w').write('x')",
    "left in /dev/shm": "open(W['shm'], 'w').write('x')",
    "shared memory": """
        from multiprocessing import shared_memory
        place = shared_memory.SharedMemory(create=True, size=99)
        place.unlink()
        print('ESCAPED')
    """,
    "through /proc": "open('/proc/self/root' + W['mark'], 'w').write('x')",
    "umount": """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        libc.umount2(b'/nowhere', 2)
        print('ESCAPED' if ctypes.get_errno() == 2 else '')
    """,
    "large file": """
        import os
        with open(W['tmp'], 'wb') as file:
            for _ in range(40):
                file.write(bytes(1 << 20))
        os.unlink(W['tmp'])
        print('ESCAPED')
    """,
    "large file with holes": """
        import os
        with open(W['tmp'], 'wb') as file:
            file.truncate(1 << 30)
        os.unlink(W['tmp'])
        print('ESCAPED')
    """,
    "many files": """
        import os, shutil
        os.mkdir(W['tmp'])
        for index in range(2000):
            open(f"{W['tmp']}/{index}", 'w').close()
        shutil.rmtree(W['tmp'])
        print('ESCAPED')
    """,
    "many full files": """
        import os, shutil
        os.mkdir(W['tmp'])
        for index in range(40):
            open(f"{W['tmp']}/{index}", 'wb').write(bytes(1 << 20))
        shutil.rmtree(W['tmp'])
        print('ESCAPED')
    """,
}

PROCESSES = {
    "fork": """
        import os
        if os.fork() == 0:
            print('ESCAPED', flush=True)
            os._exit(0)
        os.wait()
    """,
    "forkpty": """
        import os
        child, _ = os.forkpty()
        if child == 0:
            os._exit(0)
        print('ESCAPED')
    """,
    "fork bomb": """
        import os, time
        for _ in range(40):
            if os.fork() == 0:
                time.sleep(0.2)
                os._exit(0)
        print('ESCAPED')
    """,
    "daemon": """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.closerange(0, 9)
                time.sleep(0.3)
                open(W['mark'], 'w').write('x')
            os._exit(0)
    """,
    "posix_spawn": "import os; os.waitpid(os.posix_spawn('/bin/echo', ['echo', 'ESCAPED'], {}), 0)",
    "subprocess": "import subprocess; subprocess.run(['/bin/echo', 'ESCAPED'])",
    "subprocess without closing": "import subprocess; subprocess.run(['/bin/echo', 'ESCAPED'], close_fds=False)",
    "shell": "import subprocess; subprocess.run('echo ESCAPED', shell=True)",
    "system": "import os; os.system('echo ESCAPED')",
    "popen": "import os; print(os.popen('echo ESC''APED').read())",
    "execv": "import os; os.execv('/bin/echo', ['echo', 'ESCAPED'])",
    "execve by descriptor": "import os; os.execve(os.open('/bin/echo', 0), ['echo', 'ESCAPED'], {})",
    "own interpreter": "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'print(\"ESC\" + \"APED\")'])",
    "loader": "import glob, os; os.execv(glob.glob('/lib*/ld-linux*')[0], ['ld', '/bin/echo', 'ESCAPED'])",
    "script": """
        import os
        with open(W['tmp'], 'w') as file:
            file.write('#!/bin/sh\\necho ESC""APED')
        os.chmod(W['tmp'], 0o700)
        os.execv(W['tmp'], [W['tmp']])
    """,
    "program in memory": """
        import os
        file = os.memfd_create('a', 0)
        os.write(file, b'#!/bin/sh\\necho ESC""APED')
        os.execve(file, ['a'], {})
    """,
    "pty": "import pty; pty.spawn(['/bin/echo', 'ESCAPED'])",
    "spawn": "import os; os.spawnl(os.P_WAIT, '/bin/echo', 'echo', 'ESCAPED')",
    "multiprocessing": """
        import multiprocessing
        process = multiprocessing.get_context('fork').Process(target=print, args=('ESCAPED',))
        process.start()
        process.join()
    """,
    "asyncio": """
        import asyncio
        async def main():
            process = await asyncio.create_subprocess_exec('/bin/echo', 'ESCAPED')
            await process.wait()
        asyncio.run(main())
    """,
    "system by libc": "import ctypes; ctypes.CDLL(None).system(b'echo ESCAPED')",
    "fork by libc": """
        import ctypes, os
        child = ctypes.CDLL(None).fork()
        if child == 0:
            os._exit(0)
        print('ESCAPED' if child > 0 else '')
    """,
    "threads": """
        import threading, time
        threading.stack_size(1 << 15)
        for _ in range(300):
            threading.Thread(target=time.sleep, args=(0.2,), daemon=True).start()
        print('ESCAPED')
    """,
}

SIGNALS = {
    "kill": "import os; os.kill(W['pid'], 9)",
    "kill gently": "import os; os.kill(W['pid'], 15)",
    "killpg": "import os; os.killpg(W['pid'], 9)",
    "pidfd": "import os, signal; signal.pidfd_send_signal(os.pidfd_open(W['pid']), 9)",
    "kill by libc": "import ctypes; ctypes.CDLL(None).kill(W['pid'], 9)",
    "queue": "import ctypes; ctypes.CDLL(None).sigqueue(W['pid'], 9, None)",
    "stop": "import os; os.kill(W['pid'], 19); os.kill(W['pid'], 9)",
    "is there": "import os; os.kill(W['pid'], 0); print('ESCAPED')",
    "everybody": "import os; os.kill(-1, 0); print('ESCAPED')",
    "own group": "import os; os.kill(0, 0); print('ESCAPED')",
    "parent": "import os; os.kill(os.getppid(), 0); print('ESCAPED')",
    "group of a process": "import os; os.getpgid(W['pid']); print('ESCAPED')",
    "limits of a process": "import resource; resource.prlimit(W['pid'], resource.RLIMIT_CPU); print('ESCAPED')",
    "own limits": """
        import resource
        resource.setrlimit(resource.RLIMIT_CPU, (9, 9))
        resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))
        print('ESCAPED')
    """,
    "priority of a process": "import os; os.setpriority(os.PRIO_PROCESS, W['pid'], 5); print('ESCAPED')",
    "cores of a process": "import os; os.sched_setaffinity(W['pid'], {0}); print('ESCAPED')",
    "owner of a pipe": """
        import fcntl, os
        fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, W['pid'])
        print('ESCAPED')
    """,
    "session": "import os; os.fork() and os._exit(0); os.setsid(); print('ESCAPED')",
    "user": "import os; os.setuid(0); print('ESCAPED')",
    "groups": "import os; os.setgroups([0]); print('ESCAPED')",
    "root folder": "import os; os.chroot('/'); print('ESCAPED')",
    "new namespace": """
        import ctypes
        print('ESCAPED' if ctypes.CDLL(None).unshare(0x10000000) == 0 else '')
    """,
    "life after the parent": """
        import ctypes
        print('ESCAPED' if ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0 else '')
    """,
}

NETWORK = {
    "TCP": "import socket; socket.create_connection(('127.0.0.1', W['tcp'])).sendall(W['name'].encode())",
    "TCP without waiting": """
        import socket, select
        line = socket.socket()
        line.setblocking(False)
        line.connect_ex(('127.0.0.1', W['tcp']))
        select.select([], [line], [], 1)
        line.send(W['name'].encode())
    """,
    "UDP": """
        import socket
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(W['name'].encode(), ('127.0.0.1', W['udp']))
    """,
    "Unix": """
        import socket
        line = socket.socket(socket.AF_UNIX)
        line.connect(W['unix'])
        line.sendall(W['name'].encode())
    """,
    "abstract": """
        import socket
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(W['name'].encode(), W['abstract'])
    """,
    "pair to an address": """
        import socket
        pair, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        pair.sendto(W['name'].encode(), W['abstract'])
    """,
    "pair, message": """
        import socket
        pair, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        pair.sendmsg([W['name'].encode()], [], 0, W['abstract'])
    """,
    "pair, descriptor": """
        import os, socket
        one, other = socket.socketpair()
        socket.send_fds(one, [b'x'], [1])
        print('ESCAPED')
    """,
    "libc": """
        import ctypes
        print('ESCAPED' if ctypes.CDLL(None).socket(2, 1, 0) >= 0 else '')
    """,
    "bind": "import socket; socket.socket().bind(('127.0.0.1', 0)); print('ESCAPED')",
    "listen": "import socket; socket.create_server(('127.0.0.1', 0)); print('ESCAPED')",
    "IPv6": "import socket; socket.socket(socket.AF_INET6); print('ESCAPED')",
    "raw": "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print('ESCAPED')",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); print('ESCAPED')",
    "packet": """
        import socket
        try:
            socket.socket(17, socket.SOCK_RAW)
            print('ESCAPED')
        except OSError as error:
            print('ABSENT' if error.errno == 97 else '')
    """,
    "cryptography": """
        import socket
        try:
            socket.socket(38, socket.SOCK_SEQPACKET)
            print('ESCAPED')
        except OSError as error:
            print('ABSENT' if error.errno == 97 else '')
    """,
    "virtual machine": """
        import socket
        try:
            socket.socket(40, socket.SOCK_STREAM)
            print('ESCAPED')
        except OSError as error:
            print('ABSENT' if error.errno == 97 else '')
    """,
    "name": "import socket; print(socket.getaddrinfo('localhost', 80) and 'ESCAPED')",
    "HTTP": """
        import http.client
        line = http.client.HTTPConnection('127.0.0.1', W['tcp'], timeout=1)
        line.request('GET', '/' + W['name'])
    """,
    "asyncio": """
        import asyncio
        async def main():
            _, writer = await asyncio.open_connection('127.0.0.1', W['tcp'])
            writer.write(W['name'].encode())
            await writer.drain()
        asyncio.run(main())
    """,
    "interfaces": "import socket; print('ESCAPED' if len(socket.if_nameindex()) else '')",
}

LIMITS = {
    "sleep": "import time; time.sleep(1.6); print('ESCAPED'); open(W['mark'], 'w')",
    "loop": "import time\nwhile time.process_time() < 1.6: pass\nprint('ESCAPED')",
    "loop in C": "import hashlib; hashlib.pbkdf2_hmac('sha256', b'a', b'b', 6_000_000); print('ESCAPED')",
    "no signal is heard": """
        import signal, time
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        time.sleep(1.6)
        print('ESCAPED')
    """,
    "no error is heard": """
        import time
        end = time.monotonic() + 1.6
        while time.monotonic() < end:
            try:
                time.sleep(9 if False else 0.05)
            except BaseException:
                pass
        print('ESCAPED')
    """,
    "waiting thread": """
        import threading, time
        threading.Thread(target=lambda: (time.sleep(1.6), print('ESCAPED'))).start()
    """,
    "at exit": "import atexit, time; atexit.register(lambda: (time.sleep(1.6), print('ESCAPED')))",
    "deadlock": """
        import threading
        lock = threading.Lock()
        lock.acquire()
        lock.acquire(timeout=1.6)
        print('ESCAPED')
    """,
    "pipes closed": """
        import os, time
        out = os.dup(1)
        os.closerange(0, out)
        time.sleep(1.6)
        os.write(out, b'ESCAPED')
    """,
    "bytes": "print('ESCAPED' if len(bytearray(600 << 20)) else '')",
    "text": "print('ESCAPED' if len('x' * (600 << 20)) else '')",
    "list": "print('ESCAPED' if len([0] * (80 << 20)) else '')",
    "pages": "import mmap; mmap.mmap(-1, 600 << 20); print('ESCAPED')",
    "shared pages": "import mmap; mmap.mmap(-1, 600 << 20, flags=mmap.MAP_PRIVATE); print('ESCAPED')",
    "pieces": "kept = [bytearray(1 << 20) for _ in range(600)]; print('ESCAPED')",
    "memory as a file": """
        import os
        file = os.memfd_create('a')
        for _ in range(100):
            os.write(file, bytes(1 << 20))
        print('ESCAPED')
    """,
    "memory by libc": """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        print('ESCAPED' if libc.malloc(ctypes.c_size_t(600 << 20)) else '')
    """,
    "descriptors": "import os; kept = [os.dup(1) for _ in range(200)]; print('ESCAPED')",
    "pipes": "import os; kept = [os.pipe() for _ in range(100)]; print('ESCAPED')",
    "output": "print('x' * (3 << 20)); print('ESCAPED')",
    "output in lines": "for _ in range(200_000): print('x' * 20)\nprint('ESCAPED')",
    "output on stderr": "import sys; sys.stderr.write('x' * (3 << 20)); print('ESCAPED')",
    "output by descriptor": "import os\nfor _ in range(3 << 4): os.write(2, b'x' * 65536)\nprint('ESCAPED')",
    "output from a thread": """
        import os, threading
        thread = threading.Thread(target=lambda: [os.write(1, b'x' * 65536) for _ in range(3 << 4)])
        thread.start()
        thread.join()
        print('ESCAPED')
    """,
}

INTERPRETER = {
    "subclasses": """
        for kind in ().__class__.__base__.__subclasses__():
            if kind.__name__ == '_wrap_close':
                kind.__init__.__globals__['system']('echo ESCAPED')
    """,
    "loader among the subclasses": """
        for kind in object.__subclasses__():
            if kind.__name__ == 'BuiltinImporter':
                kind.load_module('posix').system('echo ESCAPED')
    """,
    "frame of a generator": """
        def walk():
            yield generator.gi_frame.f_back.f_back or generator.gi_frame.f_back
        generator = walk()
        frame = next(generator)
        print(frame.f_builtins['open'](W['secret']).read())
    """,
    "frame of a coroutine": """
        async def walk():
            pass
        routine = walk()
        print(routine.cr_frame.f_builtins['open'](W['secret']).read())
        routine.close()
    """,
    "frame of a traceback": """
        try:
            1 / 0
        except ZeroDivisionError as error:
            frame = error.__traceback__.tb_frame
            while frame.f_back:
                frame = frame.f_back
            print(frame.f_builtins['__import__']('os').system('echo ESCAPED'))
    """,
    "builtins": "__builtins__.__dict__['__import__']('os').system('echo ESCAPED')"
    " if hasattr(__builtins__, '__dict__') else __builtins__['__import__']('os').system('echo ESCAPED')",
    "attribute by parts": "getattr(__import__('o' + 's'), 'sys' + 'tem')('echo ESCAPED')",
    "modules": "import sys; sys.modules['posix'].system('echo ESCAPED')",
    "warnings": "import warnings; warnings.sys.modules['os'].system('echo ESCAPED')",
    "pickle": r"import pickle; pickle.loads(b'cos\nsystem\n(S\'echo ESCAPED\'\ntR.')",
    "text as code": "exec('import os; os.system(\"echo ESCAPED\")')",
    "C API": """
        import ctypes
        ctypes.pythonapi.PyRun_SimpleString(b'import os; os.system("echo ESCAPED")')
    """,
    "debugger": """
        import pdb, io
        pdb.Pdb(stdin=io.StringIO("!__import__('os').system('echo ESCAPED')\\nc\\n"), stdout=io.StringIO()).set_trace()
    """,
    "hook": "import sys; sys.excepthook = lambda *_: __import__('os').system('echo ESCAPED'); sys.excepthook()",
    "timeit": 'import timeit; timeit.timeit(\'__import__("os").system("echo ESCAPED")\', number=1)',
    "doctest": "import code; code.InteractiveInterpreter().runsource('import os; os.system(\"echo ESCAPED\")')",
    "metaclass": """
        class Meta(type):
            __getitem__ = lambda self, command: __import__('os').system(command)
        class Innocent(metaclass=Meta):
            pass
        Innocent['echo ESCAPED']
    """,
    "machine code": """
        import ctypes, mmap, platform
        if platform.machine() != 'x86_64':
            print('ABSENT')
            raise SystemExit
        place = mmap.mmap(-1, 4096, prot=7)
        place.write(b'\\xb8\\x29\\0\\0\\0\\x0f\\x05\\xc3')  # socket(...)
        start = ctypes.addressof(ctypes.c_char.from_buffer(place))
        call = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long)(start)
        print('ESCAPED' if call(1, 1, 0) >= 0 else '')
    """,
    "machine code of 32 bits": """
        import ctypes, mmap, platform
        if platform.machine() != 'x86_64':
            print('ABSENT')
            raise SystemExit
        place = mmap.mmap(-1, 4096, prot=7)
        place.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')  # int 0x80: getpid()
        start = ctypes.addressof(ctypes.c_char.from_buffer(place))
        print('ESCAPED' if ctypes.CFUNCTYPE(ctypes.c_long)(start)() > 0 else 'ABSENT')
    """,
}

GROUPS = {
    "reading": READING,
    "writing": WRITING,
    "processes": PROCESSES,
    "signals": SIGNALS,
    "network": NETWORK,
    "limits": LIMITS,
    "interpreter": INTERPRETER,
}
ATTACKS = {(group, name): dedent(code).strip() for group, table in GROUPS.items() for name, code in table.items()}
