"""The log of a stage process: one line for each message, printable whatever a message quotes.

Messages contain names of files, answers of servers and text of models. Logs are read in terminals (`kubectl logs`,
`selfalign run`) and by collectors that take every line for a record, so that an escape sequence or a newline in a
quoted text could act as something that this program never wrote (CWE-117).
"""

import logging
import sys
import traceback

from selfalign_stages.contract.printable import printable


class PrintableFormatter(logging.Formatter):
    """Formats records with their message on one line; lines of a traceback stay lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Formats the line of a record."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        """Formats the traceback of a record."""
        return printable_lines(super().formatException(ei))  # type: ignore[arg-type]


def configure(*, level: int) -> None:
    """Sends the records of all loggers from a level upwards to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=level)


def write_traceback(raised: BaseException) -> None:
    """Writes an exception with its causes to standard error, as Python does, and printable."""
    sys.stderr.write(printable_lines("".join(traceback.format_exception(raised))) + "\n")


def printable_lines(text: str) -> str:
    """Makes every line of a text printable and keeps its newlines: for texts whose lines are the program's own."""
    return "\n".join(map(printable, text.rstrip("\n").split("\n")))
