"""Test the receiver of each alert, the silencing of alerts and the text of messages, with Alertmanager's own tool, amtool."""

import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.alerts import ALERTS, Severity
from monitoring.slos import SLOS, Slo
from tests.e2e.stack import await_that
from tests.files import ROOT

IMAGE = "prom/alertmanager:v0.34.1"
RUNBOOK_URL = "https://example.org/blob/main/runbook.md"
FOLDER = ROOT / "alertmanager"
CONFIG = yaml.safe_load((FOLDER / "alertmanager.yml").read_text(encoding="utf-8"))
NAMES = sorted(alert.name for alert in ALERTS)
RECEIVERS = {Severity.PAGE: "page", Severity.TICKET: "ticket", Severity.NONE: "watchdog"}


def in_container(*words: str, entrypoint: str = "/bin/amtool", mounts: tuple[str, ...] = (), **environ: str) -> str:
    done = try_in_container(*words, entrypoint=entrypoint, mounts=mounts, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def try_in_container(
    *words: str, entrypoint: str, mounts: tuple[str, ...], **environ: str
) -> subprocess.CompletedProcess[str]:
    settings = [f"--env={name}={value}" for name, value in environ.items()]
    volumes = [f"--volume={mount}:ro" for mount in (f"{FOLDER}:/etc/alertmanager", *mounts)]
    command = ["docker", "run", "--rm", "--init", "--entrypoint", entrypoint, *settings, *volumes, IMAGE, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_alertmanager_accepts_its_configuration() -> None:
    assert "2 templates" in in_container("check-config", "/etc/alertmanager/alertmanager.yml")


@pytest.mark.parametrize("severity", Severity)
def test_a_severity_has_its_receiver(severity: Severity) -> None:
    config = "--config.file=/etc/alertmanager/alertmanager.yml"
    for labels in (["slo=ingest"], ["job=bot"], []):
        receiver = f"--verify.receivers={RECEIVERS[severity]}"

        in_container("config", "routes", "test", config, receiver, f"severity={severity}", *labels)


def test_an_unknown_severity_goes_to_the_pages() -> None:
    config = "--config.file=/etc/alertmanager/alertmanager.yml"

    in_container("config", "routes", "test", config, "--verify.receivers=page", "severity=warning")
    in_container("config", "routes", "test", config, "--verify.receivers=page", "alertname=Anything")


def test_a_page_has_a_sound_and_a_ticket_has_none() -> None:
    [page] = receiver("page")["telegram_configs"]
    [ticket] = receiver("ticket")["telegram_configs"]

    assert not page.get("disable_notifications")
    assert ticket == page | {"disable_notifications": True}
    assert page["parse_mode"] == "HTML"


def receiver(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in CONFIG["receivers"] if one["name"] == name)
    return found


# Starting -------------------------------------------------------------------------------------------------------------


def run_start(secrets: Path, script: str, **environ: str) -> str:
    """Run start.sh with a shell script in place of Alertmanager, and return the script's output."""
    done = try_start(secrets, script, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def try_start(secrets: Path, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    stand_in = secrets.parent / "alertmanager"
    stand_in.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    stand_in.chmod(0o755)
    secrets.chmod(0o755)
    return try_in_container(
        "/etc/alertmanager/start.sh",
        "--a-flag",
        entrypoint="/bin/sh",
        mounts=(f"{secrets}:/run/secrets", f"{stand_in}:/bin/alertmanager"),
        **{"TELEGRAM_API_URL": "https://api.telegram.org"} | environ,
    )


def started(secrets: Path, api_url: str) -> tuple[dict[str, Any], str]:
    """Return the configuration that start.sh chooses, and the flags that start.sh passes to Alertmanager."""
    output = run_start(secrets, 'cat "${1#--config.file=}"; echo "# $*"', TELEGRAM_API_URL=api_url)
    return yaml.safe_load(output), output.splitlines()[-1]


def links(secrets: Path, **urls: str) -> str:
    """Return the content of `links.tmpl`, the template for links in messages. start.sh writes this file."""
    return run_start(secrets, "cat /tmp/links.tmpl", **urls)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    tmp_path.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("files", "receivers"),
    [
        ({"alerts_bot_token": "1:token"}, ["page", "nobody", "ticket"]),
        ({"alerts_watchdog_url": "https://switch.example/ours"}, ["nobody", "watchdog", "nobody"]),
        ({"alerts_bot_token": ""}, ["nobody", "nobody", "nobody"]),
        ({}, ["nobody", "nobody", "nobody"]),
    ],
    ids=["a token", "a dead man's switch", "an empty token", "nothing"],
)
def test_alerts_go_only_to_the_receivers_that_are_set_up(
    secrets: Path, files: dict[str, str], receivers: list[str]
) -> None:
    for name, content in files.items():
        (secrets / name).write_text(content)

    config, flags = started(secrets, "https://api.telegram.org")

    assert receivers_of(config) == receivers
    assert config["receivers"] == CONFIG["receivers"]
    assert flags.endswith(" --a-flag")


def test_with_a_token_and_a_dead_mans_switch_the_configuration_is_unchanged(secrets: Path) -> None:
    (secrets / "alerts_bot_token").write_text("1:token")
    (secrets / "alerts_watchdog_url").write_text("https://switch.example/ours")

    config, _ = started(secrets, "https://api.telegram.org")

    assert config == CONFIG


def receivers_of(config: dict[str, Any]) -> list[str]:
    return [route["receiver"] for route in (config["route"], *config["route"]["routes"])]


def test_another_bot_api_can_be_set(secrets: Path) -> None:
    (secrets / "alerts_bot_token").write_text("1:token")

    config, _ = started(secrets, "http://sandbox:8090/telegram")

    assert config["global"] == {"telegram_api_url": "http://sandbox:8090/telegram"}


@pytest.mark.parametrize("setting", ["ALERTS_RUNBOOK_URL", "ALERTS_DASHBOARD_URL"])
@pytest.mark.parametrize(
    "url", ["runbook.md", "javascript:alert(1)", 'https://x.org/"', "https://x.org/{{ . }}", "https://x.org/#a"]
)
def test_a_malformed_address_stops_the_start_with_the_name_of_the_setting(
    secrets: Path, setting: str, url: str
) -> None:
    with pytest.raises(AssertionError, match=f"{setting} must be an address"):
        links(secrets, **{setting: url})


# The log --------------------------------------------------------------------------------------------------------------

TOKEN = "7000000002:AAGwWrzTokenOfTheAlertsBotXyZ-45"
WATCHDOG_URL = "https://switch.invalid/ours?key=*[a]&$1"
"""An address with characters that have a meaning in shell patterns and in regular expressions."""


@pytest.fixture
def both_secrets(secrets: Path) -> Path:
    (secrets / "alerts_bot_token").write_text(TOKEN)
    (secrets / "alerts_chat_id").write_text("1")
    (secrets / "alerts_watchdog_url").write_text(WATCHDOG_URL)
    return secrets


@contextmanager
def running(secrets: Path, api_url: str) -> Iterator[str]:
    """Run Alertmanager without a network, and yield the name of the container. Alerts are sent without a delay."""
    folder = secrets.parent / "config"
    shutil.copytree(FOLDER, folder)
    config = (folder / "alertmanager.yml").read_text(encoding="utf-8")
    (folder / "alertmanager.yml").write_text(re.sub("group_wait: .*", "group_wait: 0s", config), encoding="utf-8")
    secrets.chmod(0o755)
    name = f"coffee-ledger-tests-alertmanager-{uuid.uuid4().hex}"
    mounts = [f"--volume={folder}:/etc/alertmanager:ro", f"--volume={secrets}:/run/secrets:ro"]
    how = ["--detach", "--init", "--network=none", f"--env=TELEGRAM_API_URL={api_url}", "--entrypoint=/bin/sh"]
    flags = ["--storage.path=/alertmanager", "--cluster.listen-address="]
    docker("run", f"--name={name}", *how, *mounts, IMAGE, "/etc/alertmanager/start.sh", *flags)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def docker(*words: str) -> str:
    """Run a command of Docker, and return its output and its errors."""
    done = subprocess.run(
        ["docker", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("api_url", "reason"),
    [("http://telegram.invalid", "dial tcp: lookup"), ("http://127.0.0.1:9", "connection refused")],
    ids=["an unknown host", "a refused connection"],
)
def test_a_failed_call_is_logged_without_the_secret_in_its_address(
    both_secrets: Path, api_url: str, reason: str
) -> None:
    with running(both_secrets, api_url) as name:
        await_that(lambda: "Listening on" in docker("logs", name))
        for severity in ("page", "none"):
            address = "--alertmanager.url=http://127.0.0.1:9093"
            docker("exec", name, "amtool", "alert", "add", address, "Canary", f"severity={severity}")
        await_that(lambda: {"telegram[0]", "webhook[0]"} <= failed_integrations(docker("logs", name)))
        docker("stop", name)

        said = docker("logs", name)
        assert f"{api_url}/bot<alerts_bot_token>/sendMessage" in said
        assert reason in said
        assert TOKEN.partition(":")[2] not in said
        assert WATCHDOG_URL not in said
        # start.sh must pass SIGTERM on to Alertmanager. After SIGTERM, Alertmanager logs "Received SIGTERM" and ends with
        # status 0. If Alertmanager is killed, the status is 137.
        assert "Received SIGTERM" in said
        assert docker("inspect", "--format={{.State.ExitCode}}", name) == "0\n"


def failed_integrations(log: str) -> set[str]:
    return set(re.findall(r"Notify attempt failed.* integration=(\S+)", log))


def test_the_log_has_the_names_of_secrets_in_place_of_their_values(both_secrets: Path) -> None:
    twice = 'for name in alerts_bot_token alerts_watchdog_url; do cat $name; printf "|"; cat $name; echo "|"; done'

    said = run_start(both_secrets, rf"cd /run/secrets; {twice} >&2; printf '%s\n' 'other \n * words '; printf 'no end'")

    assert said.splitlines() == [
        "<alerts_bot_token>|<alerts_bot_token>|",
        "<alerts_watchdog_url>|<alerts_watchdog_url>|",
        r"other \n * words ",
        "no end",
    ]


def test_the_last_lines_and_the_exit_status_of_alertmanager_are_kept(secrets: Path) -> None:
    """
    The script start.sh is the main process of its container. When it ends, the kernel kills all other processes there.

    So start.sh waits for the process that writes the log. In a version without this wait, only the first 30 to 130 of the 5,000
    lines of this test were logged.
    """
    done = try_start(secrets, "seq 5000; exit 3")

    assert done.stdout.splitlines() == [str(number) for number in range(1, 5001)]
    assert done.returncode == 3
    assert done.stderr == "alertmanager: ALERTS_BOT_TOKEN is not set; alerts are not sent\n"


# Silencing ------------------------------------------------------------------------------------------------------------

Labels = dict[str, str]


@dataclass(frozen=True)
class Matcher:
    label: str
    is_pattern: bool
    value: str

    @classmethod
    def parse(cls, text: str) -> "Matcher":
        label, sign, value = re.fullmatch(r'(\w+)(=~?)"(.*)"', text).groups()  # type: ignore[union-attr] # no match must fail
        return cls(label, sign == "=~", value)

    def fits(self, labels: Labels) -> bool:
        found = labels.get(self.label, "")
        return bool(re.fullmatch(self.value, found)) if self.is_pattern else found == self.value


def inhibits(source: Labels, target: Labels) -> bool:
    """
    Return whether an alert *source* silences an alert *target*.

    If both alerts lack a label, the label counts as equal. Alertmanager follows the same rule.
    """
    return any(
        all(Matcher.parse(text).fits(source) for text in rule["source_matchers"])
        and all(Matcher.parse(text).fits(target) for text in rule["target_matchers"])
        and all(source.get(label, "") == target.get(label, "") for label in rule.get("equal", []))
        for rule in CONFIG["inhibit_rules"]
    )


def labels_of(name: str, **more: str) -> Labels:
    alert = next(alert for alert in ALERTS if alert.name == name)
    slo = {"slo": alert.slo} if alert.slo else {}
    return {"alertname": name, "severity": str(alert.severity)} | slo | more


@pytest.mark.parametrize(
    ("cause", "symptoms"),
    [
        (labels_of("ToldBudgetBurnFast"), "ToldBudgetBurnSlow"),
        (labels_of("PostgresDown"), "SnapshotStale WebhookProbeFailing EventsSpooled IngestBudgetBurnFast"),
        (labels_of("PostgresDown"), "OutboxUndelivered HandoversStuck UpdatesFail PostgresCollectorFailing"),
        (labels_of("PostgresDown"), "ReconciliationNotSucceeding"),
        (labels_of("ReconciliationTokenRefused"), "ReconciliationNotSucceeding"),
        (labels_of("ReconciliationBlocked"), "ReconciliationNotSucceeding"),
        (labels_of("ReconciliationApiChanged"), "ReconciliationNotSucceeding"),
        (labels_of("PostgresExporterFails"), "PostgresCollectorFailing"),
        (labels_of("TargetDown", job="bot"), "OutboxStuck OutboxUndelivered HandoversStuck"),
        (labels_of("TargetAbsent", job="bot"), "OutboxStuck"),
        (labels_of("TargetAbsent", job="janitor"), "SnapshotStale WebhookProbeAbsent"),
        (labels_of("TargetDown", job="webhook"), "WebhookProbeFailing"),
        (labels_of("TargetDown", job="caddy"), "WebhookProbeFailing"),
        (labels_of("TelegramTokenRefused"), "OutboxUndelivered"),
        (labels_of("TelegramTwoPollers"), "TelegramErrors"),
        (labels_of("OutboxStuck"), "OutboxUndelivered"),
        (labels_of("DiskNearlyFull"), "DiskFilling"),
        (labels_of("WebhookAllSignaturesFail"), "WebhookNearDisable"),
        (labels_of("AlertmanagerNotifyFailing"), "Watchdog"),
    ],
    ids=str,
)
def test_a_cause_silences_its_symptoms(cause: Labels, symptoms: str) -> None:
    assert [name for name in symptoms.split() if not inhibits(cause, labels_of(name))] == []


@pytest.mark.parametrize(
    ("one", "others"),
    [
        (labels_of("ToldBudgetBurnFast"), "BotBudgetBurnSlow PaymentUnmatchedOld"),
        (labels_of("WebhookNearDisable"), "PaymentUnmatchedOld"),
        (labels_of("PostgresDown"), "WebhookNearDisable TargetDown"),
        (labels_of("PostgresExporterFails"), "WebhookProbeFailing OutboxStuck IngestBudgetBurnFast"),
        (labels_of("TargetDown", job="webhook"), "OutboxStuck"),
        (labels_of("TargetDown", job="alertmanager"), "SnapshotStale"),
        (labels_of("TelegramErrors"), "OutboxUndelivered"),
        (labels_of("TelegramTwoPollers"), "UpdatesFail"),
        (labels_of("BackupOld"), "DiskFilling"),
        (labels_of("WatchdogNotifyFailing"), "Watchdog"),
        (labels_of("OutboxUndelivered"), "BotBudgetBurnFast HandoversStuck"),
        (labels_of("ReconciliationTokenRefused"), "WebhooksMissed ChargeNotListed JanitorTaskNotSucceeding"),
    ],
    ids=str,
)
def test_an_alert_does_not_silence_others_that_are_no_symptoms(one: Labels, others: str) -> None:
    assert [name for name in others.split() if inhibits(one, labels_of(name, job="bot"))] == []


def test_a_hanging_database_silences_the_alert_about_its_exporter() -> None:
    assert inhibits(labels_of("PostgresDown"), labels_of("TargetDown", job="postgres"))


@pytest.mark.parametrize("slo", [slo for slo in SLOS if slo.pages], ids=lambda slo: slo.name)
def test_the_causes_that_silence_a_fast_burn_silence_the_slow_one(slo: Slo) -> None:
    gone = [labels_of(name, job=job) for name, job in product(("TargetDown", "TargetAbsent"), slo.jobs)]

    for cause in (*map(labels_of, slo.causes), *gone):
        assert inhibits(cause, labels_of(f"{slo.name.capitalize()}BudgetBurnSlow"))


@pytest.mark.parametrize("name", NAMES)
def test_no_alert_silences_itself(name: str) -> None:
    assert not inhibits(labels_of(name, job="bot"), labels_of(name, job="bot"))


def test_silencing_rules_name_existing_alerts() -> None:
    rules = CONFIG["inhibit_rules"]
    texts = [text for rule, side in product(rules, ("source_matchers", "target_matchers")) for text in rule[side]]
    patterns = [matcher.value for matcher in map(Matcher.parse, texts) if matcher.label == "alertname"]
    named = [one for pattern in patterns for one in re.split(r"\|(?![^(]*\))", pattern)]

    assert [one for one in named if not any(re.fullmatch(one, name) for name in NAMES)] == []


# Messages -------------------------------------------------------------------------------------------------------------


def an_alert(job: str = "bot", *, status: str = "firing", **annotations: str) -> dict[str, Any]:
    texts = {
        "summary": "A service is down",
        "description": f"{job} does not answer.",
        "runbook_url": "https://example.org/runbook.md#targetdown",
        "dashboard_url": "http://127.0.0.1:3000/d/ledger-platform",
    }
    return {
        "status": status,
        "labels": {"alertname": "TargetDown", "severity": "page", "job": job},
        "annotations": texts | annotations,
        "startsAt": "2026-11-23T03:05:00Z",
        "endsAt": "2026-11-23T03:15:00Z" if status == "resolved" else "0001-01-01T00:00:00Z",
    }


def rendered(tmp_path: Path, *alerts: dict[str, Any], severity: str = "page", links: str = "") -> str:
    """Return the message that Alertmanager renders for a group of alerts. *links* is the content of the file `links.tmpl`."""
    common = {name: text for name, text in alerts[0]["annotations"].items() if name != "description"}
    data = {
        "status": "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved",
        "receiver": severity,
        "alerts": alerts,
        "groupLabels": {"alertname": "TargetDown"},
        "commonLabels": {"alertname": "TargetDown", "severity": severity},
        "commonAnnotations": common,
        "externalURL": "http://alertmanager:9093",
    }
    tmp_path.chmod(0o755)
    (tmp_path / "data.json").write_text(json.dumps(data), encoding="utf-8")
    [config] = receiver(severity)["telegram_configs"]
    globs = ["--template.glob=/etc/alertmanager/*.tmpl"]
    if links:
        (tmp_path / "links.tmpl").write_text(links, encoding="utf-8")
        globs.append("--template.glob=/data/links.tmpl")
    words = (*globs, f"--template.text={config['message']}")
    how = ("--template.type=html", "--template.data=/data/data.json")
    return in_container("template", "render", *words, *how, mounts=(f"{tmp_path}:/data",)).strip()


def test_a_page_has_a_summary_and_a_line_for_each_alert_with_its_time(tmp_path: Path) -> None:
    assert rendered(tmp_path, an_alert("bot"), an_alert("webhook")) == (
        "🚨 <b>TargetDown</b>\n"
        "A service is down\n"
        "\n"
        "bot does not answer. <i>Since 23 Nov 03:05 UTC</i>\n"
        "webhook does not answer. <i>Since 23 Nov 03:05 UTC</i>"
    )


RUNBOOK_LINK = f'<a href="{RUNBOOK_URL}#targetdown">What to do</a>'
DASHBOARD_LINK = '<a href="https://grafana.example/d/ledger-platform">Dashboard</a>'


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        ({"ALERTS_RUNBOOK_URL": RUNBOOK_URL}, [RUNBOOK_LINK]),
        ({"ALERTS_DASHBOARD_URL": "https://grafana.example/"}, [DASHBOARD_LINK]),
        (
            {"ALERTS_RUNBOOK_URL": RUNBOOK_URL, "ALERTS_DASHBOARD_URL": "https://grafana.example"},
            [RUNBOOK_LINK, DASHBOARD_LINK],
        ),
    ],
    ids=["runbook", "dashboard", "both"],
)
def test_a_message_has_the_links_that_are_set_and_no_others(
    secrets: Path, tmp_path: Path, urls: dict[str, str], expected: list[str]
) -> None:
    message = rendered(tmp_path, an_alert(), links=links(secrets, **urls))

    lines = message.splitlines()
    assert lines[-len(expected) :] == expected
    assert message.count("<a ") == len(expected)


def test_a_ticket_has_its_own_sign(tmp_path: Path) -> None:
    assert rendered(tmp_path, an_alert(), severity="ticket").startswith("🎫 <b>TargetDown</b>\n")


def test_a_resolved_message_repeats_neither_summary_nor_description(tmp_path: Path) -> None:
    """The summary and the description state the fault in the present tense, which is wrong once the fault is over."""
    message = rendered(tmp_path, an_alert(status="resolved"))

    assert message == "✅ <b>TargetDown</b> is over\nOver: bot <i>23 Nov 03:05 to 23 Nov 03:15 UTC</i>"


def test_a_message_can_have_firing_and_resolved_alerts(tmp_path: Path) -> None:
    message = rendered(tmp_path, an_alert("bot"), an_alert("webhook", status="resolved"))

    assert message.startswith("🚨 <b>TargetDown</b>\n")
    assert "\nbot does not answer. <i>" in message
    assert "\nOver: webhook <i>" in message
    assert "webhook does not answer" not in message


def test_characters_of_html_are_escaped(tmp_path: Path) -> None:
    message = rendered(tmp_path, an_alert(summary="1 < 2 & <b>", description='<a href="x">'))

    assert "1 &lt; 2 &amp; &lt;b&gt;" in message
    assert "&lt;a href=&#34;x&#34;&gt;" in message


def test_a_message_of_many_alerts_fits_into_telegrams_limit(tmp_path: Path) -> None:
    crowd = [an_alert(f"service-{number}", description="x" * 150) for number in range(40)]

    message = rendered(tmp_path, *crowd, *(alert | {"status": "resolved"} for alert in crowd))

    assert len(message) < 4096
    assert "… 40 in all" in message
    assert message.endswith("… 40 over in all")


def test_the_alerts_of_one_message_share_their_summary_and_their_runbook_link() -> None:
    """
    A message shows a summary and a runbook link only if all alerts in the message have the same summary and link.

    The alerts in a message share only the labels by which Alertmanager groups them. So summaries and links may contain only
    these labels.
    """
    named = {label for alert in ALERTS for label in re.findall(r"\$labels\.(\w+)", alert.summary)}

    assert [alert.name for alert in ALERTS if "$value" in alert.summary] == []
    assert named <= {"job"}
    assert CONFIG["route"]["group_by"] == ["alertname", "slo", "job"]
