"""Put the first screen and the sections together into one HTML file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from echochamber.analysis import Run, showing_lock
from echochamber.base import explained_write, write_file
from echochamber.report.figures import Figure
from echochamber.report.html import asset, block_html, environment
from echochamber.report.images import write_images
from echochamber.report.material import Material
from echochamber.report.opening import first_screen
from echochamber.report.section import drawn


def render(run_folder: Path | Run, *, images: bool = True) -> Path:
    """Write `report.html`, `figures/*.png` and `figures/*.svg` from the contents of the run folder.

    Reads only the run folder; equal records give equal bytes.

    Args:
        images: also write the image files, which take most of the time.

    Returns:
        The path of the page.

    Raises:
        InputError: not a run folder.
        EchoError: its records are missing or damaged, or the folder cannot be written to.
    """
    run = run_folder if isinstance(run_folder, Run) else Run(Path(run_folder))
    with showing_lock(run.folder):
        return _render(run, images=images)


def _render(run: Run, *, images: bool) -> Path:
    material = Material(run)
    found = drawn(material)
    if images:
        figures = (block for _, blocks in found for block in blocks if isinstance(block, Figure))
        _write_all_images(figures, run.folder / "figures")
    page = (
        environment()
        .from_string(asset("report.html.j2"))
        .render(
            name=run.summary["study"],
            description=run.study.description,
            **first_screen(material),
            sections=[
                {
                    "key": section.key,
                    "heading": section.heading,
                    "short": section.short,
                    "blocks": [block_html(block) for block in blocks],
                }
                for section, blocks in found
            ],
        )
    )
    path = run.folder / "report.html"
    write_file(path, page)
    return path


def _write_all_images(figures: Iterable[Figure], folder: Path) -> None:
    """Replace the whole folder of images. They are quickly drawn again, so nothing is synced to disk."""
    temporary = folder.with_name(folder.name + ".tmp")
    with explained_write(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for figure in figures:
            write_images(figure, temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
