"""Runs one program under limits: a script that `orchestra.eval.executor` starts in a process of its own.

From standard input it takes `{"program", "word", "verdict", "limits"}`. It takes away from itself what it can, runs the
program, and if that comes to its end writes the word into the file `verdict` of the working folder; of an exception,
what it says. Standard library only, and nothing of Orchestra: an import would take longer than the program.
"""

import ctypes
import json
import os
import resource
import sys
from types import ModuleType, TracebackType
from typing import Any

_DENIED = {
    *("os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.posix_spawn", "os.system", "pty.spawn"),
    *("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname"),
    *("socket.sendmsg", "socket.sendto", "subprocess.Popen"),
}
"""What Python itself refuses, wherever the kernel does not: it holds for Python code only."""
_FROM = {"os.chmod", "os.chown", "os.utime"}  # these may say last from which open folder on their path is
_CHANGES = _FROM | {"os.chflags", "os.removexattr", "os.setxattr", "os.truncate"}
"""What it refuses outside of the program's folder; Landlock knows nothing of most of it."""
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_NO_NEW_PRIVILEGES = 38
# Landlock's calls have these numbers on every architecture; the first bit is to execute, the second to write, those
# from the fifth to remove and to make, then to link elsewhere (since its version 2) and to truncate (since 3).
_RULESET, _RULE, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _WRITE, _LINK, _TRUNCATE = 1 << 0, 1 << 1, 0b1111111110010, 1 << 13, 1 << 14
_TCP, _SIGNALS_AND_SOCKETS = 0b11, 0b11


class _Ruleset(ctypes.Structure):
    """What is refused: on files, in the network, towards other processes."""

    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scope", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    """What is allowed of a file, or below a folder."""

    _pack_ = 1
    _fields_ = (("files", ctypes.c_uint64), ("place", ctypes.c_int32))


def main() -> None:
    """Read the request, give everything up, run the program, say so."""
    asked = json.load(sys.stdin)
    verdict = os.open(asked["verdict"], os.O_WRONLY | os.O_CREAT)  # as long as files may be opened
    if sys.platform == "linux":
        _leave_the_network()
        _write_only_below(os.getcwd())
    for name, amount in asked["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (amount, amount))

    def told(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        os.write(verdict, f"{kind.__name__}: {error}"[:500].encode(errors="replace"))

    sys.excepthook = told
    root = os.path.realpath(os.getcwd())
    sys.addaudithook(lambda event, told: _refuse(event, told, root))
    sys.modules["program"] = program = ModuleType("program")
    exec(compile(asked["program"], "program", "exec"), program.__dict__)
    os.write(verdict, asked["word"].encode())


def _refuse(event: str, told: tuple[Any, ...], root: str) -> None:
    if event in _DENIED or (event in _CHANGES and not _is_beneath(root, event, told)):
        raise PermissionError(f"{event} is not allowed here")


def _is_beneath(root: str, event: str, told: tuple[Any, ...]) -> bool:
    """Whether a change is to something in a folder: the path, or the open file, comes first."""
    path = f"/dev/fd/{told[0]}" if isinstance(told[0], int) else os.fsdecode(told[0])
    if event in _FROM and told[-1] >= 0:
        path = os.path.join(f"/dev/fd/{told[-1]}", path)
    return os.path.commonpath([os.path.realpath(path), root]) == root


def _leave_the_network() -> None:
    """Go where there is none; not every system lets a plain user do so."""
    ctypes.CDLL(None).unshare(_NEW_USER | _NEW_NETWORK)


def _write_only_below(folder: str) -> None:
    """Write and make files below one folder alone, execute none, speak to no other process: where there is Landlock."""
    library = ctypes.CDLL(None)
    version = library.syscall(_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return
    write = _WRITE | (_LINK if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    refused = _Ruleset(_EXECUTE | write, _TCP if version >= 4 else 0, _SIGNALS_AND_SOCKETS if version >= 6 else 0)
    rules = library.syscall(_RULESET, ctypes.byref(refused), ctypes.c_size_t(ctypes.sizeof(refused)), 0)
    for place, allowed in ((folder, write), (os.devnull, write & (_WRITE_FILE | _TRUNCATE))):
        rule = _Beneath(allowed, os.open(place, os.O_PATH))
        library.syscall(_RULE, rules, 1, ctypes.byref(rule), 0)
        os.close(rule.place)
    library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    library.syscall(_RESTRICT, rules, 0)
    os.close(rules)


if __name__ == "__main__":
    main()
