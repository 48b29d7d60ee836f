"""The whole way: packed here, trained where most packages are missing, taken back."""

import json
import shutil
from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nuguide.datasets.opening import open_dataset
from nuguide.datasets.resampling import resampled
from nuguide.errors import InputError, OutputError, RecipeError
from nuguide.evaluation.score import score
from nuguide.models.card import Decoding
from nuguide.models.registry import load
from nuguide.networks.registry import build_network
from nuguide.segmentation.decoding import Maps, decode
from nuguide.segmentation.predictor import predict_maps
from nuguide.training.finish import best_path, load_student
from nuguide.training.fit import fit
from nuguide.training.gpu.__main__ import run_time, seconds
from nuguide.training.gpu.augmentation import Draws
from nuguide.training.gpu.pack import pack
from nuguide.training.gpu.plan import read_pack
from nuguide.training.gpu.run import Run
from nuguide.training.gpu.scoring import _scores, decode_there
from nuguide.training.gpu.session import run_session, share_of
from nuguide.training.gpu.state import StateFile
from nuguide.training.gpu.tissue import read_tissue, read_validation, tokens_of
from nuguide.training.gpu.unpack import unpack
from nuguide.training.progress import is_finished, seconds_trained, steps_done
from nuguide.training.targets import normalised_distance

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(packed: Path, bare_machine, tmp_path_factory) -> Path:
    """Return what a bare machine sent back."""
    folder = tmp_path_factory.mktemp("there")
    done = bare_machine(
        *("-m", "nuguide.training.gpu", "--max-time", "90s", "--run-time", "1s"),
        *("--pack", str(packed), "--runs", str(folder / "runs"), "--out", str(folder / "out")),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "plain: finished" in done.stdout
    assert "guided: finished" in done.stdout
    return folder / "out"


def test_ambiguous_areas_are_not_scored():
    """As in the training on the spot: what is found there is neither right nor wrong."""
    foreground = np.zeros((64, 64), np.float32)
    foreground[8:20, 8:20] = foreground[8:20, 40:52] = 1
    maps = Maps(foreground, foreground, 0.5, None, None)
    labels = np.zeros((64, 64), np.int32)
    labels[8:20, 8:20] = 1
    ignore = np.zeros((64, 64), np.bool_)
    ignore[:, 32:] = True
    decoding = Decoding(smoothing_um=0)
    assert _scores(labels, None, maps, decoding)["pq"] == pytest.approx(2 / 3)
    assert _scores(labels, ignore, maps, decoding)["pq"] == pytest.approx(1)


def test_scores_and_weights_come_back(trained: Path):
    assert {path.name for path in trained.iterdir()} == {"scores.json", "weights-1.safetensors"}
    plain, guided = json.loads((trained / "scores.json").read_text())
    for result in (plain, guided):
        assert result["finished"]
        assert result["steps"] >= 1
        assert result["seconds"] >= 1
        assert result["history"][-1]["last"]
        assert 0 <= result["best"]["aji"] <= 1
        assert len(result["images"]) == 2
        mean = np.mean([image["aji"] for image in result["images"]])
        assert mean == pytest.approx(result["best"]["aji"])
        assert len({each["seconds"] for each in result["history"]}) == len(result["history"])
    assert guided["parameters"] > plain["parameters"]


def test_what_came_back_is_a_finished_run_with_its_model(
    trained: Path, recipes, sample, data: Path, data_with_two_of_validation: Path, tmp_path: Path
):
    runs = unpack(trained, tmp_path / "runs")
    assert [run.name for run in runs] == ["plain", "guided"]
    for run, recipe in zip(runs, recipes, strict=True):
        result = json.loads((run / "trained.json").read_text())
        assert is_finished(run, recipe)
        assert steps_done(run) == result["steps"]
        assert seconds_trained(run) == pytest.approx(result["seconds"])
        model = load(run / "model")
        assert model.card.name == recipe.name
        maps = predict_maps(model, sample.image)
        assert maps.foreground.shape == sample.labels.shape
        assert np.isfinite(maps.foreground).all()
        # The ablation and train take such a run as it is, with the images that were packed.
        best = run / "checkpoints" / "best.ckpt"
        assert fit(recipe, data_with_two_of_validation, run) == best
        with pytest.raises(OutputError, match="a run on other images"):
            fit(recipe, data, run)
    assert unpack(trained, tmp_path / "runs") == runs


def test_the_model_scores_here_what_it_scored_there(
    trained: Path, data_with_two_of_validation: Path, tmp_path: Path
):
    """Half precision and SciPy's Gaussian change little."""
    (run, _) = unpack(trained, tmp_path / "runs")
    result = json.loads((run / "trained.json").read_text())
    model = load(run / "model")
    for image, sample in zip(
        result["images"], open_dataset(data_with_two_of_validation, "validation"), strict=True
    ):
        seen = resampled(sample, model.card.mpp)
        here = score(seen.labels, decode(predict_maps(model, seen.image), model.card.decoding))
        assert here["dice_foreground"] == pytest.approx(image["dice_foreground"], abs=0.02)


def test_a_student_that_has_changed_meanwhile_is_refused(
    trained: Path, student_run: Path, tmp_path: Path
):
    plain, guided = json.loads((trained / "scores.json").read_text())
    assert plain["student_sha256"] is None
    assert guided["student_sha256"] == load_student(student_run).sha256
    own = best_path(student_run).read_bytes()
    again = torch.load(best_path(student_run), weights_only=True)
    again["state_dict"]["student.head.bias"] += 1
    torch.save(again, best_path(student_run))
    with pytest.raises(
        InputError, match=r"guided was trained with the student of sha256 \w{64}, and"
    ):
        unpack(trained, tmp_path / "runs")
    best_path(student_run).write_bytes(own)
    assert not (tmp_path / "runs" / "guided").exists()


def test_a_call_that_ends_early_goes_on_with_the_next(packed: Path, tmp_path: Path, monkeypatch):
    said: list[str] = []
    folders = (packed, tmp_path / "runs", tmp_path / "out")
    monkeypatch.setattr("nuguide.training.gpu.session.RESERVE", 0.0)
    run_session(*folders, 1.5, run_seconds={"": 1.0}, say=said.append)
    first, second = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert not second["finished"], "there is not time for both"
    with pytest.raises(InputError, match="is not finished; expected"):
        unpack(tmp_path / "out", tmp_path / "here")
    run_session(*folders, 60.0, run_seconds={"": 1.0}, say=said.append)
    plain, guided = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert plain["finished"]
    assert guided["finished"]
    assert plain["steps"] >= first.get("steps", 0)
    before = (tmp_path / "runs" / "plain.pt").stat().st_mtime_ns
    run_session(*folders, 60.0, run_seconds={"": 1.0}, say=said.append)
    assert (tmp_path / "runs" / "plain.pt").stat().st_mtime_ns == before, "finished is finished"


@pytest.fixture
def make_state(make_segmentation, tmp_path: Path):
    def make(data: str = "a" * 64, **changes) -> StateFile:
        recipe = make_segmentation(**changes).model_dump(mode="json")
        return StateFile(tmp_path / "quick.pt", recipe, data)

    return make


def test_a_state_belongs_to_its_recipe_and_its_data(make_state):
    make_state().write({"best": None})
    assert make_state().read()["best"] is None
    with pytest.raises(
        OutputError, match=r"of another recipe \(losses\.dice 1\.0, now 2\.0; seed 0"
    ):
        make_state(seed=7, losses={"dice": 2.0}).read()
    with pytest.raises(
        OutputError, match=r"other tissue or with another guide \(sha256 aaaaaaaaaaaa,"
    ):
        make_state("b" * 64).read()


@pytest.mark.parametrize("content", [b"", b"no state", b"\x80\x02", bytes(range(256)), None])
def test_a_damaged_state_is_one_clear_line(make_state, content: bytes | None):
    state = make_state()
    state.write({"best": None})
    state.path.write_bytes(state.path.read_bytes()[:400] if content is None else content)
    with pytest.raises(InputError, match=r"quick\.pt cannot be read \(\w+\); expected the state"):
        state.read()


def test_a_state_of_another_version_is_one_clear_line(make_run):
    run = make_run()
    run._save()
    assert make_run().progress.step == 0
    content = run.state_file.read()
    content["averaged"].popitem()
    run.state_file.write(content)
    with pytest.raises(InputError, match=r"state\.pt cannot be read \(RuntimeError\)"):
        make_run()


def test_a_pack_of_another_recipe_does_not_go_on_with_its_namesake(
    packed: Path, recipes, make_segmentation, data_with_two_of_validation: Path, tmp_path: Path
):
    said: list[str] = []
    folders = (tmp_path / "runs", tmp_path / "out")
    run_session(packed, *folders, 90.0, by_steps=True, device="cpu", say=said.append)
    scores = (tmp_path / "out" / "scores.json").read_bytes()
    other = make_segmentation(name="plain", learning_rate=1e-4, seed=7)
    before = make_segmentation(name="before")
    pack([before, other], [data_with_two_of_validation], tmp_path / "pack")
    with pytest.raises(
        OutputError, match=r"plain\.pt is .*learning_rate 0\.01, now 0\.0001; seed 0"
    ):
        run_session(tmp_path / "pack", *folders, 90.0, by_steps=True, device="cpu")
    assert (tmp_path / "out" / "scores.json").read_bytes() == scores
    assert not (tmp_path / "runs" / "before.pt").exists(), "no time is spent first"
    # The same recipe goes on, whatever else is packed beside it.
    pack(recipes[:1], [data_with_two_of_validation], tmp_path / "pack")
    run_session(tmp_path / "pack", *folders, 90.0, by_steps=True, device="cpu", say=said.append)
    assert "plain: finished" in said[-1]


def test_other_tissue_and_another_guide_are_told_from_the_runs_own(packed: Path):
    own = read_pack(packed)
    plain, guided = own.digest("plain"), own.digest("guided")
    assert len({plain, guided}) == 2
    key = next(key for key in own.arrays if key.endswith("head.weight"))
    other_guide = replace(own, arrays=own.arrays | {key: own.arrays[key] + 1})
    assert other_guide.digest("plain") == plain
    assert other_guide.digest("guided") != guided
    other_image = own.arrays["validation.1.image"].copy()
    other_image[-1] ^= 1
    other_tissue = replace(own, arrays=own.arrays | {"validation.1.image": other_image})
    assert other_tissue.digest("plain") != plain


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"run_seconds": NaN}', '{"run_seconds": []}'])
def test_a_damaged_budget_is_one_clear_line(packed: Path, tmp_path: Path, content: str):
    (tmp_path / "budget.json").write_text(content)
    with pytest.raises(
        InputError, match=r"budget\.json cannot be read \(\w+: .*say them by --run-t"
    ):
        run_session(packed, tmp_path, tmp_path / "out", 60.0, device="cpu")


