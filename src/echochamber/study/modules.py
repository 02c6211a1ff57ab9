"""The user's own Python files, which register formats, rewards and sources by being imported."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from echochamber.base import InputError, digest_file


def import_modules(paths: Sequence[str]) -> None:
    """Import each file once in this process.

    Raises:
        InputError: a file is missing or does not import.
    """
    for text in paths:
        path = Path(text)
        name = f"echochamber_user_{path.stem}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        if name in sys.modules:
            continue
        spec = importlib.util.spec_from_file_location(name, path)
        if not path.is_file() or spec is None or spec.loader is None:
            raise InputError(
                f"modules: {path} is not a Python file; give its path relative to the study file"
            )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError) as error:
            del sys.modules[name]
            raise InputError(f"modules: {path} does not import: {type(error).__name__}: {error}") from error


def module_digests(paths: Sequence[str]) -> list[str]:
    """Content digests of the files, which enter the keys of the stages they can influence."""
    return [digest_file(Path(path)) for path in paths]
