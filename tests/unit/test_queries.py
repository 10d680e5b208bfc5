"""The code uses every SQL statement in coffee_ledger/queries, and every statement that the code uses exists there."""

import re

from coffee_ledger.store.database import QUERIES, statements
from tests.files import ROOT

LEDGER = ROOT / "coffee_ledger"


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    code = "\n".join(file.read_text(encoding="utf-8") for file in LEDGER.rglob("*.py"))
    asked = set(re.findall(r'sql\("(\w+)"\)', code))

    kept = set(statements())

    assert asked <= kept
    # The code selects some statements by a name in a list, without `sql("name")`, so search for the quoted name too.
    assert {name for name in kept - asked if f'"{name}"' not in code} == set()


def test_each_name_belongs_to_one_statement() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in QUERIES.glob("*.sql"))

    names = re.findall(r"^-- name: (.*)$", text, re.MULTILINE)

    assert sorted(names) == sorted(statements())


def test_a_statement_has_neither_comments_nor_a_semicolon() -> None:
    for statement in statements().values():
        assert statement.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "LOCK", "SET"))
        assert "--" not in statement
        assert ";" not in statement
