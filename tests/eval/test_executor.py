"""Programs that misbehave, and what stops them."""

import ctypes
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestra.errors import EvalError
from orchestra.eval import executor
from orchestra.eval.executor import Limits, Outcome, check, run

PATIENT = Limits(time_s=30.0, memory_bytes=200_000_000, file_bytes=1_000_000)
SOON = replace(PATIENT, time_s=1.0)
C = "import ctypes\nlibc = ctypes.CDLL(None)\n"
"""Past Python: what only the kernel can refuse."""
KERNEL = pytest.mark.skipif(
    sys.platform != "linux" or ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) < 1,
    reason="this kernel has no Landlock",
)


def why(program: str, limits: Limits = PATIENT) -> str:
    outcome = run(program, limits)
    assert not outcome.passed
    return outcome.why


@pytest.mark.parametrize(
    "program",
    [
        "assert 1 + 1 == 2",
        "open('a', 'w').write('x'); import os; os.mkdir('d'); os.rename('a', 'd/b'); os.remove('d/b')",
        "import os; open(os.devnull, 'w').write('x')",
        "import asyncio\nasync def one(): return 1\nassert asyncio.run(one()) == 1",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int'\nassert A(1) == A(1)",
        "import numpy; assert numpy.eye(2).sum() == 2",
        "if __name__ == '__main__': raise ValueError",
        "print('x' * 3_000_000)",
    ],
)
def test_a_harmless_program_passes(program: str) -> None:
    assert run(program, PATIENT) == Outcome(passed=True)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("assert 1 == 2, 'no'", "AssertionError: no"),
        ("def f(:", "SyntaxError: invalid syntax (program, line 1)"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("import sys; sys.exit()", "it left with exit status 0"),
        ("import os; os._exit(0)", "it left with exit status 0"),
        ("raise SystemExit(3)", "it left with exit status 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: "),
        ("import os; os.abort()", "it was stopped by SIGABRT"),
        ("import signal; signal.raise_signal(40)", "it was stopped by signal 40"),
        ("input()", "EOFError: EOF when reading a line"),
        ("x = bytearray(1 << 30)", "MemoryError: "),
        ("open('big', 'wb').write(b'x' * 2_000_000)", "OSError: [Errno 27] File too large"),
        ("import os\nfiles = [os.dup(0) for _ in range(99)]", "OSError: [Errno 24] Too many open files"),
        ("import os\nos.fork()", "PermissionError: os.fork is not allowed here"),
        ("import os\nos.system('true')", "PermissionError: os.system is not allowed here"),
        ("import subprocess\nsubprocess.run(['true'])", "PermissionError: subprocess.Popen is not allowed here"),
        ("import os\nos.kill(os.getppid(), 9)", "PermissionError: os.kill is not allowed here"),
        (
            "import socket\nsocket.create_connection(('127.0.0.1', 9))",
            "PermissionError: socket.getaddrinfo is not allowed here",
        ),
        ("import os\nos.remove('verdict'); os.mkfifo('verdict'); os._exit(0)", "it left with exit status 0"),
    ],
)
def test_a_program_that_does_not_come_to_its_end_fails_and_says_why(program: str, reason: str) -> None:
    assert why(program) == reason


@pytest.mark.parametrize(
    "program", ["while True: pass", "while True: print('x' * 100_000)", "import time\ntime.sleep(60)"]
)
def test_a_program_without_end_is_stopped(program: str) -> None:
    started = time.monotonic()
    assert why(program, SOON) == "it ran longer than 1 s"
    assert time.monotonic() - started < 5


def test_memory_that_is_taken_bit_by_bit_is_refused() -> None:
    assert run("x = []\nwhile True: x.append(bytes(1_000_000))", PATIENT).passed is False


def test_processes_that_a_program_makes_past_python_end_with_it() -> None:
    """A plain user's are refused by the kernel; root's are killed with their session. The bomb has a short fuse."""
    mark = f"bomb-{os.getpid()}"
    program = f"{C}libc.prctl(15, b'{mark}', 0, 0, 0)\nfor _ in range(5): libc.fork()\nimport time\ntime.sleep(60)"
    assert not run(program, SOON).passed
    deadline = time.monotonic() + 5
    while mark in running() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert mark not in running()


def running() -> list[str]:
    names = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            names.append(path.read_text().strip())
        except OSError:
            continue
    return names


