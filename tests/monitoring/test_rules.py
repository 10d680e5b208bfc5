"""The rules are what they are written from, Prometheus takes them, and every alert says what it must."""

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, Metric

import coffee_ledger.runtime.process_metrics
import coffee_ledger.store.metrics
import coffee_ledger.telegram.metrics
import services.janitor.metrics
import services.webhook.metrics
from coffee_ledger.rhythm import History
from coffee_ledger.store.snapshot import NOTHING, Overdrafts, Snapshot
from monitoring.__main__ import ROOT, written_files
from monitoring.alerts import ALERTS, HARMS, MISSED, Alert, Severity
from monitoring.slos import SLOS, Slo, recording_rules
from services.janitor.collector import SnapshotCollector
from tests.monitoring.dashboard_lint import selectors

IMAGE = "prom/prometheus:v3.13.3"
CASES = sorted((ROOT / "prometheus" / "tests").glob("*.yml"))
"""Stories of series and what comes of them, for promtool."""

OF_OURS = (
    coffee_ledger.store.metrics,
    coffee_ledger.telegram.metrics,
    services.janitor.metrics,
    coffee_ledger.runtime.process_metrics,
    services.webhook.metrics,
)
"""Importing them declares what they export."""


@pytest.mark.parametrize("path", written_files(), ids=lambda path: path.name)
def test_a_written_file_is_what_it_is_written_from(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == written_files()[path], "run `make monitoring`"


def promtool(*words: str, mounts: tuple[str, ...] = ()) -> str:
    volumes = [f"--volume={mount}" for mount in (f"{ROOT / 'prometheus'}:/prometheus-files:ro", *mounts)]
    command = ["docker", "run", "--rm", "--entrypoint", "/bin/promtool", *volumes, IMAGE, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_rules_are_left_over_from_before() -> None:
    assert set((ROOT / "prometheus" / "rules").iterdir()) <= written_files().keys()


def test_prometheus_takes_the_rules_without_a_complaint() -> None:
    files = [f"/prometheus-files/rules/{path.name}" for path in written_files() if path.parent.name == "rules"]

    promtool("check", "rules", "--lint=all", "--lint-fatal", *files)


def test_prometheus_takes_its_configuration() -> None:
    promtool("check", "config", "/prometheus-files/prometheus.yml")


def test_whatever_is_asked_for_its_metrics_is_missed_when_it_is_gone() -> None:
    config = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))

    jobs = {job["job_name"] for job in config["scrape_configs"]}
    assert jobs == HARMS.keys()
    assert jobs - set(MISSED) == {"caddy"}


def test_where_another_proxy_stands_in_caddys_place_caddy_is_not_asked_for() -> None:
    """A fixed address would be down for ever, and what is down is told."""
    config = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))

    [caddy] = (job for job in config["scrape_configs"] if job["job_name"] == "caddy")

    assert caddy["dns_sd_configs"][0]["names"] == ["proxy"]
    assert "static_configs" not in caddy


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent_as_told(case: Path) -> None:
    promtool("test", "rules", f"/prometheus-files/tests/{case.name}")


