"""
Tables as CSV that a spreadsheet opens without running anything.

A cell that begins like a formula gets an apostrophe in front, unless the column holds numbers: those are ours, and stay
numbers. Source: https://owasp.org/www-community/attacks/CSV_Injection, read November 2026.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


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
            text = str(value)
            return f"'{text}" if text.startswith(FORMULA_SIGNS) else text
