"""Writing files so that a reader sees either all of the new content or all of the old.

Every step that a kill could interrupt passes a named `fault_point`; tests
stop the process at each of them.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from echochamber.base.errors import EchoError, InputError

_passed: dict[str, int] = {}


def fault_point(name: str) -> None:
    """Die or fail here if a test asked for it.

    `ECHOCHAMBER_FAULT=name:n` kills the process with SIGKILL the n-th time the point of that name is
    passed (`*` counts every point); `name:n:ENOSPC` raises that error of the operating system instead,
    from the n-th time on. `ECHOCHAMBER_FAULT_TRACE=file` writes down the names passed, so that a test can
    enumerate them.
    """
    trace = os.environ.get("ECHOCHAMBER_FAULT_TRACE")
    if trace:
        with open(trace, "a", encoding="utf-8") as stream:  # noqa: PTH123
            stream.write(name + "\n")
    wanted = os.environ.get("ECHOCHAMBER_FAULT")
    if not wanted:
        return
    target, count, *error = wanted.split(":")
    if target not in (name, "*"):
        return
    _passed[target] = _passed.get(target, 0) + 1
    if error and _passed[target] >= int(count):
        number = getattr(errno, error[0])
        raise OSError(number, os.strerror(number))
    if _passed[target] == int(count):
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def explained_write(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into a sentence.

    Raises:
        InputError: the place itself is unusable (no permission, a file where a folder should be).
        EchoError: the disk failed or is full.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        at = error.filename2 or error.filename or path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise EchoError(
                f"cannot write {at}: {reason}. Free some space and run the same command again; "
                "finished work is kept"
            ) from error
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY):
            what = "a folder" if error.errno in (errno.EISDIR, errno.ENOTEMPTY) else "a file"
            raise InputError(f"cannot write {at}: {what} is in the way; move it or remove it") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
            raise InputError(
                f"cannot write {at}: {reason}. Choose a folder that can be written to"
            ) from error
        raise EchoError(f"cannot write {at}: {reason}") from error


@contextmanager
def explained_disk(path: Path) -> Iterator[None]:
    """Around a large piece of work: explain disk failures, and let any other error pass.

    Raises:
        InputError: the disk is read-only.
        EchoError: the disk failed or is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
            raise
        with explained_write(path):
            raise


def fsync_folder(folder: Path) -> None:
    """Make the names inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alone(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file against other writers until it is closed; False if another one holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # This file system has no locks, so writers must avoid each other by themselves.
        return True
    return True


def open_alone(path: Path) -> IO[bytes]:
    """Open `path` empty for writing; another process that wants it waits until this one closes it."""
    while True:
        stream = path.open("ab")
        _alone(stream.fileno(), wait=True)
        if _stands_at(stream.fileno(), path):
            stream.truncate(0)
            return stream
        # The process that held it has meanwhile given it its final name.
        stream.close()


def _stands_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file atomically and durably: temporary file, fsync, rename, fsync of the folder.

    Several processes that write one file take turns, and the content of the last one stays.

    Raises:
        EchoError: the disk refused (see `explained_write`); the old content is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(path.name + ".tmp")
    with explained_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_alone(temporary) as stream:
            half = len(data) // 2
            stream.write(data[:half])
            fault_point("file.mid_write")
            stream.write(data[half:])
            stream.flush()
            os.fsync(stream.fileno())
            fault_point("file.before_rename")
            temporary.replace(path)
        fault_point("file.after_rename")
        fsync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_file(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of ours.

    Raises:
        EchoError: missing, unreadable or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EchoError(f"{path} is missing") from error
    except OSError as error:
        raise EchoError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise EchoError(f"{path} is damaged: {error}") from error


def set_aside(path: Path, into: Path) -> Path:
    """Move a file or folder out of the way, to a folder on the same disk; returns its new path.

    Nothing that is already there is touched: a second one of the same name gets a number.

    Raises:
        InputError: the place cannot be written to.
        EchoError: the disk failed or is full.
    """
    with explained_write(into):
        into.mkdir(parents=True, exist_ok=True)
        target, number = into / path.name, 1
        while os.path.lexists(target):
            number += 1
            target = into / f"{path.name}.{number}"
        path.rename(target)
        fsync_folder(into)
        fsync_folder(path.parent)
    return target


def fsync_tree(folder: Path) -> None:
    """Make every file below `folder`, and the folders themselves, durable."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    for path in [folder, *(p for p in sorted(folder.rglob("*")) if p.is_dir())]:
        fsync_folder(path)


def publish_folder(partial: Path, final: Path) -> None:
    """Give a finished folder its final name; after this returns it survives a power cut.

    Raises:
        EchoError: the disk refused; `partial` is untouched.
    """
    with explained_write(final):
        fsync_tree(partial)
        fault_point("folder.before_rename")
        partial.rename(final)
        fault_point("folder.after_rename")
        fsync_folder(final.parent)


@contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """A new folder that appears under its name only when complete.

    Yields a temporary sibling to fill. Leaving the block normally publishes
    it; an exception removes it. A folder left over by a kill is replaced.

    Raises:
        InputError: `final` exists already, and is not an empty folder.
    """
    if final.exists() and not (final.is_dir() and not any(final.iterdir())):
        raise InputError(f"{final} exists already; remove it or choose another name")
    temporary = final.with_name(final.name + ".tmp")
    with explained_write(final):
        descriptor = _new_folder(temporary, final)
    try:
        yield temporary
        publish_folder(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def _new_folder(temporary: Path, final: Path) -> int:
    """Make an empty folder, locked against other processes while the returned descriptor is open."""
    while True:
        temporary.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_RDONLY)
        if not _alone(descriptor, wait=False):
            os.close(descriptor)
            raise InputError(
                f"{final} is being written by another process; wait for it or choose another name"
            )
        if _stands_at(descriptor, temporary):
            if not any(temporary.iterdir()):
                return descriptor
            shutil.rmtree(temporary)
        os.close(descriptor)
