"""The statements in coffee_ledger/queries are those that the code asks for."""

import re
from pathlib import Path

from coffee_ledger.store.database import statements

LEDGER = Path(__file__).parents[2] / "coffee_ledger"


def test_every_statement_is_asked_for_and_every_one_asked_for_is_there() -> None:
    code = "\n".join(file.read_text(encoding="utf-8") for file in LEDGER.rglob("*.py"))
    asked = set(re.findall(r'sql\("(\w+)"\)', code))

    kept = set(statements())

    assert asked <= kept
    # Some are chosen by name from a list.
    assert {name for name in kept - asked if f'"{name}"' not in code} == set()
