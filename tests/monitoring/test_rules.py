"""The generated rule files are up to date, Prometheus accepts them, and alerts fire or stay silent as expected."""

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prometheus_client import REGISTRY, Metric

import coffee_ledger.runtime.logs
import coffee_ledger.runtime.process_metrics
import coffee_ledger.store.metrics
import coffee_ledger.telegram.metrics
import services.janitor.metrics
import services.webhook.metrics
from coffee_ledger.rhythm import History
from coffee_ledger.store.snapshot import NOTHING, Overdrafts, Snapshot
from monitoring.__main__ import written_files
from monitoring.alerts import ALERTS, HARMS, MISSED, Alert, Severity
from monitoring.slos import SLOS, Slo, recording_rules
from services.janitor.collector import SnapshotCollector
from services.janitor.reconciliation import Reconciler
from tests.files import ROOT
from tests.monitoring.dashboard_lint import selectors

IMAGE = "prom/prometheus:v3.13.3"
CASES = sorted((ROOT / "prometheus" / "tests").glob("*.yml"))
"""Test cases for promtool. Each case has input series, and the alerts that must fire for these series."""

OF_OURS = (
    coffee_ledger.store.metrics,
    coffee_ledger.telegram.metrics,
    services.janitor.metrics,
    coffee_ledger.runtime.logs,
    coffee_ledger.runtime.process_metrics,
    services.webhook.metrics,
)
"""The modules that declare the services' metrics. Importing a module registers its metrics."""


each_case = pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)


@pytest.mark.parametrize("path", written_files(), ids=lambda path: path.name)
def test_a_written_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == written_files()[path], "run `make monitoring`"


def promtool(*words: str, mounts: tuple[str, ...] = ()) -> str:
    volumes = [f"--volume={mount}" for mount in (f"{ROOT / 'prometheus'}:/prometheus-files:ro", *mounts)]
    command = ["docker", "run", "--rm", "--entrypoint", "/bin/promtool", *volumes, IMAGE, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_folder_of_rules_has_no_other_files() -> None:
    assert set((ROOT / "prometheus" / "rules").iterdir()) <= written_files().keys()


def test_prometheus_accepts_the_rules_without_warnings() -> None:
    files = [f"/prometheus-files/rules/{path.name}" for path in written_files() if path.parent.name == "rules"]

    promtool("check", "rules", "--lint=all", "--lint-fatal", *files)


def test_prometheus_accepts_its_configuration() -> None:
    promtool("check", "config", "/prometheus-files/prometheus.yml")


def test_an_alert_fires_for_every_scraped_job_that_is_gone_except_caddy() -> None:
    config = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))

    jobs = {job["job_name"] for job in config["scrape_configs"]}
    assert jobs == HARMS.keys()
    assert jobs - set(MISSED) == {"caddy"}


def test_caddy_is_not_a_target_if_another_proxy_replaces_it() -> None:
    """
    If an operator replaces Caddy by another proxy, no alert about Caddy may fire.

    If Prometheus had a fixed address for Caddy, Caddy would stay a target that is down, and the alert TargetDown would fire
    permanently. So Prometheus finds Caddy by DNS: if the name does not resolve, there is no target.
    """
    config = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))

    [caddy] = (job for job in config["scrape_configs"] if job["job_name"] == "caddy")

    assert caddy["dns_sd_configs"][0]["names"] == ["proxy"]
    assert "static_configs" not in caddy


@each_case
def test_alerts_fire_and_stay_silent_as_the_case_says(case: Path) -> None:
    promtool("test", "rules", f"/prometheus-files/tests/{case.name}")


