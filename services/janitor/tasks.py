"""Define the janitor's tasks. Each task has a name, a period and a function."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from coffee_ledger.store.database import Pool
from coffee_ledger.store.snapshot import take_snapshot
from coffee_ledger.store.upkeep import (
    blank_personal_fields,
    close_answered_claims,
    correct_counts,
    expire_payments,
    measure_drift,
    rematch_waiting_charges,
    retry_requested_events,
)
from services.janitor.api_token import read_expiry, warn_before_expiry
from services.janitor.bmc_client import BmcClient
from services.janitor.collector import SnapshotCollector
from services.janitor.metrics import BALANCE_DRIFT, DISK_FREE, DISK_SIZE, PENDING_TTL, SNAPSHOT_DURATION
from services.janitor.outages import OutageWatch
from services.janitor.probe import ProbeError, ProbeSender
from services.janitor.reconciliation import Reconciler
from services.janitor.settings import JanitorSettings

log = structlog.stdlib.get_logger()

DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


@dataclass(frozen=True)
class Task:
    name: str
    """The name of the task in logs and in the label `task` of metrics."""
    period: timedelta
    run_once: Callable[[datetime], Awaitable[int]]
    """Does the work. The argument is the current time. Returns the number of changed rows, or 0 if the task only measures."""
    is_for_all: bool = False
    """True if every janitor runs the task, because the task measures something that each janitor exports."""


def make_tasks(
    settings: JanitorSettings, pool: Pool, collector: SnapshotCollector, clock: Callable[[], datetime]
) -> list[Task]:
    rules, ttl, retention = settings.rules, settings.pending_ttl, settings.retention
    outages = OutageWatch()
    tasks = [
        Task("expire_payments", MINUTE, lambda now: expire_old_payments(pool, ttl, now=now)),
        # Match charges that could not be matched when they arrived. For example, a charge contains a code, and the pending
        # payment with this code was recorded after the charge.
        Task("rematch_charges", 15 * SECOND, lambda now: rematch_waiting_charges(pool, rules, now=now)),
        # Settle failed or unreadable events again if an operator has requested it, for example after an update that fixed the
        # cause.
        Task("retry_requested_events", 10 * SECOND, lambda now: retry_requested_events(pool, rules, now=now)),
        # Close an open claim if a charge that fits the claim has been matched to the claim's user. For example, the event of
        # the charge came after the claim.
        Task("close_claims", MINUTE, lambda now: close_answered_claims(pool, now=now)),
        Task("blank_personal_fields", HOUR, lambda now: blank_personal_fields(pool, now=now, before=now - retention)),
        Task("check_balances", MINUTE, lambda _: check_balances(pool)),
        Task("correct_counts", HOUR, lambda _: correct_counts(pool)),
        Task("measure_disk", MINUTE, lambda _: measure_disk(settings.DISK_FOLDER), is_for_all=True),
        Task("take_snapshot", 15 * SECOND, lambda now: show_snapshot(pool, collector, now=now), is_for_all=True),
    ]
    if settings.PROBE_URL and settings.PROBE_SECRET:
        sender = ProbeSender(settings.PROBE_URL, settings.PUBLIC_HOST, settings.PROBE_SECRET)
        tasks.append(Task("send_probe", 30 * SECOND, lambda now: send_probe(sender, outages, now=now)))
    if settings.BMC_API_TOKEN is not None:
        client = BmcClient(settings.BMC_API_TOKEN, url=settings.BMC_API_URL)
        reconciler = Reconciler(client, pool, rules, outages, clock=clock)
        # The task also looks up claims in BMC's lists. So its period is short, and the users get an answer within seconds.
        tasks.append(Task("reconcile", 2 * SECOND, reconciler.run_once))
        expires_at = read_expiry(settings.BMC_API_TOKEN.get_secret_value())
        if expires_at is not None:
            tasks.append(Task("check_api_token", DAY, lambda now: warn_before_expiry(expires_at, now=now)))
    return tasks


async def send_probe(sender: ProbeSender, outages: OutageWatch, *, now: datetime) -> int:
    try:
        rows = await sender.send(now)
    except ProbeError:
        outages.note_probe(passed=False)
        raise
    outages.note_probe(passed=True)
    return rows


async def expire_old_payments(pool: Pool, ttl: timedelta, *, now: datetime) -> int:
    # Export the TTL of pending payments before the query, because an alert needs the TTL even while the database is away.
    PENDING_TTL.set(ttl.total_seconds())
    return await expire_payments(pool, now=now, opened_before=now - ttl)


async def check_balances(pool: Pool) -> int:
    """
    Measure by how many credits the balances and the ledger's entries differ.

    Triggers update a balance with each entry. So a difference means that a table was changed while triggers were off.
    """
    drift = await measure_drift(pool)
    BALANCE_DRIFT.set(drift)
    if drift:
        log.error("balances differ from the ledger", drift_credits=drift)
    return 0


async def measure_disk(folder: Path) -> int:
    """
    Export the size and the free space of the disk that contains *folder* as metrics. Return 0, because no row is changed.

    The database is normally on this disk too, because Docker keeps all volumes of a machine in one folder.
    """
    disk = shutil.disk_usage(folder)
    DISK_FREE.labels(folder).set(disk.free)
    DISK_SIZE.labels(folder).set(disk.total)
    return 0


async def show_snapshot(pool: Pool, collector: SnapshotCollector, *, now: datetime) -> int:
    with SNAPSHOT_DURATION.time():
        collector.show(await take_snapshot(pool, now=now))
    return 0
