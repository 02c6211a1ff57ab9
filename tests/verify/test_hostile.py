# ruff: noqa: E501 - a program reads best on one line
"""Programs that attack the sandbox, in both tiers: none is paid, none does harm, the next one is clean."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from echochamber.verify import ExecutionLimits, Grader, Outcome
from echochamber.verify.sandboxed import confinement, syscalls

LIMITS = ExecutionLimits(seconds=0.4, confined_seconds=1.0, confined_memory_mib=256)
# A machine that other work keeps busy is slow to start and reap processes.
SLACK_SECONDS = 8.0

needs_confinement = pytest.mark.skipif(bool(confinement.refusal()), reason=f"{confinement.refusal()}")

O = Outcome  # noqa: E741
FAILED = {O.runtime_error, O.timeout, O.memory, O.unsupported, O.syntax_error, O.no_answer}

# name: (program, outcomes in tier 1, outcomes in tier 2); {victim}, {pid}, {port} and {owner} are filled in.
HOSTILE: dict[str, tuple[str, set[Outcome], set[Outcome]]] = {
    "infinite loop": ("while True:\n    pass\n18", {O.timeout}, {O.timeout}),
    "loop that swallows exceptions": ("while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass\n18", {O.timeout, O.unsupported}, {O.timeout}),
    "sleep": ("import time\ntime.sleep(100)\n18", {O.unsupported}, {O.timeout}),
    "long sum": ("sum(range(10**12))", {O.timeout}, {O.timeout}),
    "tower of powers": ("10**10**8", {O.memory}, {O.timeout, O.memory}),
    "repeated squaring": ("x = 7\nfor _ in range(60):\n    x = x * x\n18", {O.memory, O.timeout}, {O.timeout, O.memory}),
    "huge list": ("x = [0] * 10**10\n18", {O.memory}, {O.memory}),
    "growing list": ("x = []\nwhile True:\n    x.append('x' * 10**6)", {O.memory, O.timeout}, {O.memory, O.timeout}),
    "bomb that catches MemoryError": ("x = []\nwhile True:\n    try:\n        x.append([0] * 10**6)\n    except MemoryError:\n        pass", {O.memory, O.timeout}, {O.timeout}),
    "bottomless recursion": ("def f(n):\n    return f(n + 1)\nf(0)", {O.runtime_error}, {O.runtime_error}),
    "raised recursion limit": ("import sys\nsys.setrecursionlimit(10**9)\ndef f(n):\n    return f(n + 1)\nf(0)", {O.unsupported}, {O.runtime_error, O.timeout, O.memory}),
    "nested parentheses": ("(" * 100_000 + "18" + ")" * 100_000, {O.syntax_error}, {O.syntax_error}),
    "print flood": ("while True:\n    print('x' * 10_000)", {O.memory}, {O.memory, O.timeout}),
    "catastrophic pattern": ("import re\nre.match('(a+)+$', 'a' * 40 + 'b')\n17", {O.wrong, O.timeout, O.runtime_error}, {O.timeout}),
    "read passwords": ("open('/etc/passwd').read()", {O.unsupported}, {O.runtime_error}),
    "read a file of the user": ("open('{victim}').read()", {O.unsupported}, {O.runtime_error}),
    "read the environment": ("open('/proc/self/environ').read()", {O.unsupported}, {O.runtime_error}),
    "write a file": ("open('{victim}', 'w').write('x')\n18", {O.unsupported}, {O.runtime_error}),
    "append to a file": ("import os\nos.open('{victim}', os.O_WRONLY | os.O_APPEND)\n18", {O.unsupported}, {O.runtime_error}),
    "truncate a file": ("import os\nos.truncate('{victim}', 0)\n18", {O.unsupported}, {O.runtime_error}),
    "unlink a file": ("import os\nos.unlink('{victim}')\n18", {O.unsupported}, {O.runtime_error}),
    "chmod a file": ("import os\nos.chmod('{victim}', 0)\n18", {O.unsupported}, {O.runtime_error}),
    "rename a file": ("import os\nos.rename('{victim}', '{victim}x')\n18", {O.unsupported}, {O.runtime_error}),
    "make a folder": ("import os\nos.mkdir('{victim}d')\n18", {O.unsupported}, {O.runtime_error}),
    "tcp": ("import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)\n18", {O.unsupported}, {O.runtime_error}),
    "udp": ("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n18", {O.unsupported}, {O.runtime_error}),
    "abstract socket": ("import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0echochamber-{owner}')\n18", {O.unsupported}, {O.runtime_error}),
    "socket pair": ("import socket\nsocket.socketpair()\n18", {O.unsupported}, {O.runtime_error}),
    "fork": ("import os\nos.fork()\n18", {O.unsupported}, {O.runtime_error}),
    "fork bomb": ("import os\nwhile True:\n    os.fork()", {O.unsupported}, {O.runtime_error}),
    "thread": ("import threading\nthreading.Thread(target=print).start()\n18", {O.unsupported}, {O.runtime_error}),
    "subprocess": ("import subprocess\nsubprocess.run(['touch', '{victim}x'])\n18", {O.unsupported}, {O.runtime_error}),
    "exec": ("import os\nos.execv('/bin/sh', ['sh', '-c', 'touch {victim}x'])\n18", {O.unsupported}, {O.runtime_error}),
    "system": ("import os\nos.system('touch {victim}x') or 17", {O.unsupported}, FAILED | {O.wrong}),
    "kill the parent": ("import os\nos.kill(os.getppid(), 9)\n18", {O.unsupported}, {O.runtime_error}),
    "kill everything": ("import os\nos.kill(-1, 9)\n18", {O.unsupported}, {O.runtime_error}),
    "kill a stranger": ("import os\nos.kill({pid}, 9)\n18", {O.unsupported}, {O.runtime_error}),
    "ignore the alarm": ("import signal\nsignal.alarm(0)\nfor number in range(1, 65):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nwhile True:\n    pass", {O.unsupported}, {O.timeout}),
    "null pointer": ("import ctypes\nctypes.string_at(0)\n18", {O.unsupported}, {O.runtime_error}),
    "exit at once": ("import os\nos._exit(0)\n18", {O.unsupported}, {O.runtime_error}),
    "SystemExit": ("raise SystemExit(0)\n18", {O.unsupported, O.runtime_error}, {O.runtime_error}),
    "forged answer": ("import json, os, struct\nbody = json.dumps({{'status': 'ok', 'kind': 'int', 'value': '17', 'output': ''}}).encode()\nos.write(3, struct.pack('<I', len(body)) + body)\nos._exit(0)", {O.unsupported}, {O.wrong}),
    "forged outcome": ("import os, struct\nbody = b'{{\"status\": \"correct\", \"reward\": 1.0}}'\nos.write(3, struct.pack('<I', len(body)) + body)\nos._exit(0)", {O.unsupported}, {O.runtime_error}),
    "forged pickle": ("import os, pickle\nos.write(3, pickle.dumps(18))\nos._exit(0)", {O.unsupported}, {O.runtime_error}),
    "flooded channel": ("import os\nwhile True:\n    os.write(3, b'x' * 65536)", {O.unsupported}, {O.timeout, O.runtime_error}),
    "closed channel": ("import os\nos.close(3)\n18", {O.unsupported}, {O.runtime_error}),
    "closed everything": ("import os\nos.closerange(0, 1000)\n18", {O.unsupported}, {O.runtime_error}),
    "always equal": ("class Yes:\n    def __eq__(self, other):\n        return True\nYes()", {O.unsupported}, {O.wrong}),
    "endless repr": ("class No(float):\n    def __repr__(self):\n        while True:\n            pass\nNo(17)", {O.unsupported}, {O.wrong, O.timeout}),
    "lying integer": ("class Lie(int):\n    def __repr__(self):\n        return '18'\n    __str__ = __repr__\nLie(17)", {O.unsupported}, {O.wrong}),
    "raised limits": ("import resource\nresource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n18", {O.unsupported}, {O.runtime_error}),
    "loop that returns the gold answer": ("def f():\n    while True:\n        pass\n    return 18\nf()", {O.timeout}, {O.timeout}),
}  # fmt: skip

RAW_CALLS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
denied = [libc.syscall(number, 0, 0, 0, 0, 0, 0) for number in {numbers}]
all(result == -1 for result in denied) and 18
"""


