"""Draws how the share of wrong answers falls as the service answers only what it is surer of.

    python -m bench.risk_coverage

reads bench/results/qa.json and writes bench/results/risk-coverage.png; `bench.quality` does so after its last set.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.evaluation.calibration import TARGET_ERROR
from app.evaluation.qa import Unit
from bench.records import RESULTS

UNITS: tuple[Unit, ...] = ("paragraph", "article", "collection")


def draw(measured: Mapping[str, Any], path: Path) -> None:
    """A line for each set and unit of `qa.json`'s sets, to a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5))
    axes = figure.add_subplot(xlabel="answered, % of all questions, the surest first", ylabel="wrong among them, %")
    for name, row in measured.items():
        for unit in (unit for unit in UNITS if "risk" in row.get(unit, {})):
            risk = row[unit]["risk"]
            axes.plot([int(share) for share in risk], list(risk.values()), label=f"{name}, {unit}")
    axes.axhline(100 * TARGET_ERROR, linestyle=":", color="grey")
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """The command line."""
    draw(json.loads((RESULTS / "qa.json").read_text(encoding="utf-8"))["sets"], RESULTS / "risk-coverage.png")


if __name__ == "__main__":
    main()
