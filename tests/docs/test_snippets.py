"""Check that the Python snippets in the documents import only existing names."""

import ast
import importlib
import re

import pytest

from tests.files import ROOT

DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)
SNIPPETS = [(document.name, code) for document in DOCUMENTS for code in SNIPPET.findall(document.read_text("utf-8"))]


@pytest.mark.parametrize(("document", "code"), SNIPPETS, ids=[name for name, _ in SNIPPETS])
def test_a_snippet_imports_only_existing_names(document: str, code: str) -> None:
    tree = compile(code, document, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]

    assert imports
    for one in imports:
        module = importlib.import_module(one.module or "")
        assert [name.name for name in one.names if not hasattr(module, name.name)] == []