def story_of(case: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the content of a test case for promtool, and the rule groups that the case loads."""
    story = yaml.safe_load(case.read_text(encoding="utf-8"))
    files = ((case.parent / rules).read_text(encoding="utf-8") for rules in story["rule_files"])
    return story, list(chain.from_iterable(yaml.safe_load(file)["groups"] for file in files))


@each_case
def test_objectives_are_evaluated_as_often_as_in_production(case: Path) -> None:
    """
    Each test case evaluates the rules of the service level objectives (SLOs) at the interval that production uses.

    With a longer interval, the test case could miss an alert that fires only for a short time.
    """
    story, groups = story_of(case)

    assert {group["interval"] for group in groups if "interval" in group} <= {story["evaluation_interval"]}


@each_case
def test_groups_are_evaluated_in_a_fixed_order(case: Path) -> None:
    """
    Each test case with several groups sets `group_eval_order`. Without this setting, promtool evaluates the groups in any order.

    A group may read values that another group computes. Without a fixed order, the results would vary from run to run.
    """
    story, groups = story_of(case)
    names = [group["name"] for group in groups]

    assert len(names) == 1 or story["group_eval_order"] == names


def alerts_expected(*, firing: bool) -> set[str]:
    stories = chain.from_iterable(yaml.safe_load(case.read_text(encoding="utf-8"))["tests"] for case in CASES)
    expected: Iterator[dict[str, Any]] = chain.from_iterable(story.get("alert_rule_test", []) for story in stories)
    return {one["alertname"] for one in expected if bool(one["exp_alerts"]) is firing}


def test_every_alert_fires_in_one_case_and_is_silent_in_another() -> None:
    named = {alert.name for alert in ALERTS}
    never_silent = {"Watchdog"}

    assert alerts_expected(firing=True) == named
    assert alerts_expected(firing=False) == named - never_silent


@pytest.mark.parametrize("slo", SLOS, ids=lambda slo: slo.name)
def test_the_causes_that_silence_a_fast_burn_are_pages_themselves(slo: Slo) -> None:
    pages = {alert.name for alert in ALERTS if alert.severity is Severity.PAGE and not alert.slo}

    assert set(slo.causes) <= pages
    assert set(slo.jobs) <= HARMS.keys()
    assert bool(slo.causes) is slo.pages


def test_rules_use_only_exported_metrics() -> None:
    rules = chain.from_iterable(recording_rules(slo) for slo in SLOS)
    expressions = [*(alert.expr for alert in ALERTS), *(str(rule["expr"]) for rule in rules)]

    used = set(re.findall(r"\b(?:bmc|ledger)_\w+", " ".join(expressions)))

    assert used - exported() == set()


def exported() -> set[str]:
    return set(chain.from_iterable(map(_series, chain(REGISTRY.collect(), a_state().collect()))))


NO_HISTORY = History(0, None, None)


def a_state() -> SnapshotCollector:
    collector = SnapshotCollector(["USD"], clock=lambda: datetime.now(UTC))
    collector.show(
        Snapshot(
            datetime.now(UTC),
            {},
            {},
            None,
            None,
            {},
            {},
            {},
            {},
            {},
            {},
            NOTHING,
            NOTHING,
            {},
            Overdrafts(0, 0),
            NO_HISTORY,
            None,
            None,
        )
    )
    return collector


def _series(metric: Metric) -> list[str]:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(metric.type, [""])
    return [metric.name + ending for ending in endings]


# Missing series ---------------------------------------------------------------------------------------------------------

# An alert cannot fire while a series in its expression is missing. So another alert must report each missing series.

INPUTS = sorted({one for alert in ALERTS for one in selectors(alert.expr) if not one[0].startswith(("slo:", "ALERTS"))})
"""The series that the alerts use, except those that Prometheus computes: the results of rules, and the series ALERTS."""

NO_JOB = 'absent(up{{job="{}"}})'
MISSED_BY = (
    (
        r'ledger_janitor_\w+{task="send_probe"}',
        "WebhookProbeAbsent",
        'absent_over_time(ledger_janitor_period_seconds{task="send',
    ),
    (
        "|".join(metric.name for metric in a_state().collect()),
        "SnapshotStale",
        "absent_over_time(ledger_snapshot_timestamp",
    ),
    ("ledger_(webhook|spooled)_", "TargetAbsent", NO_JOB.format("webhook")),
    ("ledger_(outbox_claims|telegram|updates|listen|clock)_", "TargetAbsent", NO_JOB.format("bot")),
    ("ledger_(janitor|balance|disk|tls|pending|reconciliation)_", "TargetAbsent", NO_JOB.format("janitor")),
    *((r"(ledger_event_loop|process|up\b)", "TargetAbsent", NO_JOB.format(job)) for job in MISSED),
    ("pg_(up|scrape)", "TargetAbsent", NO_JOB.format("postgres")),
    ("pg_", "PostgresExporterFails", "pg_up"),
    ("pg_", "PostgresCollectorFailing", "pg_scrape_collector_success"),
    ("alertmanager_", "TargetAbsent", NO_JOB.format("alertmanager")),
    ("prometheus_", "TargetAbsent", NO_JOB.format("prometheus")),
)
"""
Tuples of a pattern, an alert and a part of the alert's expression.

If a series that matches the pattern is missing, this part of the expression makes the alert fire.
"""


@pytest.mark.parametrize("series", ["".join(one) for one in INPUTS])
def test_an_alert_fires_when_a_series_of_an_alert_is_missing(series: str) -> None:
    expressions = {alert.name: alert.expr for alert in ALERTS}
    missed_by = [(name, clause) for pattern, name, clause in MISSED_BY if re.match(pattern, series)]

    assert missed_by
    assert [(name, clause) for name, clause in missed_by if clause not in expressions[name]] == []


MISSING_AT_FIRST = {"ledger_reconciliation_last_good_timestamp_seconds"}
"""
Gauges that are missing until the janitor has read all lists of BMC once without a failed request.

Until then, the alert ReconciliationNotSucceeding counts the time since the start of the janitor instead.
"""


@pytest.fixture(scope="module")
def reconciler() -> Reconciler:
    """
    Create a reconciler as the janitor does at its start, so that the reconciler's counters exist.

    The arguments are None, because the tests never run the reconciler.
    """
    missing = cast(Any, None)
    return Reconciler(missing, missing, missing, missing, clock=lambda: datetime.now(UTC))


@pytest.mark.usefixtures("reconciler")
@pytest.mark.parametrize(
    ("metric", "matchers"),
    [
        one
        for one in INPUTS
        if re.match(r"ledger_(webhook|telegram|updates|outbox_claims|reconciliation)_", one[0])
        and one[0] not in MISSING_AT_FIRST
    ],
)
def test_a_counter_of_an_alert_exists_from_the_start(metric: str, matchers: str) -> None:
    """
    Each counter must exist, with the value 0, before its first event. Otherwise its alert is late or wrong.

    If a counter begins at 1, `increase` does not count the first event, so the alert is late. If a counter is missing, a ratio
    leaves it out, so the ratio is wrong.
    """
    wanted = re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers)
    samples = [sample for one in REGISTRY.collect() for sample in one.samples if sample.name == metric]

    assert any(all(fits(sample.labels.get(label, ""), *how) for label, *how in wanted) for sample in samples)


def fits(value: str, sign: str, sought: str) -> bool:
    is_same = bool(re.fullmatch(sought, value)) if "~" in sign else value == sought
    return is_same is not sign.startswith("!")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_a_short_summary_and_a_description(alert: Alert) -> None:
    assert re.fullmatch("([A-Z][a-z0-9]+)+", alert.name)
    for job in HARMS:
        assert 10 < len(summary_of(alert, job)) <= 80
    assert "{{" in alert.description or alert.description.endswith(".")


def summary_of(alert: Alert, job: str) -> str:
    """Return the summary that an operator reads if the alert is about *job*."""
    harms = dict(re.findall(r'if eq \$labels.job "(\w+)" }}(.*?){{', alert.summary))
    chosen = re.sub(r"^{{ if .* end }}", lambda _: harms[job], alert.summary)
    return chosen.replace("{{ $labels.job }}", job)


def test_alert_names_are_unique() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
