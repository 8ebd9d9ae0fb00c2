"""A trained reader as it ships."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.training import export


def run_of(folder: Path, value: float) -> Path:
    folder.mkdir()
    save_file({"span.weight": torch.full((2, 3), value)}, folder / "reader.safetensors")
    (folder / "recipe.json").write_text(json.dumps({"own_global": False}))
    (folder / "reader.json").write_text(json.dumps({"sha256": "of the earlier"}))
    return folder


@pytest.fixture(autouse=True)
def _no_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "commit", lambda: "c0ffee")


def test_a_reader_ships_in_bf16_with_its_licences(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", 1.0)
    export.main(["--run", str(run), "--out", str(tmp_path), "--data", "Some set=MIT"])
    assert load_file(tmp_path / "reader.safetensors")["span.weight"].dtype is torch.bfloat16
    manifest = json.loads((tmp_path / "reader.json").read_text())
    assert manifest["data"] == {"Some set": "MIT"}
    assert "averaged" not in manifest


def test_a_second_round_is_averaged_with_the_reader_that_it_began_with(tmp_path: Path) -> None:
    run, earlier = run_of(tmp_path / "run", 1.0), run_of(tmp_path / "earlier", 3.0)
    export.main(["--run", str(run), "--out", str(tmp_path), "--earlier", str(earlier), "--share", "0.75"])
    assert torch.all(load_file(tmp_path / "reader.safetensors")["span.weight"] == 1.5)
    manifest = json.loads((tmp_path / "reader.json").read_text())
    assert manifest["averaged"] == {"with": "of the earlier", "share": 0.75}
