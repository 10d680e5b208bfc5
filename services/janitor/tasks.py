"""The tasks: each runs once when told to, for a time that is passed in, and says how many rows it changed."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from coffee_ledger.matching import Rules
from coffee_ledger.store.database import Pool
from coffee_ledger.store.snapshot import take_snapshot
from coffee_ledger.store.upkeep import (
    blank_personal_fields,
    close_answered_claims,
    expire_payments,
    measure_drift,
    rematch_waiting_charges,
    settle_wanted_events,
)
from services.janitor.collector import SnapshotCollector
from services.janitor.metrics import BALANCE_DRIFT, DISK_FREE, DISK_SIZE, PENDING_TTL, SNAPSHOT_DURATION

log = structlog.stdlib.get_logger()


class Task(Protocol):
    """Something to be done every *period*."""

    @property
    def name(self) -> str: ...

    @property
    def period(self) -> timedelta: ...

    async def run_once(self, now: datetime) -> int: ...


@dataclass(frozen=True)
class ExpirePayments:
    pool: Pool
    ttl: timedelta
    name: str = "expire_payments"
    period: timedelta = timedelta(minutes=1)

    async def run_once(self, now: datetime) -> int:
        PENDING_TTL.set(self.ttl.total_seconds())
        return await expire_payments(self.pool, now=now, opened_before=now - self.ttl)


@dataclass(frozen=True)
class RematchCharges:
    """Settling matches a charge when it comes; this finds what made it matchable later, such as a code recorded after it."""

    pool: Pool
    rules: Rules
    name: str = "rematch_charges"
    period: timedelta = timedelta(seconds=15)

    async def run_once(self, now: datetime) -> int:
        return await rematch_waiting_charges(self.pool, self.rules, now=now)


@dataclass(frozen=True)
class SettleWantedEvents:
    """An event that failed, or could not be read, may be settled once a newer version mended the cause: operators say when."""

    pool: Pool
    rules: Rules
    name: str = "settle_wanted_events"
    period: timedelta = timedelta(seconds=10)

    async def run_once(self, now: datetime) -> int:
        return await settle_wanted_events(self.pool, self.rules, now=now)


@dataclass(frozen=True)
class CloseClaims:
    """A claim is answered when its charge is matched by a rule, too: a slow event, or a code written afterwards."""

    pool: Pool
    name: str = "close_claims"
    period: timedelta = timedelta(minutes=1)

    async def run_once(self, now: datetime) -> int:
        return await close_answered_claims(self.pool, now=now)


@dataclass(frozen=True)
class BlankPersonalFields:
    pool: Pool
    retention: timedelta
    name: str = "blank_personal_fields"
    period: timedelta = timedelta(hours=1)

    async def run_once(self, now: datetime) -> int:
        return await blank_personal_fields(self.pool, now=now, before=now - self.retention)


@dataclass(frozen=True)
class TakeSnapshot:
    """Measures the state for the metrics; changes nothing."""

    pool: Pool
    collector: SnapshotCollector
    name: str = "take_snapshot"
    period: timedelta = timedelta(seconds=15)

    async def run_once(self, now: datetime) -> int:
        with SNAPSHOT_DURATION.time():
            self.collector.show(await take_snapshot(self.pool, now=now))
        return 0


@dataclass(frozen=True)
class CheckBalances:
    """Returns the drift, which is 0 unless somebody went round the ledger."""

    pool: Pool
    name: str = "check_balances"
    period: timedelta = timedelta(minutes=1)

    async def run_once(self, now: datetime) -> int:
        drift = await measure_drift(self.pool)
        BALANCE_DRIFT.set(drift)
        if drift:
            log.error("balances differ from the ledger", drift_credits=drift)
        return drift


@dataclass(frozen=True)
class MeasureDisk:
    """Measures the disk that *folder* lies on: that of the database, as all volumes of one machine lie together."""

    folder: Path
    name: str = "measure_disk"
    period: timedelta = timedelta(minutes=1)

    async def run_once(self, now: datetime) -> int:
        disk = shutil.disk_usage(self.folder)
        DISK_FREE.labels(self.folder).set(disk.free)
        DISK_SIZE.labels(self.folder).set(disk.total)
        return 0
