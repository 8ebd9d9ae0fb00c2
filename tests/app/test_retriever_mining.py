import json
from pathlib import Path

import pytest

from app import realm_training, retriever_mining
from app.retriever_mining import RetrievalSet, cloze_pairs, contrastive_pairs, make, span_examples, with_relevance
from model.towers import name_of
from model.training import retriever
from model.training.pairs import Pair, read_corpus, read_pairs
from model.training.realm import read_examples
from model.weights_files import WEIGHTS
from retriever.versions import VersionedIndex

PASSAGES = [
    f"The mill of owner number {n} stands in Town{n}. It was built in {1700 + n} by the miller's own hands."
    for n in range(60)
]
DATA = RetrievalSet(
    passages=PASSAGES,
    queries=[f"When was the mill in Town{n} built?" for n in range(60)],
    positive=[[n] for n in range(60)],
    held=[n % 10 == 0 for n in range(60)],
    answers=[str(1700 + n) if n % 2 else None for n in range(60)],
)


def find(query: str, k: int) -> list[int]:
    """Every passage, in order: the first few are everybody's hard negatives."""
    return list(range(min(k, 60)))


def read(question: str, passages) -> list[float]:  # type: ignore[no-untyped-def]
    return [float(len(passage) % 7) for passage in passages]


def test_a_cloze_pair_mostly_hides_the_sentence_from_its_passage() -> None:
    pairs = [pair for pair, _ in cloze_pairs(DATA, seed=0)]
    assert len(pairs) == 60
    kept = sum(pair.query in pair.passages[0] for pair in pairs)
    assert 0 < kept < 15  # one of ten
    assert all(pair.positive == (0,) for pair in pairs)


def test_hard_negatives_are_what_a_search_finds_and_never_what_answers() -> None:
    pairs = [pair for pair, _ in contrastive_pairs(DATA, find, seed=0)]
    assert len(pairs) == 60
    for place, pair in enumerate(pairs):
        assert pair.passages[0] == PASSAGES[place]
        assert len(pair.passages) == 5
        assert PASSAGES[place] not in pair.passages[1:]
        assert set(pair.passages[1:]) <= set(PASSAGES[:18])
    assert len({pair.passages[1:] for pair in pairs}) > 10  # not always the same few


def test_a_mixed_row_has_what_answers_and_shares_of_the_largest_bm25(tmp_path: Path) -> None:
    assert make(DATA, tmp_path, step="mixed", find=find, read=read, seed=0) == {"train": 54, "validation": 6}
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert rows[0]["query"] == DATA.queries[1]
    for row, place in zip(rows, [n for n in range(60) if n % 10], strict=True):
        assert row["positive"] == [place]
        assert row["sparse"][0] == [place, 1.0]  # only its passage names the town
        shares = [share for _, share in row["sparse"]]
        assert shares == sorted(shares, reverse=True)
        assert len(shares) == 60
    assert read_corpus(tmp_path / "corpus.jsonl") == dict(enumerate(PASSAGES))


def test_the_reader_reads_the_passages_that_the_mix_finds_first(tmp_path: Path) -> None:
    columns = {"passages": PASSAGES, "queries": DATA.queries, "positive": DATA.positive, "held": DATA.held}
    (tmp_path / "set.json").write_text(json.dumps(columns))
    retriever_mining.main(
        ["--set", str(tmp_path / "set.json"), "--step", "mixed", "--out", str(tmp_path / "out"), "--read", "3"]
    )
    rows = [json.loads(line) for line in (tmp_path / "out/train.jsonl").read_text().splitlines()]
    read = [row for row in rows if "read" in row]
    assert (len(rows), len(read)) == (54, 3)
    for row in read:
        assert len(row["read"]) == 20
        logits = dict(row["read"])
        assert max(logits, key=lambda key: logits[key]) == row["positive"][0]  # only its passage names the town


