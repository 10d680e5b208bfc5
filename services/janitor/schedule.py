"""Run each task once per period until the process stops. The tasks run independently of each other."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from coffee_ledger.errors import DatabaseAwayError, LedgerError
from coffee_ledger.runtime.timeouts import wait_for_event
from services.janitor.metrics import DURATION, LAST_SUCCESS, PERIOD, ROWS, RUNS
from services.janitor.tasks import Task
from services.janitor.turn import CHECK_SECONDS, Turn

log = structlog.stdlib.get_logger()

Clock = Callable[[], datetime]


async def run_tasks(tasks: Sequence[Task], stop: asyncio.Event, clock: Clock, turn: Turn) -> None:
    """
    Run each task once per period until *stop* is set. Return after the last run has ended.

    A task whose `is_for_all` is false runs only while this janitor holds the lease. *turn* checks the lease.
    """
    for task in tasks:
        PERIOD.labels(task.name).set(task.period.total_seconds())
        # Create the series at 0. If a series first appears with its first increase, `rate` in Prometheus misses this increase.
        DURATION.labels(task.name)
        for outcome in ("done", "failed", "database_away"):
            RUNS.labels(task.name, outcome)
    # Check the lease before the tasks start. `is_ours` begins with True, so a janitor that must stand by would otherwise begin
    # tasks of the active janitor.
    await turn.check()
    async with asyncio.TaskGroup() as checking:
        # Extend the lease until the last run has ended.
        extending = checking.create_task(turn.run())
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(_repeat(task, stop, clock, turn))
        extending.cancel()
    await turn.end()


async def _repeat(task: Task, stop: asyncio.Event, clock: Clock, turn: Turn) -> None:
    # When the process stops, interrupt the pause between two runs. Do not interrupt a run, so that the run can commit its
    # transaction.
    while not stop.is_set():
        if not (task.is_for_all or turn.is_ours):
            await wait_for_event(stop, seconds=CHECK_SECONDS)
            continue
        with DURATION.labels(task.name).time():
            outcome = await _run(task, clock())
        RUNS.labels(task.name, outcome).inc()
        # Begin the pause after the run, so that two runs of a task never overlap.
        await wait_for_event(stop, seconds=task.period.total_seconds())


async def _run(task: Task, now: datetime) -> str:
    try:
        rows = await task.run_once(now)
    # DatabaseAwayError is a subclass of LedgerError, so it must be caught first.
    except DatabaseAwayError:
        log.warning("task put off, the database is away", task=task.name)
        return "database_away"
    # Log no traceback of an expected failure, such as a probe that is sent before the proxy has started.
    except LedgerError as error:
        log.warning("task failed", task=task.name, error=type(error).__name__, reason=str(error))
        return "failed"
    except Exception:
        # Do not raise, because a broken task must not stop the others. An alert fires when the last success of a task is too old.
        log.exception("task failed", task=task.name)
        return "failed"
    if rows:
        log.info("task done", task=task.name, rows=rows)
    ROWS.labels(task.name).inc(rows)
    LAST_SUCCESS.labels(task.name).set(now.timestamp())
    return "done"
