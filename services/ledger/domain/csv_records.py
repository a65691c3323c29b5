"""CSV that comes in pieces, cut into records: nothing is held but the record that has not ended yet."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from typing import NamedTuple

from mesh.errors import TollwayError, invalid

LONGEST_RECORD = 2**20
"""Characters; what is longer is not CSV, or a quote in it was never closed."""
_DELIMITERS = ",;\t"


class Record(NamedTuple):
    """Cells, and the number of the line they begin in, counted from 1."""

    line: int
    cells: list[str]


class Records:
    """The records of the file `name`, which only says where something is wrong.

    As RFC 4180 has it, in UTF-8 with or without a byte order mark; cells are kept apart by whichever of comma,
    semicolon and tab is most in the first line. Blank lines are no records. Methods raise TollwayError INVALID_REQUEST
    for what cannot be read.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._begun = ""  # of a line
        self._record = ""  # of lines whose last quote is open
        self._lines, self._first = 0, 1
        self._delimiter = ""

    def feed(self, chunk: bytes) -> Iterator[Record]:
        """Those that end in this piece."""
        return self._cut(self._decode(chunk), last=False)

    def end(self) -> Iterator[Record]:
        """What is left when there are no more pieces."""
        return self._cut(self._decode(b"", last=True), last=True)

    def wrong(self, line: int, what: str) -> TollwayError:
        """What is raised for something wrong in a line."""
        return invalid("chunk", f"{self.name}, line {line}: {what}")

    def _decode(self, chunk: bytes, *, last: bool = False) -> str:
        try:
            text = self._decoder.decode(chunk, last)
        except UnicodeDecodeError:
            raise self._no_csv("is not text in UTF-8") from None
        if "\0" in text:
            raise self._no_csv("holds null characters")
        return text

    def _cut(self, text: str, *, last: bool) -> Iterator[Record]:
        lines = (self._begun + text).split("\n")
        self._begun = "" if last else lines.pop()
        for line in lines:
            self._lines += 1
            self._record += line + "\n"
            # A quote inside a quoted cell is written twice, so that an odd number of them is an open cell.
            if self._record.count('"') % 2 == 0:
                record, self._record = self._record, ""
                first, self._first = self._first, self._lines + 1
                if record.strip():
                    yield Record(first, self._cells(first, record))
        if len(self._record) + len(self._begun) > LONGEST_RECORD:
            raise self._no_csv(f"line {self._first} has no end")
        if last and self._record.strip():
            raise self.wrong(self._first, "a quote is never closed")

    def _cells(self, line: int, record: str) -> list[str]:
        if not self._delimiter:
            self._delimiter = max(_DELIMITERS, key=record.count)
        try:
            return next(csv.reader((record,), delimiter=self._delimiter, strict=True))
        except (csv.Error, StopIteration) as error:
            raise self.wrong(line, f"is not CSV: {error}") from None

    def _no_csv(self, why: str) -> TollwayError:
        return invalid("chunk", f"{self.name} is not a CSV file: it {why}")
