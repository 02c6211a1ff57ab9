"""Look at a page in a real browser: where everything is once it is laid out."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

_ASK = """<script>(() => {
  for (const d of document.querySelectorAll("details")) d.open = true;
  parent.postMessage(JSON.stringify({ width: innerWidth, answer: (%s)() }), "*");
})()</script></body>"""

_FRAME = """<!doctype html><body style="margin: 0"><script>
  addEventListener("message", (event) => {
    const place = document.createElement("pre");
    place.id = "measured";
    place.textContent = event.data;
    document.body.append(place);
  });
</script><iframe src="%s" style="border: 0; width: %dpx; height: 900px"></iframe></body>"""


def measure(page: Path, function: str, *, width: int, folder: Path) -> Any:
    """What a JavaScript function without arguments returns in the page at that width, details unfolded."""
    asked, frame = folder / "asked.html", folder / "frame.html"
    text = page.read_text(encoding="utf-8")
    assert text.count("</body>") == 1
    asked.write_text(text.replace("</body>", _ASK % function), encoding="utf-8")
    # A frame may be narrower than the narrowest window that a browser opens.
    frame.write_text(_FRAME % (asked.as_uri(), width), encoding="utf-8")
    command = [
        str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900",
        "--virtual-time-budget=10000", "--dump-dom", frame.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'(?s)<pre id="measured">(.*?)</pre>', done.stdout)
    assert found is not None, done.stdout[-2000:]
    told = json.loads(html.unescape(found[1]))
    assert told["width"] == width
    return told["answer"]
