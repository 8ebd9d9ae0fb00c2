"""Measuring as a user would on their own data: question answering, retrieval, summaries.

The scores (`squad`, `ranking`, `rouge`, `statistics`) are pure functions; `qa`, `retrieval` and `summaries` drive a
wired service through the same path that its users take. Nothing heavy is imported before it is used.
"""

from app.evaluation.errors import EvaluationError
from app.evaluation.output import write_json
from app.evaluation.progress import Progress, ProgressCallback, ProgressLine
from app.evaluation.qa import QaMeasures, evaluate_qa
from app.evaluation.retrieval import RankingMeasures, evaluate_retrieval
from app.evaluation.summaries import SummaryMeasures, evaluate_summaries

__all__ = [
    "EvaluationError",
    "Progress",
    "ProgressCallback",
    "ProgressLine",
    "QaMeasures",
    "RankingMeasures",
    "SummaryMeasures",
    "evaluate_qa",
    "evaluate_retrieval",
    "evaluate_summaries",
    "write_json",
]
