"""Summary sets as rows of `{"id", "text" or "turns", "query", "references"}`; `with_budget` adds `words`."""

import ast
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.prose import count_words

Row = dict[str, Any]
Rows = Sequence[Row]


def with_budget(rows: Rows) -> list[Row]:
    """The rows with `words`, the mean length of all references of the set, the same for each."""
    lengths = [count_words(reference) for row in rows for reference in row["references"]]
    return [{**row, "words": round(sum(lengths) / len(lengths))} for row in rows]


def qmsum(meetings: Rows) -> dict[str, list[Row]]:
    """`qmsum_general` asks for the whole meeting and has no query; `qmsum_specific` has one a row."""

    def row(meeting: Row, mark: str, answered: Row) -> Row:
        return {"id": f"{meeting['id']}-{mark}", "turns": meeting["turns"], "references": [answered["answer"]]}

    general = [row(one, f"g{n}", asked) for one in meetings for n, asked in enumerate(one["general"])]
    specific = [
        row(one, f"s{n}", asked) | {"query": asked["query"]}
        for one in meetings
        for n, asked in enumerate(one["specific"])
    ]
    return {"qmsum_general": general, "qmsum_specific": specific}


def squality(stories: Rows) -> dict[str, list[Row]]:
    """`squality_overview` is the first question (the plot of the story), without it; the rest have queries."""
    overview, questions = [], []
    for story in stories:
        for question in story["questions"]:
            row = {
                "id": f"{story['metadata']['passage_id']}-{question['question_number']}",
                "text": story["document"],
                "references": [response["response_text"] for response in question["responses"]],
            }
            if question["question_number"] == 1:
                overview.append(row)
            else:
                questions.append(row | {"query": question["question_text"]})
    return {"squality_overview": overview, "squality_questions": questions}


def scisummnet(papers: Rows) -> dict[str, list[Row]]:
    """`scisummnet` is the paper as it is published, title and abstract first; `scisummnet_body` its sections alone.

    The abstract is left out where the first section repeats it.
    """
    whole, body = [], []
    for paper in papers:
        sections = [(section["title"], section["sentences"]) for section in paper["sections"]]
        repeated = bool(sections) and sections[0][1][:1] == paper["abstract"][:1]
        head = [paper["title"]] if repeated else [paper["title"], "Abstract", " ".join(paper["abstract"])]
        text = [part for title, sentences in sections for part in (title, " ".join(sentences)) if part.strip()]
        references = ["\n\n".join(paper["summary"])]
        whole.append({"id": paper["id"], "text": "\n\n".join([*head, *text]), "references": references})
        body.append({"id": paper["id"], "text": "\n\n".join(text), "references": references})
    return {"scisummnet": whole, "scisummnet_body": body}


def tweetsumm(dialogues: Rows) -> dict[str, list[Row]]:
    """Support dialogues; the reference summaries are a list in JSON or in Python's own notation."""
    rows = []
    for dialogue in dialogues:
        references = [reference for reference in _list(dialogue["abstractive_summaries"]) if reference.strip()]
        turns = _turns(dialogue["text"], r"\t?(Customer|Agent):\t?\s*(.*)")
        rows.append({"id": dialogue["dialog_id"], "turns": turns, "references": references})
    return {"tweetsumm": rows}


def aci_bench(encounters: Rows) -> dict[str, list[Row]]:
    """Doctor and patient; the reference is the clinical note."""
    rows = [
        {"id": row["encounter_id"], "turns": _turns(row["dialogue"], r"\[(\w+)\]\s*(.*)"), "references": [row["note"]]}
        for row in encounters
    ]
    return {"aci_bench": rows}


MAKERS: dict[str, Callable[[Rows], dict[str, list[Row]]]] = {
    "qmsum.jsonl": qmsum,
    "squality.jsonl": squality,
    "scisummnet.jsonl": scisummnet,
    "tweetsumm.jsonl": tweetsumm,
    "aci-bench.jsonl": aci_bench,
}


def _turns(text: str, pattern: str) -> list[dict[str, str]]:
    """Lines that name a speaker begin a turn; other lines go on with it."""
    turns: list[dict[str, str]] = []
    for line in text.split("\n"):
        match = re.match(pattern, line)
        if match:
            turns.append({"speaker": match.group(1), "content": match.group(2).strip()})
        elif line.strip() and turns:
            turns[-1]["content"] = f"{turns[-1]['content']} {line.strip()}".strip()
    return turns


def _list(text: str) -> Iterable[str]:
    try:
        values = json.loads(text)
    except ValueError:
        values = ast.literal_eval(text)
    return [str(value) for value in values]
