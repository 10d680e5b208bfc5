"""
Comments, docstrings and documents are clear at the first reading.

The tests count two signs of unclear prose:

- Words such as "what" and "whoever". At most `FREE_RELATIVES_MAX` per 1,000 words are allowed. The prose of two other projects,
  procrastinate and River, has about 0.4.
- Sentences that begin with a noun clause ("What it does is …"). Questions are allowed.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.files import ROOT

FREE_RELATIVES_MAX = 2.0
"""The maximum number of words such as "what" (see `FREE_RELATIVE`) among 1,000 words of a folder's prose."""

FREE_RELATIVE = re.compile(r"\b(?:what|whatever|whom|whomever|whose|whoever|whichever)\b", re.IGNORECASE)
NOUN_CLAUSE = re.compile(r"(?:What|Whatever|Whoever|Whom|Whose|Of (?:what|which)|By what|To whom)\b")
SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+|\n\s*\n|\s\|\s")
FOLDERS = (
    *("coffee_ledger", "services", "tests", "sandbox", "monitoring", "tools", "benchmarks", "examples"),
    *("db", "docs", "proxy", "prometheus", "alertmanager", "tempo", "requirements", ".github", ".ci", "."),
)


def files_of(folder: str) -> list[Path]:
    """List all files of a folder and its subfolders. For the folder ".", list only the files in the root of the project."""
    paths = (ROOT / folder).glob("*") if folder == "." else (ROOT / folder).rglob("*")
    return sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts)


def prose_of(path: Path) -> Iterator[str]:
    if path.suffix == ".py":
        yield from _prose_of_python(path.read_text(encoding="utf-8"))
    elif path.suffix == ".sql":
        yield from (line.partition("--")[2] for line in _lines(path))
    elif path.suffix == ".md":
        yield from re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL).split("\n\n")
    elif path.suffix in {".yaml", ".yml", ".sh", ".toml"} or path.name in {"Makefile", "Dockerfile", "Caddyfile"}:
        yield from (line.strip().removeprefix("#") for line in _lines(path) if line.strip().startswith("# "))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _prose_of_python(code: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT and "noqa" not in token.string:
            yield token.string.removeprefix("#")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def noun_clauses(text: str) -> list[str]:
    sentences = SENTENCE_END.split(" ".join(text.split()))
    return [one for one in sentences if NOUN_CLAUSE.match(one) and not one.endswith("?")]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_prose_of_a_folder_is_plain(folder: str) -> None:
    texts = [(path, text) for path in files_of(folder) for text in prose_of(path)]
    words = sum(len(re.findall(r"[A-Za-z']+", text)) for _, text in texts)
    relatives = sum(len(FREE_RELATIVE.findall(text)) for _, text in texts)

    assert {f"{path.relative_to(ROOT)}: {one}" for path, text in texts for one in noun_clauses(text)} == set()
    # Allow one word such as "what" even in a folder with fewer than 500 words of prose. Otherwise a single question with such a
    # word would fail the test there, although questions are allowed.
    assert relatives <= max(FREE_RELATIVES_MAX * words / 1000, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Send it. What cannot be sent waits.", ["What cannot be sent waits."]),
        ("Of what waited, nothing is left; it is gone.", ["Of what waited, nothing is left;"]),
        ("Whatever happens, it is kept.", ["Whatever happens, it is kept."]),
        ("What should I do?", []),
        ("Keep the event, whatever it says.", []),
    ],
)
def test_a_noun_clause_at_the_beginning_of_a_sentence_is_found(text: str, found: list[str]) -> None:
    assert noun_clauses(text) == found


def test_comments_and_docstrings_are_read_and_other_strings_are_not() -> None:
    code = '"""Docstring."""\n\nx = "Text."  # Comment.\ny = 1  # noqa: ERA001 — reason\n'

    assert list(_prose_of_python(code)) == [" Comment.", "Docstring."]