@pytest.mark.parametrize(
    "program",
    [
        "open({outside!r} + '/new', 'w')",
        "open({outside!r} + '/kept', 'a').write('x')",
        "import os; os.remove({outside!r} + '/kept')",
        "import os; os.rename({outside!r} + '/kept', 'here')",
        "import os; os.truncate({outside!r} + '/kept', 0)",
        "import os; os.mkdir({outside!r} + '/folder')",
        "import os; os.symlink({outside!r}, 'link'); open('link/new', 'w')",
        C + "assert libc.open(({outside!r} + '/new').encode(), 65, 384) >= 0",
        C + "assert libc.unlink(({outside!r} + '/kept').encode()) == 0",
        C + "import os\nassert libc.kill(os.getppid(), 0) == 0",
    ],
)
@KERNEL
def test_nothing_outside_the_programs_folder_is_touched(program: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    assert not run(program.format(outside=str(tmp_path)), PATIENT).passed
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize(
    "change",
    [
        "chmod({outside!r}, 0)",
        "chmod(os.open({outside!r}, 0), 0)",
        "chmod({outside!r}.rsplit('/')[-1], 0, dir_fd=os.open({outside!r}.rsplit('/', 1)[0], 0))",
        "symlink({outside!r}, 'link'); os.chmod('link', 0)",
        "chown({outside!r}, -1, -1)",
        "utime({outside!r}, (0, 0))",
        "setxattr({outside!r}, 'user.a', b'1')",
        "truncate({outside!r}, 0)",
    ],
)
def test_what_is_outside_keeps_its_mode_and_times(change: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    before = kept.stat()
    told = why(f"import os\nos.{change.format(outside=str(kept))}", PATIENT)
    assert re.fullmatch(r"PermissionError: os\.\w+ is not allowed here", told)
    assert (before.st_mode, before.st_mtime_ns, before.st_size) == (
        kept.stat().st_mode,
        kept.stat().st_mtime_ns,
        kept.stat().st_size,
    )


def test_a_program_may_change_the_modes_of_its_own_files() -> None:
    lines = (
        "import os, shutil",
        "open('a', 'w').write('abc')",
        "os.chmod('a', 0o600)",
        "os.utime('a', (0, 0))",
        "os.truncate('a', 1)",
        "os.mkdir('d')",
        "shutil.copy2('a', 'd/b')",
        "os.chmod('b', 0o600, dir_fd=os.open('d', 0))",
        "with open('a', 'r+') as file: os.fchmod(file.fileno(), 0o400)",
        "assert open('d/b').read() == 'a'",
    )
    assert run("\n".join(lines), PATIENT).passed


@KERNEL
def test_no_other_program_is_executed() -> None:
    assert why(C + "assert libc.execv(b'/bin/true', (ctypes.c_char_p * 2)(b'true', None)) == 0") == "AssertionError: "


def test_no_folder_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run("import os; os.mkdir('d'); open('d/a', 'w'); os.symlink('/', 'root'); os.chmod('d', 0)", PATIENT)
    assert list(tmp_path.iterdir()) == []


def test_folders_in_each_other_without_end_are_removed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run("import os\nfor _ in range(1500): os.mkdir('a'); os.chdir('a')", PATIENT).passed
    assert list(tmp_path.iterdir()) == []


def test_a_program_sees_none_of_the_variables_of_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert run("import os; assert 'secret' not in os.environ.values()", PATIENT).passed


def test_a_program_cannot_pass_by_writing_a_verdict() -> None:
    assert not run("open('verdict', 'w').write('passed'); import os; os._exit(0)", PATIENT).passed


def test_sets_have_one_order_in_every_run() -> None:
    order = list("abcdefghij")
    first = why(f"raise ValueError(list(set({order})))")
    assert first == why(f"raise ValueError(list(set({order})))")


def test_what_does_not_hold_here_is_said() -> None:
    known = {
        "a program can write wherever you can: there is no Landlock here",
        "a program can make processes while it runs: you are root",
        "a program is kept from the network by Python alone",
    }
    risks = check()
    assert set(risks) <= known
    assert ("a program can make processes while it runs: you are root" in risks) == (os.geteuid() == 0)


def test_a_system_that_runs_no_program_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "run", lambda program: Outcome(passed=False, why="it is broken"))
    with pytest.raises(EvalError, match=f"^{re.escape('programs cannot be run on this system: it is broken.')}$"):
        check()
