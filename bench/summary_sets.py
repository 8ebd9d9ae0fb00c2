"""Summary sets as rows of `{"id", "text" or "turns", "query", "references"}`; `with_budget` adds `words`."""

import ast
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from app.prose import count_words
from bench.records import letters_of
from retriever.sentences import split_sentences

FEWEST_LEAD = 40  # words of a first paragraph that sums an article up

Row = dict[str, Any]
Rows = Sequence[Row]


def with_budget(rows: Rows) -> list[Row]:
    """The rows with `words`, the mean length of all references of the set, the same for each."""
    lengths = [count_words(reference) for row in rows for reference in row["references"]]
    return [{**row, "words": round(sum(lengths) / len(lengths))} for row in rows]


def qmsum(meetings: Rows) -> dict[str, list[Row]]:
    """`qmsum_general` is about the whole meeting; `qmsum_specific` has a query, and the turns that it is about."""

    def row(meeting: Row, mark: str, answered: Row) -> Row:
        return {"id": f"{meeting['id']}-{mark}", "turns": meeting["turns"], "references": [answered["answer"]]}

    general = [row(one, f"g{n}", asked) for one in meetings for n, asked in enumerate(one["general"])]
    specific = [
        row(one, f"s{n}", asked) | {"query": asked["query"], "relevant": asked["relevant_text_span"]}
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
    """`scisummnet` is the paper as it is published, abstract first; `scisummnet_body` its sections alone.

    The abstract is left out where the first section repeats it. Every reference of the set begins with the paper's
    title: it is taken out of text and references, since it is no sentence, and a lead would win by it. A summary that
    is only the title is none.
    """
    whole, body = [], []
    for paper in papers:
        sections = [(section["title"], section["sentences"]) for section in paper["sections"]]
        repeated = bool(sections) and sections[0][1][:1] == paper["abstract"][:1]
        head = [] if repeated else ["Abstract", " ".join(paper["abstract"])]
        text = [part for title, sentences in sections for part in (title, " ".join(sentences)) if part.strip()]
        title = letters_of(paper["title"])
        references = ["\n\n".join(line for line in paper["summary"] if letters_of(line) != title)]
        if not references[0]:
            continue
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


def mts_dialog(visits: Rows) -> dict[str, list[Row]]:
    """Short visits; the reference is the section of the note that was written of each."""
    rows = [
        {
            "id": row["ID"],
            "turns": _turns(row["dialogue"], r"(\w+(?: \w+)?):\s*(.*)"),
            "references": [row["section_text"]],
        }
        for row in visits
    ]
    return {"mts_dialog": [row for row in rows if sum(len(turn["content"]) for turn in row["turns"]) > 400]}


def articles(texts: Iterable[tuple[str, str]]) -> list[Row]:
    """(id, text) of encyclopedia articles, a paragraph a line: the first paragraph is the summary of the others."""
    rows = []
    for name, text in texts:
        lead, _, body = text.strip().partition("\n")
        if count_words(lead) >= FEWEST_LEAD:
            rows.append({"id": name, "text": body, "references": [lead]})
    return rows


def asked_articles(squad: Mapping[str, Any], *, each: int, seed: int) -> list[Row]:
    """Whole articles with questions that one sentence answers: that sentence is the summary. `each` of an article."""
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    rows = []
    for article in squad["data"]:
        contexts = [paragraph["context"] for paragraph in article["paragraphs"]]
        asked = [
            (context, question)
            for context, it in zip(contexts, article["paragraphs"], strict=True)
            for question in it["qas"]
        ]
        for context, question in chance.sample(asked, min(each, len(asked))):
            at = question["answers"][0]["answer_start"]
            holding = [s for s in split_sentences(context) if s.start <= at < s.end]
            if holding:
                sentence = context[holding[0].start : holding[0].end]
                rows.append(
                    {
                        "id": question["id"],
                        "text": "\n".join(contexts),
                        "query": question["question"],
                        "references": [sentence],
                    }
                )
    return rows


MAKERS: dict[str, Callable[[Rows], dict[str, list[Row]]]] = {
    "qmsum.jsonl": qmsum,
    "squality.jsonl": squality,
    "scisummnet.jsonl": scisummnet,
    "tweetsumm.jsonl": tweetsumm,
    "aci-bench.jsonl": aci_bench,
    "mts-dialog.jsonl": mts_dialog,
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
