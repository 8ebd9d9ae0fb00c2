"""Summaries, measured: Lectern beside the baselines, the same budget of words for each.

`lectern` summarizes the document's text (turns become a transcript, a line a turn) through the service's own path
with `length: {"words": budget}` and the row's query. Its reply is taken whole, unless it is past 110% of the budget:
then its least salient sentences go. The baselines rank the sentences of the same text, split by the same splitter,
and are cut by `budget.fit`. In a transcript a turn's `Speaker:` is not part of the sentence, for any system.
Sentences of fewer than five words ("Yeah.", "Mm-hmm.") are no candidates for a baseline, unless the rest is shorter
than the budget: with them the centroid of a meeting is a list of grunts (ROUGE-1 1.3 instead of about 20), and
beating that would prove nothing.

A document on which a graph method passes its cap is a document that it `did_not_finish`: it is left out of that
system's means, and counted.
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, get_args

from app.evaluation.baselines import BASELINES, Baseline, Baselines
from app.evaluation.budget import fit, trim
from app.evaluation.errors import EvaluationError
from app.evaluation.output import rounded
from app.evaluation.progress import Progress, ProgressCallback, ignore_progress
from app.evaluation.rouge import Rouge, corpus_bleu, oracle_ranking, rouge
from app.evaluation.sets import SummaryRow, read_summaries, sample
from app.evaluation.target import LecternTarget
from app.prose import count_words
from retriever.sentences import split_sentences

if TYPE_CHECKING:
    from app.wiring import Lectern

OURS, ORACLE = "lectern", "oracle"
SYSTEMS = (OURS, *BASELINES)
FEWEST_WORDS = 5

_SPEAKER = re.compile(r"[^\s:][^:\n]{0,40}: ")


@dataclass(frozen=True, kw_only=True)
class SummaryMeasures:
    """The measures of one system over a set; ROUGE and BLEU are percentages, `words` and `seconds` means a document.

    All are None if it finished no document. `did_not_finish` counts those past the cap of time; `by_row` has the
    ROUGE of each finished one.
    """

    rouge1: float | None
    rouge2: float | None
    rougeLsum: float | None
    bleu: float | None
    words: float | None
    seconds: float | None
    did_not_finish: int
    by_row: Mapping[str, Rouge]

    def as_dict(self) -> dict[str, float | int | None]:
        """The object of a system in `lectern eval summaries --json`; `did_not_finish` is there where it is not 0."""
        names = ("rouge1", "rouge2", "rougeLsum", "bleu", "words", "seconds")
        measures: dict[str, float | int | None] = {name: rounded(getattr(self, name), 3) for name in names}
        return measures | ({"did_not_finish": self.did_not_finish} if self.did_not_finish else {})


class SummaryTarget(Protocol):
    """What can be asked for a summary."""

    def summarize(self, text: str, *, words: int, query: str | None) -> Sequence[tuple[str, float]]:
        """The sentences of the summary in their order, each with its salience."""


@dataclass
class _Tally:
    """What one system has made so far."""

    rows: list[SummaryRow] = field(default_factory=list)
    summaries: list[list[str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    scores: dict[str, Rouge] = field(default_factory=dict)
    did_not_finish: int = 0


def evaluate_summaries(
    lectern: "Lectern",
    path: Path,
    *,
    systems: Sequence[str] | None = None,
    limit: int | None = None,
    seed: int = 13,
    cap_seconds: float = 60.0,
    oracle: bool = False,
    progress: ProgressCallback | None = None,
) -> dict[str, SummaryMeasures]:
    """Summarize the rows of a file with every system, and measure.

    Args:
        lectern: the wired service; nothing is uploaded to it.
        path: rows of `{"id", "text" or "turns", "query", "references", "words"}`.
        systems: of `SYSTEMS`; default all, `query_similarity` where any row has a query.
        limit: take a seeded sample of this many rows.
        seed: of the sample.
        cap_seconds: for one document of TextRank or LexRank.
        oracle: measure the greedy ROUGE oracle too, which sees the references.
        progress: called after each row.

    Raises EvaluationError for a file that cannot be measured, or a system that does not exist.
    """
    rows = sample(read_summaries(path), limit, seed=seed)
    chosen = list(systems or SYSTEMS)
    unknown = sorted(set(chosen) - set(SYSTEMS))
    if unknown:
        raise EvaluationError(f"no such system: {', '.join(unknown)}; there are {', '.join(SYSTEMS)}")
    if not any(row.query for row in rows) and "query_similarity" in chosen:
        chosen.remove("query_similarity")
    target = LecternTarget(lectern)
    baselines = Baselines(lectern.encoder, cap_seconds=cap_seconds)
    try:
        names = [*chosen, ORACLE] if oracle else chosen
        return evaluate_systems(target, baselines, rows, systems=names, progress=progress or ignore_progress)
    finally:
        baselines.close()


def evaluate_systems(
    target: SummaryTarget,
    baselines: Baselines,
    rows: Sequence[SummaryRow],
    *,
    systems: Sequence[str],
    progress: ProgressCallback = ignore_progress,
) -> dict[str, SummaryMeasures]:
    """`evaluate_summaries` over anything that summarizes."""
    tallies = {system: _Tally() for system in systems}
    started = time.perf_counter()
    for done, row in enumerate(rows, start=1):
        sentences = candidates_of(row)
        references = [sentences_of(reference) for reference in row.references]
        for system, tally in tallies.items():
            made = _summary(system, target, baselines, row, sentences, references)
            if made is None:
                tally.did_not_finish += 1
                continue
            summary, seconds = made
            tally.rows.append(row)
            tally.summaries.append(summary)
            tally.seconds.append(seconds)
            tally.scores[row.id] = rouge(summary, references)
        progress(Progress(done=done, total=len(rows), unit="documents", elapsed_s=time.perf_counter() - started))
    return {system: _measures(tally) for system, tally in tallies.items()}


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, white space made single; in a transcript without the turns' `Speaker:`."""
    if is_transcript(text):
        pieces = [piece for line in text.split("\n") for piece in _split(without_speaker(line))]
    else:
        pieces = _split(text)
    return pieces or [" ".join(text.split())]


