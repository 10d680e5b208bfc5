"""
A pytest plugin for mutation testing with mutmut. It empties caches, collects tests faster, and stops endless loops.

mutmut tests each mutant in a fork of a process that has run all tests before. So the caches contain results of the unchanged
code, and the plugin empties them.

mutmut passes hundreds of tests to pytest by name. pytest would compare each name with all ids of its file, which takes seconds.
So the plugin collects whole files, and then leaves out the tests that were not named.

The plugin stops endless loops by a limit on processor time. On a busy machine, a limit on elapsed time would also stop tests
that have no endless loop.
"""

import os
import signal
import sys
from collections.abc import Generator
from types import FrameType

import pytest

TEST_SECONDS_MAX = 10.0
"""The limit of processor time per test. The slowest test needs a third of this time."""

_NAMED = pytest.StashKey[dict[str, int]]()
"""Maps each test named on the command line to its position there. If the map is empty, all tests run."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NAMED] = {name: place for place, name in enumerate(config.args) if "::" in name}
    config.args = list(dict.fromkeys(name.partition("::")[0] for name in config.args))


def pytest_sessionstart() -> None:
    """Empty the caches of `coffee_ledger`. They contain results of the unchanged code, which would hide the mutant's effect."""
    for name, module in list(sys.modules.items()):
        if name.startswith("coffee_ledger."):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
    signal.signal(signal.SIGVTALRM, _stop)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    signal.setitimer(signal.ITIMER_VIRTUAL, TEST_SECONDS_MAX, TEST_SECONDS_MAX)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _stop(number: int, frame: FrameType | None) -> None:
    # End the process, because Hypothesis would catch an exception and continue with the next example.
    os.write(2, b"A test took too much processor time.\n")
    os._exit(pytest.ExitCode.TESTS_FAILED)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    named = config.stash[_NAMED]
    if named:
        items[:] = sorted((item for item in items if item.nodeid in named), key=lambda item: named[item.nodeid])