def test_runs_by_steps_make_those_of_their_recipes(packed: Path, recipes, tmp_path: Path):
    said: list[str] = []
    folders = (packed, tmp_path / "runs", tmp_path / "out")
    run_session(*folders, 90.0, by_steps=True, device="cpu", say=said.append)
    assert said[0].startswith("2 runs of their recipes' steps on ")
    assert not (tmp_path / "runs" / "budget.json").exists(), "there is no time to remember"
    results = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [each["name"] for each in results] == [recipe.name for recipe in recipes]
    for result, recipe in zip(results, recipes, strict=True):
        assert result["finished"]
        assert result["steps"] == recipe.steps
        assert result["budget_seconds"] is None
    assert len(unpack(tmp_path / "out", tmp_path / "here")) == 2


@pytest.mark.parametrize(("seconds", "runs", "each"), [(400, 4, 90), (520, 1, 510), (40, 2, 15)])
def test_runs_share_a_call_and_leave_room_beside_their_trainings(
    seconds: float, runs: int, each: float
):
    assert share_of(seconds, runs) == each


class NoScorer:
    """A scorer that holds images and is never asked for scores."""

    def __init__(self, images):
        self.images = images


@pytest.fixture
def make_run(packed: Path, recipes, tmp_path: Path):
    def make(**changes) -> Run:
        there = read_pack(packed)
        recipe = recipes[0].model_copy(update=changes)
        tissue, scorer = read_tissue(there, CPU), NoScorer(read_validation(there))
        state_file = StateFile(tmp_path / "state.pt", recipe.model_dump(), there.digest("plain"))
        return Run(recipe, tissue, None, scorer, 100.0, state_file)

    return make