def candidates_of(row: SummaryRow) -> list[str]:
    """The sentences that baselines choose from: those that say something, or all where these are too few."""
    sentences = sentences_of(row.text)
    long = [sentence for sentence in sentences if count_words(sentence) >= FEWEST_WORDS]
    return long if sum(map(count_words, long)) >= row.words else sentences


def is_transcript(text: str) -> bool:
    """Whether most lines begin with a speaker; two lines at least, so that one `Note: ...` is none."""
    lines = [line for line in text.split("\n") if line.strip()]
    return len(lines) > 1 and 2 * sum(_SPEAKER.match(line) is not None for line in lines) > len(lines)


def without_speaker(line: str) -> str:
    """A line of a transcript without its `Speaker:`."""
    return _SPEAKER.sub("", line, count=1) if _SPEAKER.match(line) else line


def _split(text: str) -> list[str]:
    return [" ".join(text[sentence.start : sentence.end].split()) for sentence in split_sentences(text)]


def _summary(
    system: str,
    target: SummaryTarget,
    baselines: Baselines,
    row: SummaryRow,
    sentences: Sequence[str],
    references: Sequence[Sequence[str]],
) -> tuple[list[str], float] | None:
    if system == OURS:
        return _our_summary(target, row)
    words = [count_words(sentence) for sentence in sentences]
    if system == ORACLE:
        started = time.perf_counter()
        ranking: Sequence[int] = oracle_ranking(sentences, references, words, row.words)
        seconds = time.perf_counter() - started
    else:
        ranked = baselines.rank(_as_baseline(system), sentences, row.query)
        if ranked is None:
            return None
        ranking, seconds = ranked.ranking, ranked.seconds
    return [sentences[place] for place in fit(ranking, words, row.words)], seconds


def _our_summary(target: SummaryTarget, row: SummaryRow) -> tuple[list[str], float]:
    started = time.perf_counter()
    reply = target.summarize(row.text, words=row.words, query=row.query)
    seconds = time.perf_counter() - started
    sentences = [" ".join(text.split()) for text, _ in reply]
    kept = trim([salience for _, salience in reply], [count_words(text) for text in sentences], row.words)
    return [sentences[place] for place in kept], seconds


def _as_baseline(system: str) -> Baseline:
    for baseline in get_args(Baseline):
        if baseline == system:
            return baseline  # type: ignore[no-any-return]
    raise EvaluationError(f"no such system: {system}")


def _measures(tally: _Tally) -> SummaryMeasures:
    finished = len(tally.rows)
    if finished == 0:
        nothing = dict.fromkeys(("rouge1", "rouge2", "rougeLsum", "bleu", "words", "seconds"))
        return SummaryMeasures(**nothing, did_not_finish=tally.did_not_finish, by_row={})
    texts = [" ".join(summary) for summary in tally.summaries]
    scores = list(tally.scores.values())
    return SummaryMeasures(
        rouge1=100 * sum(score.rouge1 for score in scores) / finished,
        rouge2=100 * sum(score.rouge2 for score in scores) / finished,
        rougeLsum=100 * sum(score.rougeLsum for score in scores) / finished,
        bleu=corpus_bleu(texts, [row.references for row in tally.rows]),
        words=sum(count_words(text) for text in texts) / finished,
        seconds=sum(tally.seconds) / finished,
        did_not_finish=tally.did_not_finish,
        by_row=tally.scores,
    )
