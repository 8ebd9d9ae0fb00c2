"""The OpenAPI document as it is kept; `python -m tests.contract.snapshot` writes it anew where a change is meant."""

import json
import tempfile
from pathlib import Path

from app.main import create_app
from app.settings import Settings

KEPT = Path(__file__).with_name("openapi.json")


def current() -> str:
    """What the service says of itself now."""
    document = create_app(Settings(data_dir=Path(tempfile.gettempdir()))).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    KEPT.write_text(current(), encoding="utf-8")
