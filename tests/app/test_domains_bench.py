import json

from bench.domains import DOCUMENTS, read_domains


def test_each_document_has_its_questions_and_what_answers_them_stands_in_it() -> None:
    qa = read_domains()
    assert len(qa.titles) == 11
    for article, title in enumerate(qa.titles):
        (text,) = qa.paragraphs[article]
        items = [item for item in qa.items if item.article == article]
        assert (len(items), sum(bool(item.answers) for item in items)) == (36, 24), title
        assert len({item.question for item in items}) == 36
        assert all(answer in text for item in items for answer in item.answers)


def test_a_question_names_where_its_answer_stands_or_what_only_seems_to_answer() -> None:
    for path in DOCUMENTS.glob("*.json"):
        (file,) = (other for other in DOCUMENTS.glob(f"{path.stem}.*") if other != path)
        text = file.read_text(encoding="utf-8")
        for row in json.loads(path.read_text(encoding="utf-8")):
            assert row["evidence"] in text
            assert not row["answers"] or row["answers"][0] in row["evidence"]
