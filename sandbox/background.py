"""Run background tasks. A request can start a task, and the task continues after the end of the request."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from sandbox.journal import log


class Background:
    """
    Runs tasks and cancels them when the process ends.

    This class keeps a reference to each running task. asyncio keeps only weak references, so without this reference the garbage
    collector could remove a running task.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finish(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("sandbox: a background task failed", exc_info=error)