@pytest.fixture(scope="module")
def tier_1() -> Iterator[Grader]:
    with Grader(limits=LIMITS, workers=2) as grader:
        yield grader


@pytest.fixture(scope="module")
def tier_2() -> Iterator[Grader]:
    with Grader(tiers=(2,), limits=LIMITS, workers=1) as grader:
        for _ in range(20):
            # Starting the server is no part of what is measured.
            if grader.grade(["<llm-code>\n1\n</llm-code>"], ["1"])[0].reward:
                break
            grader._journal._known.clear()
        yield grader


@pytest.fixture(scope="module")
def patient() -> Iterator[Grader]:
    """Tier 2 with time enough for honest programs on a busy machine."""
    with Grader(tiers=(2,), limits=ExecutionLimits(confined_seconds=30), workers=1) as grader:
        yield grader


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[dict[str, object]]:
    """A file, a process, a listening port and an abstract socket that must all survive untouched."""
    path = tmp_path / "victim"
    path.write_text("18")
    before = path.stat()
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.01)
        if sys.platform == "linux":
            abstract.bind(f"\0echochamber-{os.getpid()}")
            abstract.listen()
        try:
            yield {"victim": path, "pid": process.pid, "port": server.getsockname()[1], "owner": os.getpid()}
            assert process.poll() is None, "the victim process is gone"
            assert path.read_text() == "18"
            assert (path.stat().st_mode, path.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
            assert [entry.name for entry in tmp_path.iterdir()] == ["victim"]
            with contextlib.suppress(TimeoutError):
                server.accept()
                pytest.fail("a program connected to the network")
        finally:
            process.kill()
            process.wait()


def attack(grader: Grader, program: str, expected: set[Outcome], limit: float) -> None:
    start = time.monotonic()
    verdict, after = grader.grade(
        [
            f"<llm-code>\n{program}\n</llm-code>",
            "<llm-code>\n[len([1, 2]), sum([1, 2])][1] + 15\n</llm-code>",
        ],
        ["18", "18"],
    )
    seconds = time.monotonic() - start
    assert verdict.outcome in expected
    assert verdict.reward == 0.0
    assert after.outcome in (Outcome.correct, Outcome.timeout), "the next program suffered"
    assert seconds < limit + 1.0 + SLACK_SECONDS


@pytest.mark.parametrize("name", HOSTILE)
def test_tier_1(tier_1: Grader, victim: dict[str, object], name: str) -> None:
    program, expected, _ = HOSTILE[name]
    if "{" in program:
        program = program.format(**victim)
    attack(tier_1, program, expected, LIMITS.seconds)


@needs_confinement
@pytest.mark.parametrize("name", HOSTILE)
def test_tier_2(tier_2: Grader, victim: dict[str, object], name: str) -> None:
    program, _, expected = HOSTILE[name]
    if "{" in program:
        program = program.format(**victim)
    attack(tier_2, program, expected, LIMITS.confined_seconds)


@needs_confinement
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
def test_raw_system_calls_are_denied(patient: Grader) -> None:
    # ptrace, process_vm_writev, io_uring_setup, mount, unshare, bpf, perf_event_open, memfd_create, setuid,
    # keyctl, kexec_load, init_module, pidfd_open, userfaultfd, prctl, seccomp, setsid, chdir, symlink.
    numbers = [101, 311, 425, 165, 272, 321, 298, 319, 105, 250, 246, 175, 434, 323, 157, 317, 112, 80, 88]
    program = RAW_CALLS.format(numbers=numbers)
    (verdict,) = patient.grade([f"<llm-code>\n{program}\n</llm-code>"], ["18"])
    assert verdict.outcome is Outcome.correct


def verdict_of_filter(machine: str, number: int) -> int:
    """What the filter answers to a system call whose arguments are all ones, by its rules alone."""
    accumulator, at, program = 0, 0, confinement.filter_program(machine)
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:
            accumulator = {0: number, 4: syscalls.AUDIT_ARCH[machine]}.get(operand, 0xFFFFFFFF)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x06:
            return operand
        else:
            holds = accumulator == operand if code == 0x15 else accumulator >= operand
            at += if_true if holds else if_false


@pytest.mark.parametrize("machine", syscalls.ALLOWED)
def test_a_system_call_that_is_not_listed_is_denied(machine: str) -> None:
    denied, allowed = 0x00050001, 0x7FFF0000
    listed = set(syscalls.ALLOWED[machine].values())
    for number in [*range(700), 2**31, 2**32 - 1]:
        answer = verdict_of_filter(machine, number)
        if number in listed:
            assert answer == allowed
        elif machine == "x86_64" and number >= 0x40000000:
            assert answer == 0x00050026
        else:
            assert answer == denied, number


@needs_confinement
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
@pytest.mark.parametrize("number", [335, 336])
def test_returns_from_probes_are_of_no_use(patient: Grader, number: int) -> None:
    # New kernels let these two pass every filter, and end a process that calls them outside of a probe.
    program = f"import ctypes\n18 if ctypes.CDLL(None).syscall({number}, 0, 0, 0) == -1 else 17"
    (verdict,) = patient.grade([f"<llm-code>\n{program}\n</llm-code>"], ["18"])
    assert verdict.outcome in (Outcome.correct, Outcome.runtime_error)


@needs_confinement
def test_no_state_passes_in_tier_2(patient: Grader) -> None:
    leave = "import sympy, builtins, json, os\nsympy.LEAK = 1\nbuiltins.sum = lambda x: 99\njson.dumps = None\nos.environ['LEAK'] = '1'\n18"
    look = (
        "import sympy, os\n17 + (not hasattr(sympy, 'LEAK') and sum([1]) == 1 and 'LEAK' not in os.environ)"
    )
    verdicts = patient.grade([f"<llm-code>\n{code}\n</llm-code>" for code in (leave, look)], ["18", "18"])
    assert [verdict.reward for verdict in verdicts] == [0.0, 1.0] or [v.reward for v in verdicts] == [
        1.0,
        1.0,
    ]


@needs_confinement
def test_what_a_program_may_do_in_tier_2(patient: Grader) -> None:
    honest = [
        "import sympy\nx = sympy.Symbol('x')\nsympy.solve(x**2 - 36 * x + 324, x)",
        "import numpy as np\nnp.array([9, 9]).sum()",
        "import numpy as np\nint(round(np.linalg.det(np.array([[6.0, 0], [0, 3.0]]))))",
        "from fractions import Fraction\nFraction(36, 2)",
        "import sympy\nsympy.Rational(36, 2)",
        "import statistics\nstatistics.mean([17, 19])",
        "import time, datetime, calendar, heapq, string\ntime.sleep(0.01)\n18",
        "from sympy import *\nx, y = symbols('x y')\nsol = solve([x + y - 20, x - y - 16], [x, y])\nsol[x]",
        "class A:\n    pass\nclass B(A):\n    def __init__(self):\n        super().__init__()\n        self.n = 18\nB().n",
        "def g():\n    yield 18\nnext(g())",
        "print('It is')\nprint(18)",
        "import random\nrandom.random() == random.random() or 18",
    ]
    verdicts = patient.grade([f"<llm-code>\n{code}\n</llm-code>" for code in honest], ["18"] * len(honest))
    assert [verdict.outcome for verdict in verdicts] == [Outcome.correct] * len(honest)


SAME_FOR_ALL = (
    "import random\nrandom.randint(1, 10**9)",
    "import random\nrandom.seed()\nrandom.random()",
    "import random\nrandom.Random().random()",
    "import random\nrandom.SystemRandom().random()",
    "import secrets\nsecrets.randbelow(10**9)",
    "import secrets\nsecrets.token_hex(8)",
    "import os\nos.urandom(8).hex()",
    "import uuid\nstr(uuid.uuid4())",
    "import numpy\nnumpy.random.rand()",
    "import numpy\nint(numpy.random.default_rng().integers(10**9))",
    "import numpy\nfloat(numpy.random.Generator(numpy.random.PCG64()).random())",
    "import sympy\nsympy.core.random.random()",
    "import time\ntime.time()",
    "import time\nstart = time.perf_counter()\nsum(range(10**5))\ntime.perf_counter() - start",
    "import time\ntime.strftime('%Y %H:%M:%S', time.localtime())",
    "import datetime\nstr(datetime.datetime.now())",
    "from datetime import datetime, timezone\nrepr(datetime.now(timezone.utc))",
    "import datetime\nstr(datetime.date.today())",
    "import time\nwhile time.time() < 1704067205:\n    pass\n18",
    "str({object.__name__, 'a', 'b', 'c'})",
)


@needs_confinement
def test_a_value_in_tier_2_is_a_function_of_the_text() -> None:
    texts = [f"<llm-code>\nimport sympy\n{program}\n</llm-code>" for program in SAME_FOR_ALL]
    answers = []
    for _ in range(2):
        with Grader(tiers=(2,), workers=1, limits=ExecutionLimits(confined_seconds=30)) as grader:
            verdicts = grader.grade(texts, ["1"] * len(texts))
            answers.append({p: v.answer for p, v in zip(SAME_FOR_ALL, verdicts, strict=True)})
    assert answers[0] == answers[1]
    assert None not in answers[0].values(), answers[0]
    assert answers[0]["import datetime\nstr(datetime.date.today())"] == "2024-01-01"


@needs_confinement
def test_dates_work_with_a_fixed_clock(patient: Grader) -> None:
    programs = (
        "from datetime import datetime, timedelta\n(datetime(2024, 1, 1) + timedelta(days=17)).day",
        "from datetime import datetime\n(datetime.strptime('19/01/24', '%d/%m/%y') - datetime(2024, 1, 1)).days",
        "import datetime\n17 + isinstance(datetime.datetime.now(), datetime.datetime)",
        "import datetime, pickle\n17 + (pickle.loads(pickle.dumps(datetime.datetime(2024, 1, 1))).year == 2024)",
        "import datetime\n17 + isinstance(datetime.datetime(2024, 1, 1), datetime.date)",
        "import datetime\ndatetime.datetime.fromisoformat('2024-01-18').day",
        "import datetime\ndatetime.datetime.combine(datetime.date(2024, 1, 18), datetime.time()).day",
        "import calendar, time\ncalendar.timegm(time.gmtime(18))",
        "import numpy, datetime\nnumpy.datetime64(datetime.datetime(2024, 1, 18)).astype(datetime.datetime).day",
    )
    verdicts = patient.grade(
        [f"<llm-code>\n{code}\n</llm-code>" for code in programs], ["18"] * len(programs)
    )
    assert [verdict.answer for verdict in verdicts] == ["18"] * len(programs)


@needs_confinement
def test_a_dead_server_is_replaced(patient: Grader) -> None:
    patient.grade(["<llm-code>\n3\n</llm-code>"], ["3"])
    (server,) = patient._confined._servers._servers  # type: ignore[union-attr]
    os.killpg(server.process.pid, signal.SIGKILL)
    verdicts = patient.grade(
        [f"<llm-code>\n{n} + 0\n</llm-code>" for n in range(4)], [str(n) for n in range(4)]
    )
    assert sum(verdict.reward for verdict in verdicts) == 4


def test_refusal_where_nothing_can_be_confined(monkeypatch: pytest.MonkeyPatch) -> None:
    from echochamber.base import InputError

    monkeypatch.setattr(confinement, "refusal", lambda: "this is darwin, and confinement needs Linux")
    with pytest.raises(
        InputError, match=r"tier 2 cannot be confined here: this is darwin.*unsafe_unconfined"
    ):
        Grader(tiers=(1, 2))
    Grader(tiers=(1,)).close()
    with Grader(
        tiers=(2,), unsafe_unconfined=True, workers=1, limits=ExecutionLimits(confined_seconds=20)
    ) as grader:
        assert (
            grader.grade(["<llm-code>\nimport sympy\nsympy.Integer(18)\n</llm-code>"], ["18"])[0].reward
            == 1.0
        )
