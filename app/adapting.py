"""Adapts a collection's retriever to it, without labels and in minutes: a durable job.

Questions are made of the collection (app/adaptation_sets.py). Under several mixes they are searched for, and the best
is chosen; where users gave questions, a low-rank map on query vectors is fitted, and chosen or not. What was chosen is
then judged against what the collection is searched by now, on questions of other documents and of other kinds, and
takes over only where it is better beyond chance. Until then nothing changes: cancelled or killed, the job leaves the
old retriever in place.

In the mode `full` it is the encoder's upper layers that are learned, and all passages are embedded anew by them
(app/encoder_trial.py); they are chosen, judged and promoted as a map is.
"""

import itertools
import resource
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from app.adaptation_sets import GIVEN, Asked, Given, Questions, make_questions
from app.adapted import Tunings
from app.encoder_trial import Trial, Trying
from app.encoders import Encoders
from app.errors import NotTried
from app.evaluation.ranking import ndcg_at, recall_at
from app.evaluation.statistics import bootstrap, paired_bootstrap
from app.related_words import RelatedWords
from app.schemas import (
    AdaptCounts,
    AdaptedMix,
    AdaptKind,
    AdaptMeasure,
    AdaptResult,
    AdaptRetrievers,
    MeasuredInterval,
    RollbackReply,
)
from retriever.dense import DenseIndex
from retriever.errors import Conflict, NotFound
from retriever.hybrid import Candidates, HybridRetriever
from retriever.store import DEFAULT_COLLECTION, Embedded, Job, Store
from retriever.tuning import Mix, QueryMap, Tuning

KIND = "adapt"
DEPTH = 10  # of a ranking that is measured
UNIT = "seconds"
MOST_PASSAGES = 20_000  # that questions are made of; all are searched
FEWEST_JUDGED = 40  # questions: below it nothing can be told from chance
MARGIN = 0.01  # of nDCG or recall: what a kind of question may lose where all together gain
FEWEST_LEARNED = 5  # questions of users, from which a map is fitted to them and to made ones
ENOUGH_GIVEN = 40  # judged questions of users, from which they alone decide
STEPS = 600
NEARBY = WHOLE = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
SHARES = (0.25, 0.5, 1.0)  # of the way to a mix, judged one after the other
WEIGHTS = (0.2, 0.3, 0.5, 0.6)  # tried where users gave questions: made ones repeat the passages' words too well
ENCODED, TRAINED, CHOSEN = 0.2, 0.3, 0.65  # shares of the budget by which each step is over
CHOSEN_FULL = 0.9  # where passages are embedded anew; what comes before is in app/encoder_trial.py
SLICE = 16  # questions encoded at once: what a user's question waits for


class Progress(Protocol):
    """What a run needs of its job's context."""

    def progress(self, done: int, total: int | None, unit: str | None, *, force: bool = False) -> None:
        """Report; raises Cancelled and Stopping."""


class Budget:
    """The seconds that a run may take, told to its job as they pass."""

    def __init__(self, seconds: float, context: Progress) -> None:
        self._started, self._seconds, self._context = time.monotonic(), seconds, context

    @property
    def seconds(self) -> float:
        """All of them."""
        return self._seconds

    @property
    def spent(self) -> float:
        """Those that have passed."""
        return time.monotonic() - self._started

    def left(self, until: float, *, force: bool = False) -> bool:
        """Whether this share of the budget is not used up yet. Raises Cancelled and Stopping."""
        done = min(int(self.spent), int(self._seconds))
        self._context.progress(done, int(self._seconds), UNIT, force=force)
        return self.spent < until * self._seconds


