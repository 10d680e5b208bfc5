"""
Tables as CSV that a spreadsheet opens without running anything.

What begins like a formula gets an apostrophe in front, unless the column holds numbers: those are ours, and stay numbers. So
does what follows a semicolon, a tab or a line's end, where some spreadsheets begin another cell, quoted or not: those of
Ukraine and Germany split at semicolons. A quotation mark hides nothing, since at the beginning of a cell it is taken for quoting.
Source: https://owasp.org/www-community/attacks/CSV_Injection, read November 2026.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

# The last four are the wide forms, which spreadsheets of the Far East read as well.
FORMULA = re.compile('(^|[;\t\r\n])(?=[\\s"]*[=+\\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r])')


def write_sheet(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """Write in UTF-8 with a BOM, without which spreadsheets guess another encoding."""
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet)
    writer.writerow(columns)
    writer.writerows([write_cell(row[column]) for column in columns] for row in rows)
    return sheet.getvalue().encode("utf-8-sig")


def write_cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case _:
            return FORMULA.sub(r"\1'", str(value))
