"""A dataset repository of the Hugging Face hub: from a local mirror in the hub's layout, or downloaded.

A mirror is a folder that holds either copies of repositories
(`<mirror>/<owner>/<name>/<files>`, what `hf download --local-dir` writes) or
the hub client's own cache (`<mirror>/datasets--<owner>--<name>/snapshots/...`).
The commit that was read is recorded per cache or mirror: a later run reads the same one, and a changed
repository is an error, never silently different data.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from echochamber.base import EchoError, InputError, digest_file, read_json, write_json

MIRROR_VARIABLE = "ECHOCHAMBER_HUB_MIRROR"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository; `sha256` is the digest stated by the hub, if it states one."""

    name: str
    bytes: int
    sha256: str | None


class HubRepo(Protocol):
    """One revision of a dataset repository.

    Attributes:
        commit: its full hash; `"unrecorded"` for a plain copy that does not record it.
    """

    name: str
    commit: str

    def files(self, patterns: Sequence[str]) -> list[HubFile]:
        """Files matching the first pattern that matches any, sorted by name.

        Raises:
            InputError: none does.
        """

    def fetch(self, file: HubFile) -> Path:
        """The file on this machine, downloaded if necessary.

        Raises:
            InputError: it is unavailable.
            EchoError: its content differs from what the hub states.
        """


def _select(repo: str, files: Sequence[HubFile], patterns: Sequence[str]) -> list[HubFile]:
    for pattern in patterns:
        chosen = [file for file in files if fnmatch.fnmatchcase(file.name, pattern)]
        if chosen:
            return sorted(chosen, key=lambda file: file.name)
    raise InputError(
        f"the dataset '{repo}' holds no file like {' or '.join(patterns)}; it has "
        f"{', '.join(sorted(file.name for file in files)[:8]) or 'no files'}. Set files to what it holds"
    )


def check_content(path: Path, file: HubFile) -> str:
    """SHA-256 of a fetched file, compared with the digest stated by the hub.

    Raises:
        EchoError: they differ.
    """
    found = digest_file(path)
    if file.sha256 is not None and found != file.sha256:
        raise EchoError(
            f"{path} is damaged: its SHA-256 is not the hub's; run the same command again to fetch it anew, "
            "or copy it into the mirror again"
        )
    return found


class MirroredRepo:
    """A repository in a local mirror; nothing is downloaded.

    Raises:
        InputError: the mirror lacks it, or holds a revision other than the requested one.
    """

    def __init__(self, name: str, revision: str | None, mirror: Path) -> None:
        self.name = name
        cached = mirror / f"datasets--{name.replace('/', '--')}"
        if cached.is_dir():
            self.commit = _cached_commit(cached, name, revision)
            self.folder = cached / "snapshots" / self.commit
        else:
            self.folder = mirror / name
            self.commit = _downloaded_commit(self.folder)
        if not self.folder.is_dir():
            raise InputError(
                f"the dataset '{name}' is not in the mirror {mirror}: expected {mirror / name} or "
                f"{cached.name} there. "
                "Copy it there, or run without a mirror to download it"
            )
        if (
            revision is not None
            and self.commit not in (revision, "unrecorded")
            and _COMMIT.fullmatch(revision)
        ):
            raise InputError(
                f"the mirror holds revision {self.commit} of '{name}', the study asks for {revision}; update "
                "the "
                "mirror or the revision"
            )

    def files(self, patterns: Sequence[str]) -> list[HubFile]:
        """See `HubRepo.files`."""
        found = [
            HubFile(path.relative_to(self.folder).as_posix(), path.stat().st_size, _blob_sha256(path))
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and ".cache" not in path.parts
        ]
        return _select(self.name, found, patterns)

    def fetch(self, file: HubFile) -> Path:
        """See `HubRepo.fetch`."""
        return self.folder / file.name


def _cached_commit(cached: Path, name: str, revision: str | None) -> str:
    """The commit in the hub client's cache that a revision refers to."""
    if revision is not None and (cached / "snapshots" / revision).is_dir():
        return revision
    reference = cached / "refs" / (revision or "main")
    if reference.is_file():
        return reference.read_text().strip()
    held = sorted(path.name for path in (cached / "snapshots").glob("*"))
    raise InputError(
        f"the mirror holds no revision '{revision or 'main'}' of '{name}'; it has "
        f"{', '.join(held) or 'none'}. "
        "Download that revision there, or set revision to one it has"
    )


def _downloaded_commit(folder: Path) -> str:
    """The commit that `hf download --local-dir` recorded beside its files, if any."""
    for path in sorted((folder / ".cache" / "huggingface" / "download").rglob("*.metadata")):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
        if _COMMIT.fullmatch(first):
            return first
    return "unrecorded"


def _blob_sha256(path: Path) -> str | None:
    """The client's cache names large files by their SHA-256."""
    if not path.is_symlink():
        return None
    target = path.readlink().name
    return target if _SHA256.fullmatch(target) else None


