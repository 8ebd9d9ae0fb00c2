"""`lectern` as a process of its own, with fakes where the models would be: `python -m tests.app.spoken COMMAND ...`."""

import sys

from app.cli import main
from app.wiring import build
from tests.fakes import HashingEncoder, OverlapReader, ParserHere

if __name__ == "__main__":
    sys.exit(
        main(
            make=lambda settings: build(
                settings, encoder=HashingEncoder(), reader=OverlapReader(), parsers=ParserHere()
            )
        )
    )
