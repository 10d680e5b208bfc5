"""The code uses every SQL statement in coffee_ledger/queries, and every statement that the code uses exists there."""

import logging
import re

import pytest

from coffee_ledger.store.database import statements
from tests.files import ROOT

LEDGER = ROOT / "coffee_ledger"


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    code = "\n".join(file.read_text(encoding="utf-8") for file in LEDGER.rglob("*.py"))
    asked = set(re.findall(r'sql\("(\w+)"\)', code))

    kept = set(statements())

    assert asked <= kept
    # The code selects some statements by a name in a list, without `sql("name")`, so search for the quoted name too.
    assert {name for name in kept - asked if f'"{name}"' not in code} == set()


def test_the_statements_are_loaded_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """
    A statement that returns nothing must be marked with `!`.

    Otherwise aiosql warns about the statement, and each service logs this warning at its start.
    """
    statements.cache_clear()

    with caplog.at_level(logging.WARNING):
        statements()

    assert caplog.messages == []
