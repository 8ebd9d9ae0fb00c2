"""What `GET /metrics` answers: the counts of `app/metrics.py`, and how much of everything there is at this moment."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from app.inference import LANES
from app.metrics import REGISTRY
from app.wiring import Lectern
from retriever.errors import StoreError


def exposition(lectern: Lectern, *, version: str, accept: str) -> tuple[bytes, str]:
    """All metrics and their content type, in the format that the scraper's `Accept` header asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(_Everything(lectern, version)), content_type


class _Everything(Collector):
    """What was counted, and sizes and queues as they are when they are asked for."""

    def __init__(self, lectern: Lectern, version: str) -> None:
        self._lectern = lectern
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Every metric. Of a store that cannot be read only that is told."""
        yield from REGISTRY.collect()
        lectern = self._lectern
        models = {
            "version": self._version,
            "encoder": lectern.encoder.version,
            "reader": lectern.reader.name,
            "summarizer": lectern.summarizing.summarizer,
        }
        this = [(tuple(models.values()), 1)]
        yield _gauge("lectern_info", "Which Lectern this is, and with which models.", tuple(models), this)
        yield _one("lectern_requests_under_way", "Requests that are worked on or wait.", lectern.desk.taken)
        waiting = [((lane,), lectern.inference.waiting_in(lane)) for lane in LANES]
        yield _gauge("lectern_model_calls_waiting", "Calls of the models in the queue.", ("lane",), waiting)
        sizes = [((name,), size) for name, size in lectern.indexes.sizes().items()]
        yield _gauge("lectern_index_bytes", "What the indexes of all collections take on the disk.", ("index",), sizes)
        try:
            totals = lectern.store.totals()
        except StoreError:
            yield _one("lectern_store_up", "Whether the store can be read.", 0)
            return
        yield _one("lectern_store_up", "Whether the store can be read.", 1)
        yield _one("lectern_store_bytes", "What the store takes on the disk.", totals.bytes)
        yield _one("lectern_collections", "Collections of all tenants.", totals.collections)
        yield _one("lectern_documents", "Documents that can be found.", totals.documents)
        yield _one("lectern_passages", "Passages that can be found.", totals.passages)
        yield _gauge("lectern_jobs", "Jobs that wait or run.", ("kind", "status"), totals.jobs.items())


def _one(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)


def _gauge(
    name: str, help_text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for label, value in values:
        family.add_metric(label, value)
    return family
