"""The command line: the service, and questions and summaries of files without one, or of a service that runs.

Exit codes: 0 done or answered; 1 no answer in the documents, or files that were refused; 2 a usage or other error, told
in one line; 130 interrupted. Nothing heavy is imported before the arguments are understood.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app import terminal
from app.cli.parser import parsed
from app.cli.support import FAILED, INTERRUPTED, expected_errors

if TYPE_CHECKING:
    from app.local import Make

__all__ = ["main", "parsed"]


def main(argv: Sequence[str] | None = None, *, make: "Make | None" = None) -> int:
    """Carry out a command line and return its exit code. `make` builds the Lectern that commands use."""
    arguments = parsed(argv)
    try:
        return int(arguments.run(arguments, make))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left: nothing more to say, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except expected_errors() as error:
        terminal.fail(terminal.one_line(str(error)) or type(error).__name__)
        return FAILED
