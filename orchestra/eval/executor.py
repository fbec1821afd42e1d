"""Runs programs that a model wrote, each in a process of its own, under limits of time, memory, files and processes.

What holds depends on the system: `check()` tries it out, and docs/evaluation.md says what is promised. POSIX only.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestra.errors import EvalError
from orchestra.files import read_text

_SCRIPT = Path(__file__).with_name("confined.py")
_VERDICT = "verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one program may use."""

    time_s: float = 5.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 10_000_000
    open_files: int = 64


LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended.

    Attributes:
        passed: it came to its end without an exception.
        why: in the other case, what stopped it.
    """

    passed: bool
    why: str = ""


def run(program: str, limits: Limits = LIMITS) -> Outcome:
    """Run a program in an empty folder, which is removed again, without input and with its output thrown away."""
    word = secrets.token_hex(16)
    told = {"program": program, "word": word, "verdict": _VERDICT, "limits": _rlimits(limits)}
    asked = json.dumps(told).encode()
    folder = tempfile.TemporaryDirectory(prefix="orchestra-", ignore_cleanup_errors=True)
    try:
        ended = _finished(folder.name, asked, limits.time_s)
        found = _verdict(Path(folder.name) / _VERDICT)
    finally:
        _remove(folder)
    if ended is None:
        return Outcome(passed=False, why=f"it ran longer than {limits.time_s:g} s")
    if found == word and ended == 0:
        return Outcome(passed=True)
    return Outcome(passed=False, why=found or _ending(ended))


def _rlimits(limits: Limits) -> dict[str, int]:
    """By the names of the resource module; no process is to be made, and no core to be dumped."""
    return {
        "CPU": round(limits.time_s) + 1,
        "AS": limits.memory_bytes,
        "FSIZE": limits.file_bytes,
        "NOFILE": limits.open_files,
        "NPROC": 0,
        "CORE": 0,
    }


def _finished(folder: str, asked: bytes, time_s: float) -> int | None:
    """The exit status; None past the time. Whatever of the session still lives is killed."""
    environment = {"HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
    process = subprocess.Popen(
        [sys.executable, "-B", "-P", "-s", str(_SCRIPT)],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.communicate(asked, timeout=time_s)
        return process.returncode
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _remove(folder: tempfile.TemporaryDirectory[str]) -> None:
    """Remove a folder, also one that holds folders in each other deeper than Python goes (3.11: by calling itself)."""
    try:
        folder.cleanup()
    except RecursionError:
        subprocess.run(["rm", "-rf", "--", folder.name], check=False, stderr=subprocess.DEVNULL)


def _verdict(path: Path) -> str:
    try:
        return read_text(path, 4096)
    except (OSError, UnicodeDecodeError):
        return ""


def _ending(status: int) -> str:
    if status < 0:
        known = -status in signal.Signals.__members__.values()  # real-time signals have no names
        return f"it was stopped by {signal.Signals(-status).name if known else f'signal {-status}'}"
    return f"it left with exit status {status}"


def check() -> list[str]:
    """Try the limits out.

    Returns:
        What a program can do on this system although it should not, for people to read.

    Raises:
        EvalError: not even a harmless program runs.
    """
    harmless = run("import collections, json, math\nassert math.sqrt(4) == 2")
    if not harmless.passed:
        raise EvalError(f"programs cannot be run on this system: {harmless.why}.")
    with tempfile.TemporaryDirectory(prefix="orchestra-") as outside:
        tries = {
            f"open({os.path.join(outside, 'file')!r}, 'w')": "can write wherever you can: there is no Landlock here",
            "import _thread\n_thread.start_new_thread(int, ())": "can make processes while it runs: you are root",
            "import socket\nassert len(socket.if_nameindex()) > 1": "is kept from the network by Python alone",
        }
        return [f"a program {risk}" for program, risk in tries.items() if run(program).passed]
