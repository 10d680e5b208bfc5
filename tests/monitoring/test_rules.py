"""The rules are what they are written from, Prometheus takes them, and every alert says what it must."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from monitoring.__main__ import ROOT, written_files
from monitoring.alerts import ALERTS, Alert

IMAGE = "prom/prometheus:v3.13.3"


@pytest.mark.parametrize("path", written_files(), ids=lambda path: path.name)
def test_a_written_file_is_what_it_is_written_from(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == written_files()[path], "run `make monitoring`"


def promtool(*words: str) -> str:
    mount = f"{ROOT / 'prometheus'}:/prometheus-files:ro"
    command = ["docker", "run", "--rm", "--entrypoint", "/bin/promtool", "--volume", mount, IMAGE, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules_without_a_complaint() -> None:
    files = [f"/prometheus-files/rules/{path.name}" for path in written_files() if path.parent.name == "rules"]

    promtool("check", "rules", "--lint=all", "--lint-fatal", *files)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_the_harm_in_few_words(alert: Alert) -> None:
    assert re.fullmatch("([A-Z][a-z0-9]+)+", alert.name)
    assert 10 < len(alert.summary) <= 80
    assert "{{" in alert.description or alert.description.endswith(".")


def test_no_name_is_given_twice() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
