"""FairytaleQA as a SQuAD-format file: the questions whose answer stands word for word in the story.

A section is a paragraph, a story an article. White space is not compared, since the stories are hard-wrapped and the
answers are not. The context's own characters are the answer text.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any


def fairytale_as_squad(stories: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The literal questions of the stories; `answer_start` is the first occurrence in a section that the set names."""
    return {"version": "1.1", "data": [_story(story) for story in stories]}


def _story(story: Mapping[str, Any]) -> dict[str, Any]:
    paragraphs: list[dict[str, Any]] = [{"context": section, "qas": []} for section in story["sections"]]
    for number, question in enumerate(story["questions"]):
        found = _literal_answers(story["sections"], question)
        if found is not None:
            place, answers = found
            row = {"id": f"{story['id']}-{number}", "question": question["question"], "answers": answers}
            paragraphs[place]["qas"].append(row)
    return {"title": story["id"].replace("-", " "), "paragraphs": paragraphs}


def _literal_answers(sections: list[str], question: Mapping[str, Any]) -> tuple[int, list[dict[str, Any]]] | None:
    """The first of the question's sections in which an answer stands, and every answer that stands there."""
    named = [int(number) - 1 for number in re.findall(r"\d+", str(question["sections"]))]
    for place in (number for number in named if 0 <= number < len(sections)):
        answers = [
            found for answer in dict.fromkeys(question["answers"]) if (found := word_for_word(sections[place], answer))
        ]
        if answers:
            return place, answers
    return None


def word_for_word(section: str, answer: str) -> dict[str, Any] | None:
    """Where an answer stands in a section as whole words, in SQuAD's form; in any case where not in its own."""
    words = answer.strip().rstrip(".").split()
    if not words:
        return None
    pattern = r"\s+".join(map(re.escape, words))
    match = re.search(rf"(?<!\w){pattern}(?!\w)", section) or re.search(
        rf"(?<!\w){pattern}(?!\w)", section, re.IGNORECASE
    )
    return {"text": match.group(), "answer_start": match.start()} if match else None
