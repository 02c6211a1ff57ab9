"""Giving up rights for good: Landlock for files, network and signals, seccomp for system calls, rlimits.

A thin layer over the kernel's own interfaces through ctypes. Sources:
Documentation/userspace-api/landlock.rst and seccomp_filter.rst of Linux 6.
Nothing here can be undone by the process that did it, nor by its children.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys
from collections.abc import Iterable
from functools import cache

from echochamber.verify.sandboxed import syscalls

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_GET_ACTION_AVAIL, _SECCOMP_MODE_FILTER = 2, 2
_RET_ALLOW, _RET_KILL_PROCESS, _RET_ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = _RET_ERRNO | errno.EPERM, _RET_ERRNO | errno.ENOSYS

# Classic BPF: load a word, jump if equal, jump if greater or equal, and with a constant, return.
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16

# O_TMPFILE contains O_DIRECTORY, which is harmless by itself.
_TEMPORARY = getattr(os, "O_TMPFILE", 0) & ~getattr(os, "O_DIRECTORY", 0)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | _TEMPORARY
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC; TCGETS, FIOCLEX.
_FCNTL_COMMANDS, _IOCTL_COMMANDS = (0, 1, 2, 3, 1030), (0x5401, 0x5451)

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# Rights on files that each version of Landlock knows.
_FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_NET_RIGHTS = 0b11
_SCOPES = 0b11
_PATH_BENEATH = 1

Instruction = tuple[int, int, int, int]


class ConfinementError(Exception):
    """The kernel refused to remove a right."""


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: object) -> int:
    return int(_libc().syscall(ctypes.c_long(number), *arguments))


@cache
def landlock_version() -> int:
    """Version of Landlock in the running kernel, 0 if it has none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, _syscall(syscalls.LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def refusal() -> str:
    """Why this machine cannot confine a program, as part of a sentence; empty if it can."""
    if not sys.platform.startswith("linux"):
        return f"this is {sys.platform}, and confinement needs Linux"
    machine = syscalls.processor()
    if machine not in syscalls.ALLOWED:
        return f"system calls of the processor {machine} are not known"
    if landlock_version() < 1:
        return f"the kernel {os.uname().release} has no Landlock (it came with 5.13 and can be switched off)"
    action = ctypes.c_uint32(_RET_ERRNO)
    if _syscall(
        syscalls.SECCOMP[machine],
        ctypes.c_uint(_SECCOMP_GET_ACTION_AVAIL),
        ctypes.c_uint(0),
        ctypes.byref(action),
    ):
        return f"the kernel {os.uname().release} has no seccomp filters"
    return ""


def _prctl(option: int, argument: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc().prctl(ctypes.c_int(option), ctypes.c_ulong(argument), zero, zero, zero):
        raise ConfinementError(f"prctl({option}): {os.strerror(ctypes.get_errno())}")


def give_up_privileges() -> None:
    """No new rights through exec, no core dump, no tracing by others."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def landlock(readable: Iterable[str] | None) -> None:
    """Restrict files to reading below `readable`, and close network and signals as far as the kernel can.

    Args:
        readable: folders and files; None leaves files as they are and only scopes signals and
            abstract sockets to this process, where the kernel can.

    Raises:
        ConfinementError: the kernel refused.
    """
    version = landlock_version()
    rights = 0 if readable is None else _FS_RIGHTS[min(version, 5)]
    if readable is None and version < 6:
        return
    fields = [rights]
    if version >= 4:
        fields.append(0 if readable is None else _NET_RIGHTS)
    if version >= 6:
        fields.append(_SCOPES)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _syscall(
        syscalls.LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    if ruleset < 0:
        raise ConfinementError(f"landlock: {os.strerror(ctypes.get_errno())}")
    try:
        for path in readable or ():
            _allow_reading(ruleset, path)
        if _syscall(syscalls.LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)):
            raise ConfinementError(f"landlock: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: str) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)  # noqa: PTH112
        rule = struct.pack("=Qi", rights, descriptor)
        if _syscall(
            syscalls.LANDLOCK_ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(_PATH_BENEATH),
            rule,
            ctypes.c_uint32(0),
        ):
            raise ConfinementError(f"landlock: {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def filter_program(machine: str) -> list[Instruction]:
    """The seccomp filter: what is allowed, with which arguments; anything else fails with EPERM."""
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 1, 0, syscalls.AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _RET_KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        # The x32 table numbers the same calls differently.
        program += [(_JUMP_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _ENOSYS)]
    for number in syscalls.ALLOWED[machine].values():
        program += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _RET_ALLOW)]
    for opening, position in ((syscalls.OPEN[machine], 1), (syscalls.OPENAT[machine], 2)):
        if opening is not None:
            no_writing = [(_LOAD, 0, 0, _low(position)), (_AND, 0, 0, _WRITING), *_allow_if_in((0,))]
            program += _only(opening, no_writing)
    for number, commands in (
        (syscalls.FCNTL[machine], _FCNTL_COMMANDS),
        (syscalls.IOCTL[machine], _IOCTL_COMMANDS),
    ):
        program += _only(number, [(_LOAD, 0, 0, _low(1)), *_allow_if_in(commands)])
    # prlimit64 may read this process's own limits: pid 0, no new value.
    block: list[Instruction] = []
    for offset in (_low(0), _low(2), _low(2) + 4):
        block += [(_LOAD, 0, 0, offset), (_JUMP_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _EPERM)]
    program += _only(syscalls.PRLIMIT64[machine], [*block, (_RETURN, 0, 0, _RET_ALLOW)])
    program.append((_RETURN, 0, 0, _EPERM))
    return program


def _low(position: int) -> int:
    """Offset of the low half of an argument (both processors are little-endian)."""
    return _ARGUMENTS + 8 * position


def _only(number: int, block: list[Instruction]) -> list[Instruction]:
    """Run `block`, which returns, for one system call."""
    return [(_JUMP_EQUAL, 0, len(block), number), *block]


def _allow_if_in(values: Iterable[int]) -> list[Instruction]:
    block: list[Instruction] = []
    for value in values:
        block += [(_JUMP_EQUAL, 0, 1, value), (_RETURN, 0, 0, _RET_ALLOW)]
    return [*block, (_RETURN, 0, 0, _EPERM)]


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def prepared_filter() -> _FilterProgram:
    """The filter for this machine, ready to install."""
    program = filter_program(syscalls.processor())
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    return _FilterProgram(len(program), code)


def install_filter(program: _FilterProgram) -> None:
    """Install a filter in this process; from here on it may only do what the filter allows.

    Raises:
        ConfinementError: the kernel refused.
    """
    zero = ctypes.c_ulong(0)
    if _libc().prctl(
        ctypes.c_int(_PR_SET_SECCOMP), ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(program), zero, zero
    ):
        raise ConfinementError(f"seccomp: {os.strerror(ctypes.get_errno())}")


def limit_resources(seconds: float, address_space_bytes: int) -> None:
    """Set hard limits on memory, processor time, files and processes."""
    cpu = int(seconds) + 2
    for kind, value in (
        (resource.RLIMIT_AS, address_space_bytes),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))


def interpreter_folders() -> list[str]:
    """What a Python program must be able to read: the standard library, site-packages, shared libraries."""
    wanted = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"]
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix):
        wanted += [f"{prefix}/lib", f"{prefix}/lib64"]
    wanted += [path for path in sys.path if "site-packages" in path or "dist-packages" in path]
    return [path for path in dict.fromkeys(wanted) if os.path.exists(path)]  # noqa: PTH110