def test_a_run_goes_on_from_its_state(make_run):
    run = make_run()
    run.train(deadline=0.0)
    assert run.progress.step == 0
    for _ in range(3):
        run._step(Draws(0, CPU))
    run._save()
    again = make_run()
    assert again.progress.step == 3
    state = run.network.state_dict()
    assert all(torch.equal(x, state[key]) for key, x in again.network.state_dict().items())
    averages = run.averaged.state_dict()
    assert all(torch.equal(x, averages[key]) for key, x in again.averaged.state_dict().items())
    moments = [each.optimiser.state_dict()["state"][0]["exp_avg"] for each in (run, again)]
    assert torch.equal(*moments)


def test_training_lowers_the_loss(make_run):
    run, draws = make_run(batch=4), Draws(0, CPU)
    losses = [float(run._step(draws)) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize("fusion", ["none", "released", "paper", "cross", "distil"])
def test_every_way_of_guidance_trains_in_mixed_precision(fusion: str):
    """As on a GPU, where the network alone runs in bfloat16."""
    torch.manual_seed(0)
    network = build_network("eunet3plus", width=2, fusion=fusion, heads=["nuclei", "distance"])
    tokens = torch.randn(2, 256, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(torch.rand(2, 3, 64, 64), tokens)
    assert outputs["nuclei"].dtype is torch.bfloat16
    sum(x.float().square().mean() for x in outputs.values()).backward()
    gradients = [each.grad for each in network.parameters() if each.grad is not None]
    assert len(gradients) > 20
    assert all(each.isfinite().all() for each in gradients)


def test_a_device_that_is_not_there_is_one_clear_line(packed: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"--device 'cuda:99' cannot be used"):
        run_session(packed, tmp_path / "runs", tmp_path / "out", 1.0, device="cuda:99")


def test_a_loss_that_is_not_finite_stops_the_run(make_run):
    run = make_run()
    with pytest.raises(RecipeError, match="plain: the loss is nan after 0 steps"):
        run._look(float("nan"))


def test_tokens_are_under_the_recipes_control(fake_teacher, make_segmentation):
    images = [np.full((64, 64, 3), value, np.uint8) for value in (0, 90, 200)]
    guide = {"kind": "named", "name": "tinyvit-sam", "field_um": 128.0}
    made = {
        control: tokens_of(
            fake_teacher, images, 0.5, make_segmentation(guide=guide, guide_control=control, seed=3)
        )
        for control in ("guided", "zeroed", "shuffled")
    }
    guided, token_um = made["guided"]
    assert token_um == 2.0
    assert guided[0].dtype is torch.float16
    assert not any(each.any() for each in made["zeroed"][0])
    shuffled = made["shuffled"][0]
    places = [
        next(i for i, own in enumerate(guided) if torch.equal(own, each)) for each in shuffled
    ]
    assert sorted(places) == [0, 1, 2]
    assert all(place != own for own, place in enumerate(places))


def test_nuclei_are_divided_without_opencv_as_with_it(sample, make_segmentation):
    distance = normalised_distance(sample.labels)
    noisy = distance + np.random.default_rng(0).normal(0, 0.05, distance.shape)
    decoding = make_segmentation().decoding
    for with_head in (True, False):
        foreground = (sample.labels > 0).astype(np.float32)
        maps = Maps(foreground, noisy.astype(np.float32) if with_head else None, 0.5)
        here, there = decode(maps, decoding), decode_there(maps, decoding)
        assert here.max() == there.max() > 1
        assert (here == there).mean() > 0.99
    empty = Maps(np.zeros((8, 8), np.float32), None, 0.5)
    assert not decode_there(empty, decoding).any()


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("9m", 540), ("1.5h", 5400)])
def test_times_are_read_with_their_unit(text: str, value: float):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["9", "m", "0s", "-1m", "9 m", "nan"])
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(ArgumentTypeError, match="is no time"):
        seconds(text)
    with pytest.raises(ArgumentTypeError, match="is no time"):
        run_time(f"wide={text}")


