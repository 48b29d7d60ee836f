"""`nuguide reproduce` from end to end on replicas: two networks, one step an epoch."""

import sys
from pathlib import Path

import pytest

from fixtures.replicas import write_conic, write_cryonuseg
from nuguide.cli import main as program
from nuguide.errors import DataSetError, GuideError
from nuguide.training.ablation.rows import read_rows
from nuguide.training.module import SegmentationTraining
from nuguide.training.reproduction.plan import choose
from nuguide.training.reproduction.run import reproduce

SMALL = ("network.options.width=2", "epochs=1", "views=1", "batch=2", "n_images=2")
PART = ("--only", "unet", "--only", "eunet3plus-guided", "--seed", "0")


def run(monkeypatch, *arguments: str) -> int:
    sets = [word for change in SMALL for word in ("--set", change)]
    monkeypatch.setattr(sys, "argv", ["nuguide", "reproduce", *sets, *arguments])
    with pytest.raises(SystemExit) as end:
        program.main()
    return end.value.code


def test_the_table_is_made_of_what_is_there_and_goes_on_after_a_stop(
    two_sets: Path, guided, tmp_path: Path, monkeypatch, capsys
):
    out = tmp_path / "out"
    command = ("--data", str(two_sets), "-o", str(out), *PART)
    step = SegmentationTraining.training_step

    def dying(self, batch, index):
        if self.recipe.name == "conic-unet-s0":
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationTraining, "training_step", dying)
        assert run(monkeypatch, *command) == 130
    assert [row.variant for row in read_rows(out / "runs.jsonl")] == [
        "nuinsseg-unet",
        "nuinsseg-eunet3plus-guided",
    ]
    capsys.readouterr()

    assert run(monkeypatch, *command, "--report", str(tmp_path / "report")) == 0
    printed = capsys.readouterr().out
    assert "2 of 2 runs are in" in printed, "what was done is not done again"
    assert "nuinsseg-unet-s0: training" not in printed
    assert "conic-unet-s0: training" in printed
    assert "CoNIC: " in printed
    assert "1 epochs of 1 views of each, batches of 2, learning rate 1e-05" in printed
    missing = next(line for line in printed.splitlines() if line.startswith("missing"))
    assert "CryoNuSeg" in missing
    assert "https://github.com/masih4/CryoNuSeg" in missing
    assert "tissue images/Human_*.tif" in missing
    assert ("sam-vit-b", 128.0) in guided.asked

    rows = read_rows(out / "runs.jsonl")
    assert len(rows) == 4
    for row in rows:
        assert row.split == "test"
        assert set(row.protocols) == {"released"}
        assert set(row.protocols["released"].scores) == {"dice_weighted", "iou_weighted"}
        reads = row.variant.endswith("guided")
        assert set(row.found) == ({"guided", "zeroed", "shuffled"} if reads else {"guided"})
    report = (tmp_path / "report" / "reproduce.md").read_text()
    shown = f"{rows[0].protocols['released'].scores['dice_weighted']:.3f} ["
    assert shown in report
    assert shown in printed
    assert "network.options.width 2 for 32" in report

    monkeypatch.setattr("nuguide.training.ablation.run.fit", None)
    assert run(monkeypatch, *command, "--no-train") == 0
    assert shown in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_table_is_run_on_replicas(
    two_sets: Path, guided, tmp_path: Path, monkeypatch, capsys
):
    root = tmp_path / "root"
    root.mkdir()
    for folder in ("a", "b"):
        (root / folder).symlink_to(two_sets / folder)
    write_cryonuseg(root / "c", size=512)
    assert run(monkeypatch, "--data", str(root), "-o", str(tmp_path / "out"), "--seed", "0") == 0
    printed = capsys.readouterr().out
    assert "missing" not in printed
    assert len(read_rows(tmp_path / "out" / "runs.jsonl")) == 15
    assert all(len(line) <= 80 for line in printed.splitlines() if " [" in line)


def test_without_any_of_the_data_sets_it_is_exit_code_two(
    tmp_path: Path, monkeypatch, capsys, guided
):
    assert run(monkeypatch, "--data", str(tmp_path), "-o", str(tmp_path / "out")) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    for name in ("CryoNuSeg", "masih4/NuInsSeg", "conic-challenge.grand-challenge.org"):
        assert name in captured.err
    assert not (tmp_path / "out").exists()


def test_a_guide_without_weights_is_named_and_the_rest_is_done(
    two_sets: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path / "cache"))
    planned: list[str] = []

    def ablate(plan, *_, **__):
        planned.extend(each.variant for each in plan)

    monkeypatch.setattr("nuguide.training.reproduction.run.ablate", ablate)
    choice = choose(["conic", "unet", "eunet3plus-guided"])
    told = reproduce(two_sets, choice, tmp_path / "runs.jsonl", tmp_path / "out")
    assert set(planned) == {"conic-unet"}
    (line,) = told
    assert "left out, for want of its guide: conic-eunet3plus-guided" in line
    assert "nuguide guides add sam-vit-b" in line
    with pytest.raises(GuideError, match="nuguide guides add sam-vit-b"):
        reproduce(
            two_sets, choose(["conic", "eunet3plus-guided"]), tmp_path / "r", tmp_path / "out"
        )


def test_a_damaged_data_set_stops_before_anything_is_trained(tmp_path: Path, monkeypatch, guided):
    write_conic(tmp_path / "conic", each=1)
    (tmp_path / "conic" / "patch_info.csv").unlink()
    monkeypatch.setattr("nuguide.training.reproduction.run.ablate", None)
    with pytest.raises(DataSetError, match=r"patch_info\.csv is missing"):
        reproduce(tmp_path, choose(["conic"]), tmp_path / "runs.jsonl", tmp_path / "out")
