"""Commands that only read a study or a run never wait for PyTorch."""

import json
import subprocess
import sys
from pathlib import Path

from echochamber.study import Study

# Runs each command in one process and names those that brought a heavy package in.
WATCH = """
import json, sys
from echochamber.cli.main import run_cli
heavy, report = {"torch", "transformers"}, {}
for arguments in json.loads(sys.argv[1]):
    status = run_cli(arguments)
    report[" ".join(arguments[:3])] = [status, sorted(heavy & sys.modules.keys())]
print("REPORT" + json.dumps(report))
"""


def test_reading_commands_import_no_torch(tiny_file: Path, finished: Study, tmp_path: Path) -> None:
    run, runs = str(finished.folder), str(finished.folder.parent)
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"completion": "The answer is \\boxed{4}.", "gold": "4"}) + "\n")
    commands = [
        ["config", "schema"],
        ["config", "show", str(tiny_file)],
        ["data", "show", str(tiny_file)],
        ["data", "formats", "--num", "5"],
        ["data", "stand-in", str(tmp_path / "hub"), "--documents", "5", "--problems", "3"],
        ["grade", str(answers)],
        ["run", str(tiny_file), "--dry-run", "--runs", str(tmp_path)],
        ["status", str(tiny_file), "--runs", runs],
        ["findings", run],
        ["forecast", run],
        ["report", run],
    ]
    done = subprocess.run(
        [sys.executable, "-c", WATCH, json.dumps(commands)], capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout.rpartition("REPORT")[2])
    assert report == {" ".join(command[:3]): [0, []] for command in commands}, done.stderr