def story_of(case: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What promtool reads, and the groups of rules that it takes."""
    story = yaml.safe_load(case.read_text(encoding="utf-8"))
    files = ((case.parent / rules).read_text(encoding="utf-8") for rules in story["rule_files"])
    return story, list(chain.from_iterable(yaml.safe_load(file)["groups"] for file in files))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_promises_are_looked_at_as_often_as_in_truth(case: Path) -> None:
    """Half as many looks would hide what three failures in a row bring up."""
    story, groups = story_of(case)

    assert {group["interval"] for group in groups if "interval" in group} <= {story["evaluation_interval"]}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_story_goes_the_same_way_each_time(case: Path) -> None:
    """promtool takes the groups that it is told no order of as they come, and one that reads another's values tells another story then."""
    story, groups = story_of(case)
    names = [group["name"] for group in groups]

    assert len(names) == 1 or story["group_eval_order"] == names


def alerts_expected(*, firing: bool) -> set[str]:
    stories = chain.from_iterable(yaml.safe_load(case.read_text(encoding="utf-8"))["tests"] for case in CASES)
    expected: Iterator[dict[str, Any]] = chain.from_iterable(story.get("alert_rule_test", []) for story in stories)
    return {one["alertname"] for one in expected if bool(one["exp_alerts"]) is firing}


def test_every_alert_fires_in_one_story_and_is_silent_in_another() -> None:
    named = {alert.name for alert in ALERTS}
    never_silent = {"Watchdog"}

    assert alerts_expected(firing=True) == named
    assert alerts_expected(firing=False) == named - never_silent


@pytest.mark.parametrize("slo", SLOS, ids=lambda slo: slo.name)
def test_what_keeps_a_promise_quiet_is_a_page_of_its_own(slo: Slo) -> None:
    pages = {alert.name for alert in ALERTS if alert.severity is Severity.PAGE and not alert.slo}

    assert set(slo.causes) <= pages
    assert set(slo.jobs) <= HARMS.keys()
    assert bool(slo.causes) is slo.pages


def test_rules_ask_only_for_what_is_exported() -> None:
    rules = chain.from_iterable(recording_rules(slo) for slo in SLOS)
    expressions = [*(alert.expr for alert in ALERTS), *(str(rule["expr"]) for rule in rules)]

    asked = set(re.findall(r"\b(?:bmc|ledger)_\w+", " ".join(expressions)))

    assert asked - exported() == set()


def exported() -> set[str]:
    return set(chain.from_iterable(map(_series, chain(REGISTRY.collect(), a_state().collect()))))


NO_HISTORY = History(0, None, None)


def a_state() -> SnapshotCollector:
    collector = SnapshotCollector(["USD"], clock=lambda: datetime.now(UTC))
    collector.show(
        Snapshot(
            datetime.now(UTC), {}, {}, {}, {}, {}, {}, {}, {}, NOTHING, {}, Overdrafts(0, 0), NO_HISTORY, None, None
        )
    )
    return collector


def _series(metric: Metric) -> list[str]:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(metric.type, [""])
    return [metric.name + ending for ending in endings]


# What is not there cannot be too large ---------------------------------------------------------------------------------

INPUTS = sorted({one for alert in ALERTS for one in selectors(alert.expr) if not one[0].startswith(("slo:", "ALERTS"))})
"""Without those of Prometheus itself: where no alert fires, none is to be missed."""

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
    ("ledger_(janitor|balance|disk|tls|pending)_", "TargetAbsent", NO_JOB.format("janitor")),
    *((r"(ledger_event_loop|process|up\b)", "TargetAbsent", NO_JOB.format(job)) for job in MISSED),
    ("pg_(up|scrape)", "TargetAbsent", NO_JOB.format("postgres")),
    ("pg_", "PostgresExporterFails", "pg_up"),
    ("pg_", "PostgresCollectorFailing", "pg_scrape_collector_success"),
    ("alertmanager_", "TargetAbsent", NO_JOB.format("alertmanager")),
    ("prometheus_", "TargetAbsent", NO_JOB.format("prometheus")),
)
"""What is asked for, the alert that tells when it is missing, and where that stands in the alert."""


@pytest.mark.parametrize("asked", ["".join(one) for one in INPUTS])
def test_what_an_alert_asks_for_is_missed_when_it_is_not_there(asked: str) -> None:
    expressions = {alert.name: alert.expr for alert in ALERTS}
    missed_by = [(name, clause) for pattern, name, clause in MISSED_BY if re.match(pattern, asked)]

    assert missed_by
    assert [(name, clause) for name, clause in missed_by if clause not in expressions[name]] == []


@pytest.mark.parametrize(
    ("metric", "matchers"),
    [one for one in INPUTS if re.match("ledger_(webhook|telegram|updates|outbox_claims)_", one[0])],
)
def test_what_an_alert_counts_is_counted_from_the_start(metric: str, matchers: str) -> None:
    """A counter that is born at 1 shows no increase, and one that is never born fails no share."""
    wanted = re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers)
    samples = [sample for one in REGISTRY.collect() for sample in one.samples if sample.name == metric]

    assert any(all(fits(sample.labels.get(label, ""), *how) for label, *how in wanted) for sample in samples)


def fits(value: str, sign: str, sought: str) -> bool:
    is_same = bool(re.fullmatch(sought, value)) if "~" in sign else value == sought
    return is_same is not sign.startswith("!")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_the_harm_in_few_words(alert: Alert) -> None:
    assert re.fullmatch("([A-Z][a-z0-9]+)+", alert.name)
    for job in HARMS:
        assert 10 < len(summary_of(alert, job)) <= 80
    assert "{{" in alert.description or alert.description.endswith(".")


def summary_of(alert: Alert, job: str) -> str:
    """The summary as it is read when the alert is of that job."""
    harms = dict(re.findall(r'if eq \$labels.job "(\w+)" }}(.*?){{', alert.summary))
    chosen = re.sub(r"^{{ if .* end }}", lambda _: harms[job], alert.summary)
    return chosen.replace("{{ $labels.job }}", job)


def test_no_name_is_given_twice() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
