import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.encoder import load_tokenizer, minilm_folder
from model.network import WORDS, Logits, ReaderNetwork
from model.reader import LongformerReader
from model.training import ablations
from model.training import calibration as calibration_
from model.training import reader as recipes
from model.training.calibration import Read, best_threshold, calibrate, measures, token_f1
from model.training.groups import MinedGroup, batches, collate, count_batches, read_groups
from model.training.losses import apart, distillation_loss, span_loss
from model.training.progress import Progress
from model.training.reader import Recipe, starting_network, train
from model.weights_files import WEIGHTS
from tests.model.killed import killed_after

PLACES = ["Leith", "Oslo", "Kyiv", "Turin"]


def write_groups(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            place = PLACES[number % 4]
            told = f"The mill of owner {number} stands in {place}."
            row = {
                "id": str(number),
                "question": f"Where is the mill of owner {number}?",
                "passages": ["Nothing is known.", told] if number % 3 else ["Nothing is known."],
                "answers": [[1, told.index(place), told.index(place) + len(place)]] if number % 3 else [],
                "relevant": [1] if number % 3 else [],
            }
            file.write(json.dumps(row) + "\n")
    return path


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe that starts from MiniLM with two of its six layers, so that a step takes milliseconds."""
    whole = starting_network

    def cut(folder: Path, *, own_global: bool) -> ReaderNetwork:
        network = whole(folder, own_global=own_global)
        network.longformer.blocks = network.longformer.blocks[:2]
        return network

    monkeypatch.setattr(recipes, "starting_network", cut)
    return Recipe(
        init=minilm_folder(),
        groups=(write_groups(tmp_path / "groups.jsonl", 12),),
        out=tmp_path / "run",
        batch_pieces=30,
        learning_rate=1e-3,
        save_every=2,
    )


def test_the_span_loss_is_the_brute_force_sum_over_answer_places_and_null() -> None:
    torch.manual_seed(0)
    start, end = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    logits = Logits(
        start=start, end=end, null_start=torch.randn(2), null_end=torch.randn(2), relevance=torch.zeros(2, 3)
    )
    spans = torch.tensor([(0, 0, 1, 2), (0, 2, 0, 0)])

    def chance(scores: torch.Tensor, null: torch.Tensor, row: int) -> torch.Tensor:
        return torch.cat([null[row : row + 1], scores[row].flatten()]).softmax(0)

    starts = [chance(start, logits.null_start, row) for row in (0, 1)]
    ends = [chance(end, logits.null_end, row) for row in (0, 1)]
    first = starts[0][1 + 1] * ends[0][1 + 2] + starts[0][1 + 8] * ends[0][1 + 8]
    null = starts[1][0] * ends[1][0]
    torch.testing.assert_close(span_loss(logits, spans), -(first.log() + null.log()) / 2)


def some_logits(seed: int) -> Logits:
    """Scores of two questions over three passages of four tokens, the last token of each being none."""
    chance = torch.Generator().manual_seed(seed)
    start, end = (torch.randn(2, 3, 4, generator=chance) for _ in range(2))
    start[..., -1] = end[..., -1] = float("-inf")
    null_start, null_end = (torch.randn(2, generator=chance) for _ in range(2))
    return Logits(start=start, end=end, null_start=null_start, null_end=null_end, relevance=torch.zeros(2, 3))


def test_apart_each_passage_is_a_question_of_its_own_and_padding_is_none() -> None:
    logits = some_logits(0)
    real = torch.tensor([[True, True, False], [True, True, True]])
    alone, spans = apart(logits, torch.tensor([(0, 1, 1, 2), (1, 2, 0, 0), (1, 2, 1, 1)]), real)
    assert alone.start.shape == (5, 1, 4)
    assert spans.tolist() == [[1, 0, 1, 2], [4, 0, 0, 0], [4, 0, 1, 1]]
    assert torch.equal(alone.null_end, logits.null_end[[0, 0, 1, 1, 1]])
    assert torch.equal(alone.end[:, 0], torch.cat([logits.end[0, :2], logits.end[1]]))


def test_what_teachers_say_is_learned_as_the_brute_force_mean_of_their_probabilities() -> None:
    ours, teachers = some_logits(0), [some_logits(1), some_logits(2)]

    def chances(logits: Logits, row: int) -> list[list[float]]:
        places = ((logits.start, logits.null_start), (logits.end, logits.null_end))
        return [torch.cat([scores[row].flatten(), null[row : row + 1]]).softmax(0).tolist() for scores, null in places]

    total = 0.0
    for row in (0, 1):
        for side in (0, 1):
            mean = [sum(pair) / 2 for pair in zip(*(chances(teacher, row)[side] for teacher in teachers), strict=True)]
            own = chances(ours, row)[side]
            total -= sum(wanted * math.log(had) for wanted, had in zip(mean, own, strict=True) if wanted)
    assert float(distillation_loss(ours, teachers, torch.tensor([0, 1]))) == pytest.approx(total / 4, abs=1e-5)
    each = [float(distillation_loss(ours, teachers, torch.tensor([row]))) for row in (0, 1)]
    assert sum(each) == pytest.approx(total / 2, abs=1e-5)
    assert float(distillation_loss(ours, teachers, torch.tensor([], dtype=torch.long))) == 0


def test_no_gradient_is_lost_at_places_where_no_answer_may_be() -> None:
    ours = some_logits(0)
    scores = ours.start.clone().requires_grad_(True)
    distillation_loss(replace(ours, start=scores), [some_logits(1)], torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[..., :-1].abs().min() > 0


def test_a_reader_learns_from_a_teacher_what_no_mark_says(recipe: Recipe, tmp_path: Path) -> None:
    teacher = starting_network(minilm_folder(), own_global=False)
    torch.manual_seed(0)
    torch.nn.init.normal_(teacher.span.weight, std=0.3)
    save_file({name: x for name, x in teacher.state_dict().items() if name != WORDS}, tmp_path / "reader.safetensors")
    train(replace(recipe, groups=recipe.groups * 3, teachers=(tmp_path,), taught=1.0))
    curve = json.loads((recipe.out / "progress.json").read_text())["curve"]
    assert curve[-1]["taught"] < curve[0]["taught"] - 0.3


def test_an_answer_is_found_again_in_its_tokens(tmp_path: Path) -> None:
    groups = read_groups(write_groups(tmp_path / "groups.jsonl", 8))
    tokenizer = load_tokenizer()
    batch = collate(groups, tokenizer)
    assert len(batch.spans) == sum(len(group.answers) for group in groups)
    for row, passage, first, last in batch.spans.tolist():
        ids = batch.layout.blocks[row, passage, first : last + 1].tolist()
        (_, start, end), text = groups[row].answers[0], groups[row].passages[1]
        assert tokenizer.decode(ids) == text[start:end].lower()
    assert batch.relevant.sum() == len(batch.spans)


def test_a_pass_holds_every_group_once_and_depends_on_the_seed_alone(tmp_path: Path) -> None:
    groups = read_groups(write_groups(tmp_path / "groups.jsonl", 20))
    tokenizer = load_tokenizer()
    one, same, other = (
        [batch.layout.question.tolist() for batch in batches(groups, tokenizer, pieces=40, seed=seed)]
        for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other
    assert len(one) == count_batches(groups, pieces=40, seed=0) > 2
    assert sum(map(len, one)) == 20


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    path = write_groups(tmp_path / "groups.jsonl", 2)
    path.write_text(path.read_text() + '{"id": "x"}\n')
    with pytest.raises(ValueError, match="line 3"):
        read_groups(path)


def test_training_goes_on_from_an_earlier_reader_and_adds_global_projections_as_copies(tmp_path: Path) -> None:
    earlier = starting_network(minilm_folder(), own_global=False)
    torch.nn.init.normal_(earlier.relevance.weight)
    state = {name: tensor for name, tensor in earlier.state_dict().items() if name != WORDS}
    save_file(state, tmp_path / "reader.safetensors")
    later = starting_network(tmp_path, own_global=True).state_dict()
    assert all(torch.equal(later[name], tensor) for name, tensor in state.items())
    added = [name for name in later if name not in earlier.state_dict()]
    assert len(added) == 6 * 6
    assert all(torch.equal(later[name], later[name.replace("_global", "")]) for name in added)


def test_a_checkpoint_of_another_shape_is_refused_with_what_does_not_fit(tmp_path: Path) -> None:
    save_file({"crystal.ball": torch.zeros(1)}, tmp_path / "reader.safetensors")
    with pytest.raises(ValueError, match=r"crystal\.ball"):
        starting_network(tmp_path, own_global=False)


def test_a_run_that_is_killed_and_resumed_ends_with_the_same_weights(recipe: Recipe, tmp_path: Path) -> None:
    whole = train(recipe).state_dict()
    again = replace(recipe, out=tmp_path / "again")
    with killed_after(4):
        train(again)
    resumed = train(again).state_dict()
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0)
    assert (again.out / "curve.png").stat().st_size > 0


def test_a_run_of_so_many_steps_ends_there_with_the_learning_rate_spent(recipe: Recipe) -> None:
    train(replace(recipe, groups=recipe.groups * 5, steps=7, save_every=1))
    curve = json.loads((recipe.out / "progress.json").read_text())["curve"]
    assert [point["step"] for point in curve] == [1, 2, 3, 4, 5, 6, 7]
    again = train(replace(recipe, groups=recipe.groups * 5, steps=7, save_every=1)).state_dict()
    saved = torch.load(recipe.out / "checkpoint-7" / "custom_checkpoint_0.pkl", weights_only=True)
    assert all(torch.equal(again[name], saved[f"module.{name}"]) for name in again)


def test_what_is_kept_is_the_running_mean_of_the_weights(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = Progress.record

    def noted(self: Progress, step: int, **rest: Any) -> None:
        real(self, step, **rest)
        seen.append(live[0].span.weight.detach().clone())

    live: list[ReaderNetwork] = []
    cut = recipes.starting_network

    def kept(folder: Path, *, own_global: bool) -> ReaderNetwork:
        live.append(cut(folder, own_global=own_global))
        return live[0]

    monkeypatch.setattr(recipes, "starting_network", kept)
    monkeypatch.setattr(Progress, "record", noted)
    mean = train(replace(recipe, averaging=0.5, steps=3)).span.weight
    torch.testing.assert_close(mean, 0.25 * seen[0] + 0.25 * seen[1] + 0.5 * seen[2])


def test_training_learns_where_the_answer_stands_and_leaves_the_word_embeddings_alone(recipe: Recipe) -> None:
    words = load_file(minilm_folder() / "model.safetensors")["embeddings.word_embeddings.weight"]
    network = train(replace(recipe, groups=recipe.groups * 6))
    curve = json.loads((recipe.out / "progress.json").read_text())["curve"]
    assert curve[-1]["span"] < curve[0]["span"] / 2
    assert torch.equal(network.longformer.embeddings.word.weight, words)


def read(odds: float, *, right: bool, answerable: bool = True) -> Read:
    return Read(features=(odds, 0.0, 0.0, 0.0), exact=float(right), f1=float(right), answerable=answerable)


def test_calibrated_confidence_is_the_share_that_is_right() -> None:
    results = [read(2.0, right=number % 10 < 8) for number in range(100)]
    results += [read(-2.0, right=number % 10 < 1, answerable=number % 2 == 0) for number in range(100)]
    calibration = calibrate(results)
    measured = measures(results, calibration)
    assert measured["ece"] < 1.0
    assert measured["brier"] == pytest.approx((0.8 * 0.2 + 0.1 * 0.9) / 2, abs=1e-3)


def test_half_an_answer_counts_for_less_than_its_f1() -> None:
    half = Read(features=(0.0, 0.0, 0.0, 0.0), exact=0.0, f1=0.5, answerable=True)
    assert half.right == 0.25
    assert calibrate([half] * 100).threshold == 0.0
    assert measures([half] * 100, calibrate([half] * 100))["ece"] == pytest.approx(25.0, abs=0.1)


def test_a_reader_that_ships_is_calibrated_anew_in_its_manifest(tmp_path: Path) -> None:
    weights = Path(shutil.copytree(WEIGHTS, tmp_path / "weights"))
    text = "The mill in Leith was built in 1750. It burned down later."
    groups = [
        {
            "id": "a",
            "question": "When was the mill built?",
            "passages": [text],
            "answers": [[0, 31, 35]],
            "relevant": [0],
        },
        {"id": "b", "question": "Who painted the ceiling?", "passages": [text], "answers": [], "relevant": []},
    ]
    (tmp_path / "groups.jsonl").write_text("".join(json.dumps(group) + "\n" for group in groups))
    calibration_.main(["--weights", str(weights), "--groups", str(tmp_path / "groups.jsonl")])
    before, after = LongformerReader.load(), LongformerReader.load(weights)
    assert after.name == before.name
    assert after.calibration != before.calibration
    assert after.read("When was the mill built?", [text]).answerable
    assert not after.read("Who painted the ceiling?", [text]).answerable
    assert json.loads((weights / "reader.json").read_text())["validation"]["threshold_f1"] == 100.0


def test_the_threshold_is_the_one_of_the_best_f1() -> None:
    import numpy as np

    results = [
        read(0.0, right=True),
        read(0.0, right=False, answerable=False),
        read(0.0, right=True),
        read(0.0, right=False, answerable=False),
    ]
    threshold, f1 = best_threshold(np.array([0.9, 0.3, 0.7, 0.2]), results)
    assert 0.3 < threshold < 0.7
    assert f1 == 1.0


def test_token_f1_counts_shared_words_once() -> None:
    assert token_f1("the red mill", "red red mill") == pytest.approx(2 * 2 / (2 + 3))
    assert token_f1("mill", "tower") == 0.0


def test_without_hard_negatives_what_does_not_answer_comes_from_anywhere(tmp_path: Path) -> None:
    mined = [
        MinedGroup(
            id=f"{number}",
            question="Where?",
            passages=[f"hard {number}", f"the mill of {number}.", f"harder {number}"][: 1 + 2 * (number % 2)],
            answers=[(1, 12, 12 + len(f"{number}"))] if number % 2 else [],
            relevant=[1] if number % 2 else [],
        )
        for number in range(100, 140)
    ]
    (tmp_path / "mined.jsonl").write_text("".join(json.dumps(vars(group)) + "\n" for group in mined))
    ablations.main(["--groups", str(tmp_path / "mined.jsonl"), "--out", str(tmp_path)])
    easy, answered = (read_groups(tmp_path / f"{name}.jsonl") for name in ("easy", "answered"))
    assert answered == [group for group in mined if group.answers]
    for group, made in zip(mined, easy, strict=True):
        assert replace(made, passages=group.passages) == group
        if group.answers:
            assert made.passages[1] == group.passages[1]
            assert not {made.passages[0], made.passages[2]} & set(group.passages)
            assert group.id not in made.passages[0] + made.passages[2]
        else:
            assert made == group
