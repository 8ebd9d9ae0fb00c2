"""Rounds of: start, check what the kill before left, write and search, kill."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.chaos.checks import check
from tests.chaos.clients import Searcher, Trouble, Writer, at_once
from tests.chaos.nursery import Child, Nursery
from tests.chaos.points import SERVING
from tests.chaos.world import World

WRITERS, SEARCHERS = 3, 1
LONGEST = 0.8  # seconds until a kill at a random moment
PATIENCE = 60.0  # seconds until a point that was not passed is given up: far more than a slow machine needs to pass it
ANY_MOMENT, STARTING = "a random moment", "while it starts"
KILLED = -9


@dataclass
class Tally:
    """What the rounds came to. `starts_s` are seconds from the fork of a server to its readiness after a kill."""

    acknowledged: int = 0
    searches: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)  # points that were not passed in time: killed elsewhere
    starts_s: list[float] = field(default_factory=list)


class Rounds:
    """A data directory that is lived in, killed and checked, round after round; everything follows from the seed."""

    def __init__(self, nursery: Nursery, folder: Path, *, seed: int) -> None:
        self._nursery, self._folder, self._seed = nursery, folder, seed
        self.data = folder / "data"
        self._world = World(seed, WRITERS)
        self._round, self._last = 0, "nothing"
        self.tally = Tally()

    def run(self, what: str) -> None:
        """Check what the last kill left, then kill again. Raises Trouble, which tells the seed and the kill before."""
        self._round += 1
        chance = random.Random(f"{self._seed}.{self._round}")
        if what == STARTING:
            server = self._nursery.run(self._arguments(), log=self._log())
            time.sleep(chance.uniform(0, LONGEST))
        else:
            server = self._checked(what if what in SERVING else None, nth=chance.choice((1, 1, 2, 3, 5)))
            self._live(server, what, chance)
        server.kill()
        if (status := server.wait()) != KILLED:
            raise Trouble(f"the server ended by itself with {status}: {server.lines()[-3:]} {self._where()}")
        self.tally.kills[what] += 1
        self._last = f"{what} in round {self._round}"

    def command(self, *arguments: str, point: str) -> None:
        """Kill a `lectern` command on the data directory at a point that it must pass through."""
        self._round += 1
        child = self._nursery.run([*arguments, "--data", str(self.data)], log=self._log(), point=point)
        if (status := child.wait()) != KILLED:
            raise Trouble(f"{arguments} ended with {status} before {point!r}: {child.lines()[-3:]} {self._where()}")
        self.tally.kills[f"{arguments[0]}: {point}"] += 1
        self._last = f"{point} in round {self._round}"

    def finish(self) -> None:
        """Check what the last kill left."""
        self._round += 1
        server = self._checked(None, nth=1)
        server.kill()
        server.wait()

    def _checked(self, point: str | None, *, nth: int) -> Child:
        """A server that has shown that it lost nothing."""
        server = self._nursery.serve(self.data, log=self._log(), point=point, nth=nth)
        if not server.url:
            raise Trouble(f"the server does not start: {_errors(server)} {self._where()}")
        if self._round > 1:
            self.tally.starts_s.append(server.started_s)
        try:
            with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
                check(client, self.data / "lectern.sqlite3", self._world)
        except Trouble as trouble:
            raise Trouble(f"{trouble} {self._where()}") from trouble
        if told := _errors(server):
            raise Trouble(f"the server complained: {told} {self._where()}")
        return server

    def _live(self, server: Child, what: str, chance: random.Random) -> None:
        """Write and search until the server is gone."""
        names = [f"{self._seed}.{self._round}.{number}" for number in range(WRITERS + SEARCHERS)]
        writers = [Writer(server.url, self._world, n, names[n]) for n in range(WRITERS)]
        searchers = [Searcher(server.url, self._world, name) for name in names[WRITERS:]]
        server.arm()
        threads, raised = at_once([each.run for each in (*writers, *searchers)])
        limit = time.monotonic() + (PATIENCE if what in SERVING else chance.uniform(0.01, LONGEST))
        while server.alive() and time.monotonic() < limit and not raised:
            time.sleep(0.005)
        if what in SERVING and server.alive():
            self.tally.missed[what] += 1
        server.kill()
        for thread in threads:
            thread.join()
        if raised:
            raise Trouble(f"a client met {raised[0]!r} {self._where()}") from raised[0]
        self.tally.acknowledged = self._world.acknowledged
        self.tally.searches += sum(each.searches for each in searchers)

    def _where(self) -> str:
        return f"[seed {self._seed}, round {self._round}, after {self._last}, in '{self._folder}']"

    def _arguments(self) -> list[str]:
        return ["serve", "--data", str(self.data), "--port", "0"]

    def _log(self) -> Path:
        return self._folder / f"{self._round}.log"


def _errors(server: Child) -> list[str]:
    """What it complained of, or its last words where it is over."""
    told = [line for line in server.lines() if '"level": "error"' in line][:3]
    return told if server.alive() else [*told, *server.lines()[-3:]]


def plan(count: int, seed: int) -> list[str]:
    """The kills of a run: half of them at the named points, all of these in turn, the others at random moments."""
    chance = random.Random(seed)
    named = list(SERVING)
    chance.shuffle(named)
    others = (ANY_MOMENT, ANY_MOMENT, ANY_MOMENT, STARTING)
    return [named[n // 2 % len(named)] if n % 2 else others[n // 2 % len(others)] for n in range(count)]