def test_a_part_of_a_set_is_whole_documents_with_all_that_they_answer(tmp_path: Path) -> None:
    columns = {**vars(DATA), "group": [n // 4 for n in range(60)]}
    columns["positive"] = [[n, (n + 1) % 60] if n % 4 == 3 else [n] for n in range(60)]
    (tmp_path / "set.json").write_text(json.dumps(columns))
    part = RetrievalSet.read(tmp_path / "set.json", most=22)
    for query, answer in zip(part.queries, part.answers, strict=True):
        assert answer == DATA.answers[DATA.queries.index(query)]
    assert len(part.passages) == 20
    documents = {PASSAGES.index(text) // 4 for text in part.passages}
    assert len(documents) == 5
    for query, positive in zip(part.queries, part.positive, strict=True):
        assert part.passages[positive[0]] == PASSAGES[DATA.queries.index(query)]
    assert len(part.queries) >= 15  # those that are answered by another document too go with it
    assert RetrievalSet.read(tmp_path / "set.json", most=60).queries == DATA.queries


def test_relevance_is_the_readers_of_each_passage_of_the_pair() -> None:
    pair = with_relevance(Pair(id="1", query="q", passages=("abc", "abcd"), positive=(0,)), read)
    assert pair.relevance == (3.0, 4.0)


def test_a_span_example_knows_its_passage_and_its_answer_stands_there() -> None:
    examples = [example for example, _ in span_examples(DATA, seed=0)]
    assert len(examples) == 60
    for example in examples:
        assert example.source is not None
        assert example.answer in PASSAGES[example.source]
        assert example.answer not in example.question.removesuffix(".").split()


def test_a_query_with_an_answer_is_an_example_that_may_retrieve_any_passage(tmp_path: Path) -> None:
    assert make(DATA, tmp_path, step="questions", find=find, read=read, seed=0) == {"train": 30, "validation": 0}
    examples = read_examples(tmp_path / "train.jsonl")
    assert [(one.question, one.answer) for one in examples[:2]] == [
        (DATA.queries[1], "1701"),
        (DATA.queries[3], "1703"),
    ]
    assert {one.source for one in examples} == {None}
    assert read_corpus(tmp_path / "corpus.jsonl") == dict(enumerate(PASSAGES))


@pytest.mark.parametrize("step", ["cloze", "contrastive", "distillation", "spans"])
def test_what_is_written_is_what_the_recipes_read_and_nothing_is_in_both_files(tmp_path: Path, step) -> None:  # type: ignore[no-untyped-def]
    counts = make(DATA, tmp_path, step=step, find=find, read=read, seed=0)
    reads = read_examples if step == "spans" else read_pairs
    train, validation = (reads(tmp_path / f"{name}.jsonl") for name in ("train", "validation"))
    assert counts == {"train": len(train), "validation": len(validation)}
    assert not {one.id for one in train} & {one.id for one in validation}
    assert len(train) + len(validation) == 60
    if step in ("contrastive", "distillation"):
        assert {one.id for one in validation} == {str(n) for n in range(0, 60, 10)}
    if step == "spans":
        assert read_corpus(tmp_path / "corpus.jsonl") == dict(enumerate(PASSAGES))
    assert all(bool(one.relevance) is (step == "distillation") for one in train if isinstance(one, Pair))


def test_a_set_whose_columns_do_not_fit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "set.json"
    file.write_text(json.dumps({"passages": ["a"], "queries": ["q"], "positive": [[0]], "held": [True], "answers": []}))
    with pytest.raises(ValueError, match="of one length"):
        RetrievalSet.read(file)


def test_the_steps_run_one_after_the_other_from_the_command_line(tmp_path: Path) -> None:
    """Pairs, towers trained on them, pairs mined once more by the towers, and the marginal likelihood from there."""
    columns = {"passages": PASSAGES, "queries": DATA.queries, "positive": DATA.positive, "held": DATA.held}
    (tmp_path / "set.json").write_text(json.dumps(columns))

    def mine(step: str, out: str, *more: str) -> None:
        retriever_mining.main(
            ["--set", str(tmp_path / "set.json"), "--step", step, "--out", str(tmp_path / out), *more]
        )

    mine("contrastive", "pairs")
    towers = str(tmp_path / "towers")
    pairs = ["--pairs", str(tmp_path / "pairs/train.jsonl"), "--validation", str(tmp_path / "pairs/validation.jsonl")]
    retriever.main([*pairs, "--out", towers, "--steps", "2", "--batch", "4"])
    mine("contrastive", "again", "--towers", towers)
    first, again = ((tmp_path / name / "train.jsonl").read_text() for name in ("pairs", "again"))
    assert first != again, "other hard negatives"
    mine("spans", "spans")
    realm_training.main(
        [
            *("--examples", str(tmp_path / "spans/train.jsonl"), "--corpus", str(tmp_path / "spans/corpus.jsonl")),
            *("--validation", str(tmp_path / "pairs/validation.jsonl"), "--init", towers, "--reader", str(WEIGHTS)),
            *("--out", str(tmp_path / "realm"), "--steps", "2", "--batch", "2", "--k", "3"),
        ]
    )
    measured = json.loads((tmp_path / "realm/measures.json").read_text())
    assert set(measured) == {"before", "after"}
    assert measured["before"] == json.loads((tmp_path / "towers/measures.json").read_text())["after"]
    log = json.loads((tmp_path / "realm/progress.json").read_text())["curve"]
    assert {"utility", "stale"} <= set(log[-1])
    assert VersionedIndex(tmp_path / "realm/index").version.encoder == name_of(tmp_path / "towers")
