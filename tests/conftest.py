"""How the tests are dealt out when several processes run them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARE_A_STACK = {"e2e"}
SHARE_WITHIN_A_FILE = {"deployment", "monitoring", "docs", "examples"}
"""Their files start containers of their own, once for all that is in them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares containers, and begin with it: it takes longest."""
    for item in items:
        group = _group_of(item.path)
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: _group_of(item.path) is None)


def _group_of(path: Path) -> str | None:
    folder = path.parent.name
    if folder in SHARE_A_STACK:
        return folder
    return f"{folder}/{path.name}" if folder in SHARE_WITHIN_A_FILE else None
