"""Checkpoint folders: readable by others, whole or absent, thinned out by rule."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from echochamber.base import EchoError, files
from echochamber.train import Retention, checkpoints
from echochamber.train.checkpoints import newest, restore, save_checkpoint
from echochamber.train.tensorfile import write_tensors

TENSORS = {
    "policy": {
        "weight": torch.arange(6, dtype=torch.float32).view(2, 3),
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "strided": torch.arange(6, dtype=torch.int64).view(2, 3).T,
        "flags": torch.tensor([True, False, True]),
    },
    "critic": {"weight": torch.ones(1, dtype=torch.float64)},
}


def save(folder: Path, step: int, **options: object) -> Path:
    return save_checkpoint(folder, step, tensors=TENSORS, values={"kl": 0.1}, **options)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_tensor_file_is_what_the_library_reads(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", TENSORS["policy"])
    found = load_file(tmp_path / "file")
    assert found.keys() == TENSORS["policy"].keys()
    for name, expected in TENSORS["policy"].items():
        assert torch.equal(found[name], expected) and found[name].dtype == expected.dtype


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = save(tmp_path / "c", 7, fingerprints={"config": "abc"})
    assert names(path) == ["MANIFEST.json", "critic.safetensors", "policy.safetensors", "values.json"]
    found = restore(tmp_path / "c", fingerprints={"config": "abc"})
    assert found is not None
    assert found.step == 7
    assert found.values == {"kl": 0.1}
    for group, tensors in TENSORS.items():
        for name, expected in tensors.items():
            assert torch.equal(found.tensors[group][name], expected)
    assert restore(tmp_path / "nothing") is None


def test_equal_states_give_equal_bytes_and_saving_twice_is_harmless(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a", 3), save(tmp_path / "b", 3)
    for name in names(first):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    save(tmp_path / "a", 3)
    assert names(tmp_path / "a") == ["step-00000003"]


def test_retention_by_hand() -> None:
    """Last two, and the first of [1, 2), [2, 4), [4, 8), [8, 16)."""
    steps = [1, 2, 3, 4, 6, 8, 10, 12, 14]
    assert Retention(last=2).keep(steps) == {1, 2, 4, 8, 12, 14}
    assert Retention(last=2, log_spaced=False).keep(steps) == {12, 14}
    assert Retention(last=1, log_spaced=False).keep([5]) == {5}


def test_retention_does_not_depend_on_when_it_is_applied(tmp_path: Path) -> None:
    retention = Retention(last=1)
    for step in range(1, 12):
        save(tmp_path, step, retention=retention)
    assert names(tmp_path) == [f"step-{step:08d}" for step in sorted(retention.keep(range(1, 12)))]


def test_other_fingerprints_are_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    save(tmp_path, 3, fingerprints={"config": "abc", "data": "x"})
    with pytest.raises(EchoError, match="another config; undo the change"):
        restore(tmp_path, fingerprints={"config": "abd", "data": "x"})
    assert names(tmp_path) == ["step-00000003"]


def test_left_overs_of_a_kill_are_swept(tmp_path: Path) -> None:
    save(tmp_path, 3)
    for name in (".new-step-00000004", ".old-step-00000002"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.safetensors").write_bytes(b"half")
    assert restore(tmp_path) is not None
    assert names(tmp_path) == ["step-00000003"]


def test_a_checkpoint_under_a_false_name_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, 3)
    save(tmp_path, 5).rename(tmp_path / "step-00000006")
    found = restore(tmp_path)
    assert found is not None and found.step == 3
    assert "named step 6 and holds step 5" in capsys.readouterr().err
    assert names(tmp_path) == ["damaged-step-00000006", "step-00000003"]


def test_an_objection_goes_back_one(tmp_path: Path) -> None:
    save(tmp_path, 3)
    save(tmp_path, 5)
    found = restore(tmp_path, objection=lambda c: "too new" if c.step > 4 else "")
    assert found is not None and found.step == 3


def test_another_thread_count_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(checkpoints, "_environment", lambda: {"torch": "2.0", "threads": "1"})
    save(tmp_path, 3)
    monkeypatch.setattr(checkpoints, "_environment", lambda: {"torch": "2.0", "threads": "4"})
    assert restore(tmp_path) is not None
    assert "threads 1 (now 4)" in capsys.readouterr().err


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 3)
    monkeypatch.setattr(files, "_passed", {})
    monkeypatch.setenv("ECHOCHAMBER_FAULT", "checkpoint.mid_write:2:ENOSPC")
    with pytest.raises(EchoError, match="No space left on device. Free some space"):
        save(tmp_path, 5)
    monkeypatch.delenv("ECHOCHAMBER_FAULT")
    found = restore(tmp_path)
    assert found is not None and found.step == 3
    assert names(tmp_path) == ["step-00000003"]


def test_the_newest_is_the_one_of_the_highest_step(tmp_path: Path) -> None:
    assert newest(tmp_path / "c") is None
    save(tmp_path / "c", 3)
    (tmp_path / "c" / "damaged-step-00000004").mkdir()
    assert newest(tmp_path / "c") == tmp_path / "c" / "step-00000003"


def test_the_manifest_names_its_files(tmp_path: Path) -> None:
    manifest = json.loads((save(tmp_path, 3) / "MANIFEST.json").read_text())
    assert manifest["step"] == 3
    assert manifest["files"]["values.json"]["bytes"] == len('{"kl":0.1}')
    assert set(manifest["environment"]) == {"torch", "threads"}
