"""How the tests are dealt out when several processes run them."""

from __future__ import annotations

import pytest

WITH_BROWSERS = "e2e"
WITH_CONTAINERS = {WITH_BROWSERS, "deployment", "monitoring", "examples"}
"""Their files start stacks of their own."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Let one process do all that starts containers, one after the other, and begin with the browsers.

    A container that comes or goes is a change of the machine's network, and Chromium then breaks off what it is loading.
    """
    for item in items:
        if item.path.parent.name in WITH_CONTAINERS:
            item.add_marker(pytest.mark.xdist_group("containers"))
    items.sort(key=lambda item: (item.path.parent.name != WITH_BROWSERS, item.path.parent.name not in WITH_CONTAINERS))