class RemoteRepo:
    """A repository on the hub; files are downloaded into the client's cache, resumably.

    Args:
        cache: the client's cache folder; its default if None.

    Raises:
        InputError: the client is not installed, the dataset is missing, gated or unreachable, or its revision
            is not the one that was read before.
    """

    def __init__(self, name: str, revision: str | None, cache: Path | None) -> None:
        self.name, self._cache = name, cache
        hub = _client()
        self._api = hub.HfApi()
        pins = (cache or Path(hub.constants.HF_HUB_CACHE)) / "echochamber-pins.json"
        pinned: dict[str, str] = read_json(pins) if pins.exists() else {}
        wanted = revision or pinned.get(name)
        with _explained(name, wanted):
            info = self._api.dataset_info(name, revision=wanted, files_metadata=True)
        self.commit = str(info.sha)
        if revision is not None and _COMMIT.fullmatch(revision) and self.commit != revision:
            raise InputError(f"the hub answers with revision {self.commit} of '{name}' instead of {revision}")
        if revision is None and name not in pinned:
            write_json(pins, {**pinned, name: self.commit})
        self._files = [
            HubFile(sibling.rfilename, sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else None)
            for sibling in info.siblings or []
        ]

    def files(self, patterns: Sequence[str]) -> list[HubFile]:
        """See `HubRepo.files`. Also checks that the downloads fit on the disk."""
        chosen = _select(self.name, self._files, patterns)
        missing = sum(file.bytes for file in chosen if self._cached(file) is None)
        folder = self._cache or Path(_client().constants.HF_HUB_CACHE)
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if missing > free:
            raise InputError(
                f"downloading '{self.name}' needs {missing / 1e9:,.1f} GB in {folder}, where "
                f"{free / 1e9:,.1f} GB are "
                "free; free some space or set HF_HOME to another disk"
            )
        return chosen

    def _cached(self, file: HubFile) -> Path | None:
        found = _client().try_to_load_from_cache(
            self.name, file.name, cache_dir=self._cache, revision=self.commit, repo_type="dataset"
        )
        return Path(found) if isinstance(found, str) else None

    def fetch(self, file: HubFile) -> Path:
        """See `HubRepo.fetch`."""
        path = self._cached(file) or self._download(file)
        try:
            # Existing files too: a run may have been killed between its download and this check.
            check_content(path, file)
        except EchoError:
            # Otherwise the next run would find it again.
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        return path

    def _download(self, file: HubFile) -> Path:
        with _explained(self.name, self.commit):
            return Path(
                self._api.hf_hub_download(
                    self.name, file.name, repo_type="dataset", revision=self.commit, cache_dir=self._cache
                )
            )


def _client() -> Any:
    try:
        import huggingface_hub.constants
    except ImportError as error:
        raise InputError(
            "reading a corpus from the hub needs the hub's client; install it with pip install "
            "'echochamber[hf]', "
            f"or point {MIRROR_VARIABLE} at a local mirror"
        ) from error
    return huggingface_hub


@contextmanager
def _explained(name: str, revision: str | None) -> Iterator[None]:
    """Turn the hub client's errors into sentences.

    Raises:
        InputError: gated, missing, no such revision, or unreachable.
    """
    from huggingface_hub import errors

    mirror = f"or point {MIRROR_VARIABLE} at a local mirror"
    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(
            f"the dataset '{name}' is gated: accept its terms at https://huggingface.co/datasets/{name}, log "
            "in "
            f"with hf auth login, and run again, {mirror}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"the dataset '{name}' has no revision '{revision}'; set revision to one it has"
        ) from error
    except errors.EntryNotFoundError as error:
        raise InputError(f"the dataset '{name}' lost a file between listing and download: {error}") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"the hub has no dataset '{name}', or it is private; check the name or log in, {mirror}"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise InputError(
            f"the dataset '{name}' is not on this machine and HF_HUB_OFFLINE is set; unset it, {mirror}"
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"the hub cannot be reached for '{name}' ({type(error).__name__}); check the connection, {mirror}"
        ) from error
    except Exception as error:
        # The client has changed its HTTP library, and so its exceptions, between versions.
        if type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "requests"):
            raise InputError(
                f"the hub cannot be reached for '{name}' ({type(error).__name__}); check the connection, "
                f"{mirror}"
            ) from error
        raise


def open_repo(name: str, revision: str | None, *, mirror: Path | None, cache: Path | None = None) -> HubRepo:
    """A dataset repository: from a mirror if named or set in `ECHOCHAMBER_HUB_MIRROR`, else from the hub.

    Raises:
        InputError: it is unavailable; the message says how to fix that.
    """
    chosen = mirror or (Path(os.environ[MIRROR_VARIABLE]) if os.environ.get(MIRROR_VARIABLE) else None)
    if chosen is not None:
        chosen = chosen.expanduser()
        if not chosen.is_dir():
            raise InputError(f"the hub mirror {chosen} is not a folder; create it or unset it")
        return MirroredRepo(name, revision, chosen)
    return RemoteRepo(name, revision, cache)
