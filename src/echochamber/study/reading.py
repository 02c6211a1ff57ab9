"""From a study file to its configs, one per point of the sweep."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import re
import sys
import traceback
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from echochamber import corpora, formats
from echochamber.base import (
    Document,
    InputError,
    assign,
    derive_seed,
    digest,
    digest_file,
    parse_yaml,
    read_yaml,
    set_value,
    validate,
)
from echochamber.study.checks import check_endpoints, check_halves, check_references, must_exist
from echochamber.study.config import StudyConfig


def load_study(path: Path, overrides: Sequence[str] = ()) -> list[tuple[str, StudyConfig]]:
    """Read a study file into one config per point of its sweep.

    Returns:
        Pairs of sweep label (empty without a sweep) and config.

    Raises:
        InputError: the file has mistakes; each is named as `file:line: key: ...`.
    """
    document = read_yaml(path)
    for assignment in overrides:
        set_value(document, assignment)
    _substitute(document)
    modules = document.data.get("modules") or []
    if isinstance(modules, list):
        resolved = [str((path.parent / str(module)).resolve()) for module in modules]
        document.data["modules"] = resolved
        _refuse_changed(resolved)
        import_modules(resolved)
    studies = []
    points = expand_sweep(document)
    for label, point in points:
        study = validate(point, StudyConfig)
        check_halves(study, point)
        check_references(study, point)
        check_endpoints(study, point, [label for label, _ in points])
        studies.append((label, study))
    return studies


def _substitute(document: Document) -> None:
    """Replace `${name}` with the study's variables in every text of the file.

    Raises:
        InputError: there is no variable of that name.
    """
    variables = document.data.get("variables") or {}

    def filled(value: Any, key: tuple[str | int, ...]) -> Any:
        if isinstance(value, dict):
            return {name: filled(item, (*key, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [filled(item, (*key, i)) for i, item in enumerate(value)]
        if not isinstance(value, str) or key[:1] == ("variables",):
            return value
        for name in re.findall(r"\$\{([^${}]*+)\}", value):
            must_exist(document, key, name, list(variables), "variable")
            value = value.replace(f"${{{name}}}", str(variables[name]))
        return value

    document.data = filled(document.data, ())


def expand_sweep(document: Document) -> list[tuple[str, Document]]:
    """One document per point of the `sweep` grid, with the label that distinguishes it.

    Raises:
        InputError: a key has no list of values, or a value is listed twice.
    """
    sweep = document.data.get("sweep") or {}
    if not isinstance(sweep, dict) or not all(
        isinstance(values, list) and values for values in sweep.values()
    ):
        raise InputError(
            f"{document.place(('sweep',))}: sweep: expected dotted keys, each with a list of values"
        )
    names = _short_names(list(sweep))
    for key, values in sweep.items():
        shown = [_shown(value) for value in values]
        if len(set(shown)) < len(shown):
            raise InputError(
                f"{document.place(('sweep', key))}: sweep.{key}: {', '.join(shown)}: a value is listed "
                "twice; every point of a sweep must differ"
            )
    points = []
    for values in itertools.product(*sweep.values()):
        point = Document(deepcopy(document.data), dict(document.places))
        for key, value in zip(sweep, values, strict=True):
            place = f"{document.place(('sweep', key))}: sweep over {key}"
            assign(point, key, deepcopy(value), place)
        label = ",".join(f"{names[key]}={_shown(value)}" for key, value in zip(sweep, values, strict=True))
        points.append((label, point))
    return points


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Each dotted key, shortened to as many of its last parts as distinguish it from the others."""
    names = {}
    for key in keys:
        parts = key.split(".")
        endings = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        others = [other for other in keys if other != key]
        clear = [e for e in endings if not any(other == e or other.endswith(f".{e}") for other in others)]
        names[key] = clear[0] if clear else key
    return names


_LONGEST_SHOWN = 40


def _shown(value: Any) -> str:
    """A value of a sweep on one line, so that different values look different.

    A text is shown without quotes if YAML would read it back as that text, and in quotes otherwise. A value
    that is too long is cut off, and the beginning of its digest is appended.
    """
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, str) and re.fullmatch(r"[\w./][\w./+*@%-]*", value):
        plain = parse_yaml(f"value: {value}", "sweep").data["value"]
        text = value if plain == value else text
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[: _LONGEST_SHOWN - 9]}..{digest(value)[:6]}"


_imported: dict[str, str] = {}
"""Content digest of each of the user's files as this process has imported it, by path."""


def import_modules(paths: Sequence[str]) -> None:
    """Import each file once in this process.

    Raises:
        InputError: a file is missing or does not import; with the line, where it is one of the file's own.
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
        _imported[text] = digest_file(path)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            # Whatever a user's file raises is the user's to fix.
            del sys.modules[name], _imported[text]
            what = "" if isinstance(error, InputError) else f"does not import: {type(error).__name__}: "
            said = " ".join(str(error).split())
            raise InputError(f"modules: {path}{_line_of(error, path)}: {what}{said}") from error


def _line_of(error: Exception, path: Path) -> str:
    """The last line of the file that an error passed through, as `:7`; empty if there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{frames[-1].lineno}" if frames else ""


def _refuse_changed(paths: Sequence[str]) -> None:
    """Code is imported once, so a file edited since then would lend its new key to what its old code does.

    Raises:
        InputError: a file is not the one that was imported.
    """
    for text in paths:
        if text in _imported and Path(text).is_file() and digest_file(Path(text)) != _imported[text]:
            raise InputError(
                f"modules: {text} was changed after this process had imported it; start Python anew "
                "(in a notebook: restart the kernel)"
            )


def module_digests(paths: Sequence[str]) -> list[str]:
    """Content digests of the files as imported, part of the keys of the stages they can influence."""
    return [_imported.get(path) or digest_file(Path(path)) for path in paths]


def first_examples(
    config: StudyConfig, num: int, *, local_only: bool = False
) -> dict[str, list[corpora.Example]]:
    """The first `num` documents of each source, including questions of problem sets.

    Args:
        local_only: leave out sources that need a network connection.
    """
    seed = derive_seed(config.shared_data_seed, "sources")
    return {
        name: list(itertools.islice(corpora.open_source(source, seed=seed), num))
        for name, source in config.sources.items()
        if source.is_local or not local_only
    }


def labeled_examples(path: Path | None, overrides: Sequence[str], num: int) -> list[tuple[str, str]]:
    """(format, solution) pairs: `num` word problems per format and wording, `num` documents per source.

    Args:
        path: a study whose sources are also read; None reads only word problems.
    """
    sources: list[corpora.BaseSource] = [
        corpora.WordProblemsSource(format=name, style=style, levels=(1, 2, 3, 4))
        for name in formats.format_names()
        for style in ("terse", "rich")
    ]
    if path is not None:
        sources += [source for _, config in load_study(path, overrides) for source in config.sources.values()]
    return [
        (example.format, example.solution)
        for source in sources
        for example in itertools.islice(corpora.open_source(source, seed=0), num)
        if example.format is not None
    ]
