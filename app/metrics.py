"""What has happened in this process, counted and timed for Prometheus. `app/scraping.py` shows it.

Labels are names of our own (routes, stages, kinds of jobs), never of tenants, collections or documents: whoever scrapes
keeps them, and each value of a label is a series there.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
"""All that is counted here, and what the operating system says of the process."""

# Upper bounds in seconds; half of all questions are to be answered within 0.3.
_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SLOW = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

REQUESTS = Counter("lectern_requests", "Requests that were answered.", ("method", "route", "status"), registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "lectern_request_seconds",
    "From the head of a request to the end of its reply.",
    ("method", "route"),
    buckets=_FAST,
    registry=REGISTRY,
)
STAGE_SECONDS = Histogram(
    "lectern_stage_seconds",
    "The stages of questions, searches, summaries and ingests, with their waits for the models.",
    ("operation", "stage"),
    buckets=_FAST,
    registry=REGISTRY,
)
ANSWERS = Counter(
    "lectern_answers", "Questions, by whether the documents answered them.", ("outcome",), registry=REGISTRY
)
JOB_SECONDS = Histogram(
    "lectern_job_seconds",
    "Runs of jobs, by how they ended; an interrupted one goes on at the next start.",
    ("kind", "outcome"),
    buckets=_SLOW,
    registry=REGISTRY,
)
MODEL_WAIT_SECONDS = Histogram(
    "lectern_model_wait_seconds",
    "How long calls of the models waited for their first turn.",
    ("lane",),
    buckets=_FAST,
    registry=REGISTRY,
)
MODEL_BUSY_SECONDS = Counter(
    "lectern_model_busy_seconds",
    "How long the models worked; a second a second is all they can.",
    ("lane",),
    registry=REGISTRY,
)
SENTENCE_VECTORS = Counter(
    "lectern_sentence_vectors",
    "Vectors of sentences for summaries: `kept` ones were in the store, others were `encoded`.",
    ("source",),
    registry=REGISTRY,
)
ProcessCollector(registry=REGISTRY)

for _outcome in ("answered", "abstained"):
    ANSWERS.labels(_outcome)
for _lane in ("interactive", "bulk"):
    MODEL_WAIT_SECONDS.labels(_lane)
    MODEL_BUSY_SECONDS.labels(_lane)
for _source in ("kept", "encoded"):
    SENTENCE_VECTORS.labels(_source)