class Adapting:
    """Runs adaptations, one at a time for a collection, and takes the last promotion back."""

    def __init__(self, store: Store, retriever: HybridRetriever, encoders: Encoders, tunings: Tunings) -> None:
        self._store, self._retriever, self._encoders, self._tunings = store, retriever, encoders, tunings
        self._lock = threading.Lock()
        self._running: set[int] = set()

    def run(self, job: Job, context: Progress) -> Mapping[str, Any]:
        """Adapt the collection of the job. Raises NotFound, Conflict while another job adapts it, and as `progress`."""
        name = str(job.payload["collection"])
        number = self._store.collection_number(job.tenant, name)
        if number is None and name != DEFAULT_COLLECTION:
            raise NotFound(f"no collection {name!r}")
        with self._alone(number or 0):
            current = self._tunings.state(job.tenant, name).current
            if number is not None and current is not None and current.facts.get("job") == job.id:
                self._tunings.take_up(job.tenant, name, number)
                return dict(current.facts["result"])  # promoted, and killed before it could say so
            run = self.begin(job, context, current)
            tuning, result = run.adapt()
            run.budget.left(1.0, force=True)  # the last moment at which cancelling it changes anything
            if tuning is not None and number is not None:
                facts = {"job": job.id, "result": result.model_dump(mode="json")}
                self._promote(job.tenant, name, number, replace(tuning, facts=facts), run.embedded(tuning))
            return result.model_dump(mode="json")

    def begin(self, job: Job, context: Progress, current: Tuning | None) -> "Run":
        """An adaptation of a collection that is searched by `current`; nothing is promoted by it alone."""
        budget = Budget(float(job.payload["budget_seconds"]), context)
        return Run(self._store, self._retriever, self._encoders, budget, job, current)

    def _promote(self, tenant: str, name: str, number: int, tuning: Tuning, embedded: Embedded | None) -> None:
        """Promote, with what was added to the collection since its passages were embedded."""
        while missing := self._tunings.promote(tenant, name, number, tuning, embedded=embedded):
            assert embedded is not None  # noqa: S101 - for the type checker: else nothing is missing
            vectors = self._encoders.of(tuning, "bulk").encode_passages([text for _, text in missing])
            keys = [*embedded.keys, *(key for key, _ in missing)]
            embedded = replace(embedded, keys=keys, vectors=np.concatenate([embedded.vectors, vectors]))

    def rollback(self, tenant: str, collection: str) -> RollbackReply:
        """Search by what was before the last promotion again. Raises NotFound and Conflict."""
        self._tunings.rollback(tenant, collection)
        return RollbackReply(collection=collection, retriever=self._retriever.version(tenant, collection))

    @contextmanager
    def _alone(self, number: int) -> Iterator[None]:
        with self._lock:
            if number in self._running:
                raise Conflict("another job adapts this collection: wait for it, or cancel it")
            self._running.add(number)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(number)


