"""Settings -> store, indexes, models and the services on top of them: the only place where concrete classes meet."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from app.adapted import Tunings
from app.adapting import KIND, Adapting
from app.answering import Answering
from app.batches import Batches
from app.desk import Desk
from app.encoders import Encoders, Trainable
from app.finding import Finder
from app.inference import Inference, LaneEncoder, LaneReader, Reader, TextEncoder
from app.ingesting import FileParser, Ingesting
from app.jobs import Handler, Jobs
from app.settings import Settings
from app.sources import inline_parser
from app.summarizing import Summarizing
from app.tasks import Tasks
from app.verifying import Verifying
from model.named_encoder import load_encoder
from model.named_reader import load_reader
from model.query_layers import load_query_layers
from model.salience import load_salience
from retriever.durable import hold
from retriever.hybrid import HybridRetriever
from retriever.indexes import Indexes
from retriever.parsing.limits import Caps, Limits
from retriever.parsing.pool import Parsers
from retriever.store import Quota, Store

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
DEFAULT_TENANT = "default"


@dataclass(frozen=True, kw_only=True)
class Lectern:
    """All the parts of one running Lectern. Jobs run once `jobs.start()` was called; `close` ends everything."""

    settings: Settings
    held: IO[bytes]
    store: Store
    indexes: Indexes
    inference: Inference
    encoder: LaneEncoder
    reader: LaneReader
    retriever: HybridRetriever
    finder: Finder
    answering: Answering
    summarizing: Summarizing
    verifying: Verifying
    adapting: Adapting
    ingesting: Ingesting
    parsers: Parsers | None
    tasks: Tasks
    jobs: Jobs
    desk: Desk

    def close(self) -> None:
        """Stop after the slices at hand. What is not finished is durable and goes on at the next start."""
        self.jobs.stop()
        if self.parsers is not None:
            self.parsers.close()  # nobody waits for a file that takes a minute: its job begins it again
        self.jobs.close()
        self.desk.close()
        self.inference.close()
        self.indexes.close()
        self.store.close()
        self.held.close()


def build(
    settings: Settings,
    *,
    encoder: TextEncoder | None = None,
    reader: Reader | None = None,
    parsers: FileParser | None = None,
) -> Lectern:
    """Open the store and the indexes, load the models.

    `encoder` and `reader` stand in for the configured ones. `parsers` stay open when this is closed, and know nothing
    of these settings; without them some are started, which end with this.

    Raises StoreUnavailable, StoreNewer, WeightsMissing, WeightsCorrupt, UnsupportedModel.
    """
    torch.set_num_threads(settings.threads or min(torch.get_num_threads(), free_cores()))
    held = hold(settings.data_dir / "lock")  # before anything is opened: a newer Lectern would migrate the store
    try:
        return _built(settings, held, encoder=encoder, reader=reader, given=parsers)
    except BaseException:
        held.close()
        raise


def start_parsers(settings: Settings) -> Parsers:
    """The processes that parse, with the limits and caps of the settings."""
    return Parsers(
        limits=Limits(characters=settings.max_characters),
        caps=Caps(memory=settings.parser_memory, seconds=settings.parser_seconds),
        workers=settings.parsers,
    )


def _built(
    settings: Settings,
    held: IO[bytes],
    *,
    encoder: TextEncoder | None,
    reader: Reader | None,
    given: FileParser | None,
) -> Lectern:
    encoder = encoder or load_encoder(settings.encoder)
    inference = Inference(encoder, reader or load_reader(settings.reader), limit=settings.inference_queue)
    encoders = Encoders(inference, encoder)
    interactive, bulk = inference.encoder("interactive"), inference.encoder("bulk")
    quota = Quota(documents=settings.max_documents, bytes=settings.max_stored_bytes, jobs=settings.max_queued_jobs)
    store = Store(settings.store_url, keep_versions=settings.keep_versions, quota=quota)
    indexes = Indexes(settings.index_dir, store, encoder=interactive.version, dimension=interactive.dimension)
    tunings = Tunings(store, indexes.keep_own)
    retriever = HybridRetriever(
        store,
        indexes,
        interactive,
        tuning_of=tunings.current,
        encoder_of=lambda tuning: encoders.of(tuning, "interactive"),
        asking=_asking(encoder, inference),
    )
    own = start_parsers(settings) if given is None else None
    parsers = given or own
    assert parsers is not None  # noqa: S101 - one of the two
    inline = inline_parser(parsers)
    finder = Finder(store, retriever, inference.reader(), interactive.count_word_pieces, parse=inline)
    answering = Answering(store, finder, inference.reader())
    salience = inference.salience(load_salience(bulk.version), "bulk")
    summarizing = Summarizing(store, bulk, salience, inference.reader("bulk"), parse=inline)
    ingesting = Ingesting(store, indexes, encoders, tunings, parsers)
    adapting = Adapting(store, retriever, encoders, tunings)
    tasks = Tasks(answering, summarizing)
    handlers: dict[str, Handler] = {"ingest": ingesting.run, "batch": Batches(store).run, KIND: adapting.run}
    handlers |= tasks.handlers()
    jobs = Jobs(store, handlers, workers=settings.job_workers)
    return Lectern(
        settings=settings,
        held=held,
        store=store,
        indexes=indexes,
        inference=inference,
        encoder=interactive,
        reader=inference.reader(),
        retriever=retriever,
        finder=finder,
        answering=answering,
        summarizing=summarizing,
        verifying=Verifying(store),
        adapting=adapting,
        ingesting=ingesting,
        parsers=own,
        tasks=tasks,
        jobs=jobs,
        desk=Desk(threads=settings.request_threads, queue=settings.request_queue),
    )


def _asking(encoder: TextEncoder, inference: Inference) -> LaneEncoder | None:
    """What questions go through in place of the encoder, where layers ship that were trained for it."""
    if not isinstance(encoder, Trainable):
        return None
    shipped = load_query_layers(encoder.version)
    if shipped is None:
        return None
    layers, version = shipped
    return inference.encoder("interactive", encoder.with_layers(layers, version=version))


def free_cores() -> int:
    """The cores that this process may use: those it may run on, and no more than a container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()[:2]
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no control group, or "max": no quota
        pass
    return max(1, cores)