def test_a_run_may_have_a_time_of_its_own(packed: Path, tmp_path: Path):
    assert [run_time(text) for text in ("2s", "guided=3s")] == [("", 2), ("guided", 3)]
    said: list[str] = []
    folders = (packed, tmp_path / "runs", tmp_path / "out")
    times = {"plain": 0.5, "guided": 1.0}
    run_session(*folders, 90.0, run_seconds=times, device="cpu", say=said.append)
    assert said[0].startswith("2 runs of 0 s and 1 s on ")
    results = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert {each["name"]: each["budget_seconds"] for each in results} == times
    assert all(each["finished"] for each in results)


@pytest.mark.parametrize("times", [{"plain": 1.0}, {"": 1.0, "plane": 1.0}])
def test_times_of_some_runs_or_none_are_refused(packed: Path, tmp_path: Path, times: dict):
    folders = (packed, tmp_path / "runs", tmp_path / "out")
    with pytest.raises(InputError, match="expected those of the runs plain, guided; give RUN=TIME"):
        run_session(*folders, 90.0, run_seconds=times, device="cpu")


def test_a_damaged_record_of_what_was_seen_is_one_clear_line(trained: Path, tmp_path: Path):
    shutil.copytree(trained, tmp_path / "out")
    results = json.loads((trained / "scores.json").read_text())
    results[0]["seen"] = {"folders": "x"}
    (tmp_path / "out" / "scores.json").write_text(json.dumps(results))
    with pytest.raises(InputError, match=r"scores\.json: seen\.sha256: Field required"):
        unpack(tmp_path / "out", tmp_path / "runs")
    results[0]["seen"] = None  # packed before it was told
    (tmp_path / "out" / "scores.json").write_text(json.dumps(results))
    assert not (unpack(tmp_path / "out", tmp_path / "runs")[0] / "data.json").exists()


@pytest.mark.parametrize("content", ["", "[{}]", '[{"name": "a", "finished": true}]'])
def test_damaged_scores_are_one_clear_line(tmp_path: Path, content: str):
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(InputError, match=r"scores\.json cannot be read"):
        unpack(tmp_path, tmp_path / "runs")