class Run:
    """One adaptation, from the collection to what it has learned and how that was judged."""

    def __init__(
        self,
        store: Store,
        retriever: HybridRetriever,
        encoders: Encoders,
        budget: Budget,
        job: Job,
        current: Tuning | None,
    ) -> None:
        self.budget = budget
        self._store, self._retriever, self._encoders = store, retriever, encoders
        self._tenant, self._name = job.tenant, str(job.payload["collection"])
        self._given = [Given(**one) for one in job.payload.get("questions") or ()]
        self._mode = str(job.payload.get("mode", "query"))
        self._encoder = encoders.of(None, "bulk")
        if current is not None and not retriever.fits(current):
            current = None  # of other vectors: searches do not go by it
        self._before = current or Tuning(encoder=self._encoder.version, queries=retriever.asked, mix=retriever.mix)
        self._trial: Trial | None = None
        self.chosen: Tuning | None = None  # what was judged, promoted or not

    def adapt(self) -> tuple[Tuning | None, AdaptResult]:
        """The tuning to promote, None where it is not better beyond chance, and the result of the job."""
        before = self._before
        ids = self._store.matching(self._tenant, collection=self._name)
        found = self._store.visible_passages(self._tenant, ids, encoder=before.vectors, collection=self._name)
        questions = make_questions(itertools.islice(found, MOST_PASSAGES), self._given, related=RelatedWords(), seed=13)
        unusable = questions.unusable
        if len(questions.judge) < FEWEST_JUDGED:
            reason = f"too little to judge by: {len(questions.judge)} questions, {FEWEST_JUDGED} are needed"
            return None, self._result((0, 0, unusable), [], before, reason)
        try:
            tried, learned = self._try_encoder(questions) if self._mode == "full" else self._fit(questions)
        except NotTried as error:
            return None, self._result((0, 0, unusable), [], before, str(error))
        ways, used = self._choose(questions.choose, before, tried)
        rankings = self._judge(questions.judge, [before, *ways])
        place, promoted, reason = _decided(rankings, [way.layers is not before.layers for way in ways])
        reason = reason if used else OUT_OF_TIME
        chosen = [before, *ways][place]
        self.chosen = chosen
        result = self._result((learned, used, unusable), _beside(rankings, 0, place), chosen, reason, promoted=promoted)
        return (chosen if promoted else None), result

    def embedded(self, tuning: Tuning) -> Embedded | None:
        """The vectors that come with a tuning; None where the store has them already."""
        return self._trial.embedded if self._trial is not None and self._is_trial(tuning) else None

    def own(self, tuning: Tuning) -> DenseIndex | None:
        """The index in memory of a tuning whose vectors are not in the store yet."""
        return self._trial.index if self._trial is not None and self._is_trial(tuning) else None

    def _is_trial(self, tuning: Tuning) -> bool:
        return self._trial is not None and tuning.layers is self._trial.tuning.layers

    def _try_encoder(self, questions: Questions) -> tuple[Tuning | None, int]:
        """An encoder of the collection's own, and how many questions it learned from. Raises NotTried."""
        trying = Trying(self._store, self._encoders, self.budget)
        self._trial = trying.run(self._tenant, self._name, questions.learn, self._before)
        return self._trial.tuning, self._trial.learned

    def _fit(self, questions: Questions) -> tuple[Tuning | None, int]:
        """A map on query vectors, fitted to as many questions as the budget lets be encoded; how many they were.

        None without users' questions to learn from: fitted to made ones alone it finds more of those, whatever they are
        judged by, and less of what people ask (CONTRIBUTING.md has the measures).
        """
        if sum(one.kind == GIVEN for one in questions.learn) < FEWEST_LEARNED:
            return None, 0
        from model.training.query_map import fit_query_map

        own = self._before.layers is not None
        encode = self._encoders.of(self._before, "bulk").encode_queries if own else self._retriever.encode_queries
        vectors: list[Any] = []
        for at in range(0, len(questions.learn), SLICE):
            if not self.budget.left(ENCODED):
                break
            texts = [one.text for one in questions.learn[at : at + SLICE]]
            vectors.extend(encode(texts))
        if not vectors:
            return None, 0
        keys = sorted(questions.vectors)
        place = {key: row for row, key in enumerate(keys)}
        positive = np.array([place[min(one.relevant)] for one in questions.learn[: len(vectors)]], dtype=np.int64)
        passages = np.stack([questions.vectors[key] for key in keys]).astype(np.float32)
        down, up = fit_query_map(
            np.stack(vectors), passages, positive, steps=STEPS, report=lambda _: self.budget.left(TRAINED)
        )
        return replace(self._before, map=QueryMap(down=down, up=up)), len(vectors)

    def _choose(self, asked: Sequence[Asked], before: Tuning, learned: Tuning | None) -> tuple[list[Tuning], int]:
        """What to judge, and by how many questions it was chosen: the best mix, and the best with what was learned.

        To each the way is judged in steps: around an optimum of other questions than these a loss grows with the square
        of the distance, so that halfway a quarter of it is left, and more than half of the gain.

        A mix has to be better here than what is there now, but for a chance of one in ten, and on no kind of question
        worse by more than half of MARGIN; what was learned has to be better than such a mix, as from made questions it
        learns to find others of their making.
        """
        given = sum(one.kind == GIVEN for one in asked)
        weights = {before.mix.weight, *(WEIGHTS if given >= ENOUGH_GIVEN // 2 else ())}
        mixes = [
            replace(before.mix, weight=w, nearby=n, whole=a) for w in sorted(weights) for n in NEARBY for a in WHOLE
        ]
        tried = [before, *([learned] if learned is not None else [])]
        until = CHOSEN_FULL if self._mode == "full" else CHOSEN
        scores: dict[tuple[int, Mix], dict[str, list[float]]] = {}
        for one in asked:
            if not self.budget.left(until):
                break
            for number, tuning in enumerate(tried):
                candidates = self._candidates(one, tuning)
                for mix in {before.mix, *mixes}:
                    ranking = self._retriever.ranking(candidates, mix, k=DEPTH)
                    scores.setdefault((number, mix), {}).setdefault(one.kind, []).append(_ndcg(ranking, one))
        standing = unchanged = (0, before.mix)
        ways = []
        for number in range(len(tried) if scores else 0):
            best = _best(scores, unchanged, number)
            if best != standing and _surely(scores[best], scores[standing]):
                standing = best
                stops = dict.fromkeys(before.mix.towards(best[1], share) for share in SHARES)
                ways += [replace(tried[number], mix=mix, facts={}) for mix in stops]
        return ways, sum(map(len, scores.get(unchanged, {}).values()))

    def _judge(self, asked: Sequence[Asked], ways: Sequence[Tuning]) -> "_Judged":
        """For each question its kind and [nDCG, recall] of each way."""
        rows = []
        for number, one in enumerate(asked):
            if not self.budget.left(1.0) and number >= FEWEST_JUDGED:
                break
            rankings = [self._retriever.ranking(self._candidates(one, way), way.mix, k=DEPTH) for way in ways]
            rows.append((one.kind, [(_ndcg(ranking, one), _recall(ranking, one)) for ranking in rankings]))
        return rows

    def _candidates(self, one: Asked, tuning: Tuning) -> Candidates:
        return self._retriever.candidates(
            self._tenant, one.text, collection=self._name, tuning=tuning, own=self.own(tuning)
        )

    def _result(
        self,
        counts: tuple[int, int, int],
        rows: Sequence[tuple[str, list[float]]],
        after: Tuning,
        reason: str,
        *,
        promoted: bool = False,
    ) -> AdaptResult:
        kinds = sorted({kind for kind, _ in rows})
        before = self._before
        plain = before.map is None and before.layers is None and before.mix == self._retriever.mix
        learned, chosen, unusable = counts
        return AdaptResult(
            promoted=promoted,
            reason=reason,
            mode=self._mode,
            retriever=AdaptRetrievers(
                before=self._retriever.version(self._tenant, None) if plain else before.version,
                after=after.version if rows else None,
            ),
            ndcg_at_10=_measure([row[0:2] for _, row in rows]),
            recall_at_5=_measure([row[2:4] for _, row in rows]),
            kinds={kind: _kind([row for each, row in rows if each == kind]) for kind in kinds},
            mix=AdaptedMix(**vars(after.mix), map=after.map is not None, encoder=after.layers is not None),
            questions=AdaptCounts(learned=learned, chosen=chosen, judged=len(rows), unusable=unusable),
            seconds=round(self.budget.spent, 2),
            peak_memory_mb=_peak_memory_mb(),
        )


NOTHING_BETTER = "nothing better was found than what the collection is searched by"
OUT_OF_TIME = "the budget was over before anything was tried: give it more seconds"

_Judged = Sequence[tuple[str, Sequence[tuple[float, float]]]]
"""Each question's kind, and (nDCG, recall) of each way."""


def _beside(judged: _Judged, one: int, other: int) -> list[tuple[str, list[float]]]:
    """For each question its kind and [nDCG of one, of the other, recall of one, of the other]."""
    return [(kind, [ways[one][0], ways[other][0], ways[one][1], ways[other][1]]) for kind, ways in judged]


def _decided(judged: _Judged, encoders: Sequence[bool]) -> tuple[int, bool, str]:
    """Which way (1 and on; 0 is what is there now) takes over, or was judged last; whether it does; why.

    Each has to be better than what is there now and than the best one before it, the surer the more of them there are.
    `encoders` tells which ways have an encoder of their own. It has to be better than the best way without on each kind
    of question: from single passages it learns to find single passages, and in the mean of all kinds that alone may do.
    """
    count = len(encoders)
    confidence = 1 - 0.05 / max(count, 1)  # Bonferroni's correction
    standing, reason = 0, NOTHING_BETTER
    for place in range(1, count + 1):
        verdicts = [_verdict(_beside(judged, other, place), confidence) for other in sorted({0, standing})]
        if encoders[place - 1] and not (standing and encoders[standing - 1]):
            verdicts.append(_on_each_kind(_beside(judged, standing, place)))
        refused = next((why for passed, why in verdicts if not passed), None)
        if refused is None:
            standing, reason = place, verdicts[0][1]
        elif not standing:
            reason = refused
    return (standing or count), standing > 0, reason


def _best(
    scores: Mapping[tuple[int, Mix], Mapping[str, Sequence[float]]], unchanged: tuple[int, Mix], number: int
) -> tuple[int, Mix]:
    """Of the ways with this number, the one of the highest mean over kinds, which count the same whatever their sizes.

    None is taken that loses more than half of MARGIN on some kind: those who judge by other questions would refuse it,
    and what gains a little less may pass. Equals go to what changes nothing, or little.
    """
    means = {way: {kind: float(np.mean(values)) for kind, values in of.items()} for way, of in scores.items()}
    least = {kind: mean - MARGIN / 2 for kind, mean in means[unchanged].items()}
    return max(
        (way for way in scores if way[0] == number and all(means[way][kind] >= least[kind] for kind in least)),
        key=lambda way: (
            round(float(np.mean(list(means[way].values()))), 6),
            way == unchanged,
            -way[1].nearby - way[1].whole,
        ),
        default=unchanged,
    )


def _verdict(rows: Sequence[tuple[str, list[float]]], confidence: float = 0.95) -> tuple[bool, str]:
    """Whether what was learned takes over: nDCG@10 better beyond chance, and no kind of question worse.

    A kind is worse where it is beyond chance, and by more than MARGIN. Recall@5, which is what a reader gets, must not
    be lower at all. Users' questions decide alone where there are enough of them.
    """
    given = [(kind, row) for kind, row in rows if kind == GIVEN]
    rows = given if len(given) >= ENOUGH_GIVEN else rows
    deciding = [row for _, row in rows]
    for kind in sorted({kind for kind, _ in rows}):
        of_kind = [row for each, row in rows if each == kind]
        for name, at in (("nDCG@10", 0), ("recall@5", 2)):
            difference = paired_bootstrap([row[at + 1] for row in of_kind], [row[at] for row in of_kind])
            if difference.high < 0 and difference.mean < -MARGIN:
                return False, f"{name} is lower on questions of the kind '{kind}'"
    difference = paired_bootstrap([row[1] for row in deciding], [row[0] for row in deciding], confidence=confidence)
    if difference.low > 0 and np.mean([row[3] - row[2] for row in deciding]) < 0:
        return False, "nDCG@10 is higher, but recall@5 is lower"
    if difference.low > 0:
        return True, "nDCG@10 is higher beyond chance"
    return False, "the difference in nDCG@10 may be chance"


def _on_each_kind(rows: Sequence[tuple[str, list[float]]]) -> tuple[bool, str]:
    """Whether nDCG@10 is better beyond chance on every kind of which there are enough questions to tell."""
    for kind in sorted({kind for kind, _ in rows}):
        of_kind = [row for each, row in rows if each == kind]
        if len(of_kind) >= FEWEST_JUDGED:
            difference = paired_bootstrap([row[1] for row in of_kind], [row[0] for row in of_kind])
            if difference.low <= 0:
                return False, f"an encoder of its own may find no more by questions of the kind '{kind}'"
    return True, "nDCG@10 is higher beyond chance on every kind of question"


def _surely(best: Mapping[str, Sequence[float]], unchanged: Mapping[str, Sequence[float]]) -> bool:
    """Whether what was picked as the best of many is better where it was picked, but for a chance of one in ten."""
    kinds = sorted(best)
    ours, theirs = ([value for kind in kinds for value in way[kind]] for way in (best, unchanged))
    return paired_bootstrap(ours, theirs, confidence=0.8).low > 0


def _ndcg(ranking: Sequence[int], one: Asked) -> float:
    return ndcg_at([str(key) for key in ranking], {str(key): 1 for key in one.relevant}, 10)


def _recall(ranking: Sequence[int], one: Asked) -> float:
    return recall_at([str(key) for key in ranking[:5]], {str(key): 1 for key in one.relevant}, 5)


def _measure(rows: Sequence[Sequence[float]]) -> AdaptMeasure | None:
    """[before, after] of each question as means with intervals, in percent."""
    if not rows:
        return None
    before, after = [row[0] for row in rows], [row[1] for row in rows]
    intervals = (bootstrap(before), bootstrap(after), paired_bootstrap(after, before))
    shown = [
        MeasuredInterval(mean=round(100 * it.mean, 2), low=round(100 * it.low, 2), high=round(100 * it.high, 2))
        for it in intervals
    ]
    return AdaptMeasure(before=shown[0], after=shown[1], difference=shown[2])


def _kind(rows: Sequence[Sequence[float]]) -> AdaptKind:
    means = [round(100 * float(np.mean([row[at] for row in rows])), 2) for at in range(4)]
    return AdaptKind(
        questions=len(rows),
        ndcg_before=means[0],
        ndcg_after=means[1],
        recall_before=means[2],
        recall_after=means[3],
    )


def _peak_memory_mb() -> float:
    """The most memory that this process has ever had, in MB; the models and the indexes are part of it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1024 if sys.platform != "darwin" else peak / 1024**2, 1)
