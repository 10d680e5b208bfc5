"""Check the restrictions of every container, the networks that connect the containers, and the order in which they start."""

import json
import os
import re
import subprocess
from typing import Any

import pytest

from tests.files import ROOT

FILLERS = {"config-check", "config-files", "secrets"}
"""These services check the settings and fill volumes. They have no network. They end before their dependent services start."""

ONE_SHOTS = FILLERS | {"migrate"}
"""These services exit when their work is done, so they need no health check."""

PAYMENT_PATH = ("proxy", "bot", "janitor")
"""
The services that operators start by name if the image of another service, such as `grafana`, cannot be pulled (docs/deploy.md).

Compose then also starts the services that the named services depend on, but no others.
"""

NETWORKS_MAX = 4
"""By default, Docker can create only about thirty networks on one machine, so this project must use few of them."""

LOCAL_ONLY = {"sandbox", "grafana"}
"""Each of these services publishes its port only on 127.0.0.1, for a browser on the same machine or behind an SSH tunnel."""

CAPABILITIES = {"proxy": ["NET_BIND_SERVICE"], "config-check": ["DAC_READ_SEARCH"]}
"""
Maps each service to the Linux capabilities that it has. The proxy's binary does not start without NET_BIND_SERVICE.
`config-check` needs DAC_READ_SEARCH to read `.env`, because only the file's owner may read this file.
"""

ROOTS = {"config-check"}
"""These services run as root, without a network and with read access only."""

PROCESSES_MAX = {"grafana": 512}
"""Maps services that may run more than 300 processes to their limits. Grafana runs each data source plugin as a process."""


def configuration(**settings: str) -> dict[str, Any]:
    profiles = ("--profile", "sandbox", "--profile", "tracing")
    command = ["docker", "compose", "--env-file", ".env.sandbox", *profiles, "config", "--format", "json"]
    environ = {**os.environ, **settings}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


CONFIGURATION = configuration()
SERVICES: dict[str, Any] = CONFIGURATION["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


@each_service
def test_a_container_has_only_the_rights_that_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert re.fullmatch("0:0" if name in ROOTS else "[1-9][0-9]*(:[0-9]+)?", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == CAPABILITIES.get(name, [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@each_service
def test_a_container_cannot_exhaust_the_machine(name: str) -> None:
    service = SERVICES[name]

    assert int(service["mem_limit"]) == int(service["memswap_limit"]) <= 2**30
    assert service["pids_limit"] <= PROCESSES_MAX.get(name, 300)
    assert float(service["cpus"]) <= 2
    assert service["logging"]["options"]["max-size"]


@each_service
def test_an_image_has_an_exact_version(name: str) -> None:
    image = SERVICES[name]["image"]

    assert image == ("coffee-ledger-sandbox:demo" if name == "sandbox" else "coffee-ledger:demo") or re.fullmatch(
        r"[a-z./-]+:v?\d+\.\d+(\.\d+)?", image
    )


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOTS))
def test_a_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def networks(name: str) -> set[str]:
    return set(SERVICES[name].get("networks") or ())


def is_internal(network: str) -> bool:
    return CONFIGURATION["networks"][network].get("internal") is True


@pytest.mark.parametrize("name", ["webhook", "migrate", "db", "prometheus", "postgres-exporter", "tempo"])
def test_services_that_need_no_internet_have_none(name: str) -> None:
    assert networks(name)
    assert all(is_internal(network) for network in networks(name))


def test_only_these_services_reach_the_internet() -> None:
    """
    The proxy obtains its certificate, the bot calls Telegram, Alertmanager sends alerts, and the janitor calls BMC's API.

    The sandbox does not run in production. Grafana is in the set, because its network is not internal. But this network has no
    masquerading, so Grafana cannot reach the internet.
    """
    reach = {name for name in SERVICES if not all(is_internal(network) for network in networks(name))}

    assert reach == {"proxy", "bot", "alertmanager", "janitor", "sandbox", "grafana"}


def test_the_probe_posts_to_the_address_that_payments_use() -> None:
    """
    By default, the janitor sends its probes, which are synthetic payments, to Caddy (`proxy`).

    If payments arrive through nginx, operators set PROBE_URL to the address of nginx.
    """
    elsewhere = configuration(PROBE_URL="https://nginx/bmc-webhook")["services"]["janitor"]["environment"]

    assert SERVICES["janitor"]["environment"]["PROBE_URL"] == "https://proxy/bmc-webhook"
    assert elsewhere["PROBE_URL"] == "https://nginx/bmc-webhook"


def test_only_the_proxy_is_open_to_the_world() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}

    assert published.keys() <= {"proxy"} | LOCAL_ONLY
    for name in published.keys() - {"proxy"}:
        assert all(port["host_ip"] == "127.0.0.1" for port in published[name]), name
    assert {port["target"] for port in published["proxy"]} == {80, 443}


def test_the_spool_is_in_a_volume_that_only_the_webhook_mounts() -> None:
    """
    The spool must outlive the webhook's container, so it is in a volume.

    The spool contains supporters' notes, so no other service may read it.
    """
    users = [name for name in SERVICES if "spool" in {one.get("source") for one in SERVICES[name].get("volumes") or []}]
    [mount] = (one for one in SERVICES["webhook"]["volumes"] if one["source"] == "spool")

    assert users == ["webhook"]
    assert (mount["type"], mount["target"]) == ("volume", SERVICES["webhook"]["environment"]["SPOOL_FOLDER"])


def test_only_the_demo_leads_the_connections_to_the_database_through_the_sandbox() -> None:
    """
    In the demo, the sandbox forwards the services' connections to the database, so that the demo's page can cut them.

    The sandbox has no password of the database, and production has no sandbox.
    """
    in_production = configuration(DATABASE_ADDRESS="")["services"]

    assert SERVICES["secrets"]["environment"]["DATABASE_ADDRESS"] == "sandbox:5432"
    assert in_production["secrets"]["environment"]["DATABASE_ADDRESS"] == "db:5432"
    assert SERVICES["sandbox"].get("volumes") is None


def secrets_volumes(name: str) -> set[str]:
    mounts = SERVICES[name].get("volumes") or []
    return {one["source"] for one in mounts if one["type"] == "volume" and one["source"].startswith("secrets-")}


def test_each_volume_of_secrets_has_one_reader() -> None:
    readers = [volume for name in SERVICES.keys() - FILLERS for volume in secrets_volumes(name)]

    assert sorted(readers) == sorted(secrets_volumes("secrets"))


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - FILLERS))
def test_volumes_of_secrets_are_mounted_read_only(name: str) -> None:
    mounts = [one for one in SERVICES[name].get("volumes") or [] if str(one.get("source")).startswith("secrets-")]

    assert all(one.get("read_only") for one in mounts)


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - FILLERS - {"sandbox"}))
def test_no_environment_contains_a_secret(name: str) -> None:
    environment = SERVICES[name].get("environment") or {}

    assert not [
        value for value in environment.values() if "sandbox-token" in str(value) or "sandbox-secret" in str(value)
    ]


# Starting the stack ---------------------------------------------------------------------------------------------------


def needed_by(*names: str) -> set[str]:
    """Return *names* and all services that Compose starts because *names* depend on them."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in SERVICES and name not in found:
            found.add(name)
            waiting += [one for one, how in SERVICES[name].get("depends_on", {}).items() if how.get("required", True)]
    return found


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"sandbox"}))
def test_nothing_starts_before_the_settings_are_checked(name: str) -> None:
    assert "config-check" in needed_by(name)


def test_the_check_gets_every_setting_that_a_service_gets() -> None:
    checked = SERVICES["config-check"]["environment"]
    given = [
        (name, value) for one in ("webhook", "bot", "janitor") for name, value in SERVICES[one]["environment"].items()
    ]
    made_by_compose = {"SPOOL_FOLDER", "DISK_FOLDER", "ALERTS"}

    for name, value in given:
        if not name.endswith("_FILE") and name not in made_by_compose:
            assert checked.get(name) == value, name
    assert {name for name in SERVICES["secrets"]["environment"] if name not in checked} == set()


def test_the_bot_learns_whether_alerts_are_sent_but_not_where() -> None:
    unset = configuration(ALERTS_CHAT_ID="", ALERTS_BOT_TOKEN="")["services"]["bot"]["environment"]
    given = configuration(ALERTS_CHAT_ID="-1001234567890", ALERTS_BOT_TOKEN="123456789:AAF")
    environment = given["services"]["bot"]["environment"]

    assert unset["ALERTS"] == ""
    assert environment == unset | {"ALERTS": "on"}


def test_the_check_has_no_network_and_changes_nothing() -> None:
    check = SERVICES["config-check"]

    assert check["network_mode"] == "none"
    assert all(mount.get("read_only") for mount in check["volumes"])


def test_only_the_check_depends_on_the_file_modes_of_the_checkout() -> None:
    """
    Only `config-check`, which runs as root, may use a bind mount.

    A bind mount keeps the file modes of the checkout. The other services do not run as root. After a clone under umask 077, they
    could not read the mounted files.
    """
    bound = [name for name in SERVICES for mount in SERVICES[name].get("volumes") or [] if mount["type"] == "bind"]

    assert bound == ["config-check"]
    assert not CONFIGURATION.get("configs")
    assert not CONFIGURATION.get("secrets")


def test_each_volume_of_configuration_is_filled_once_and_mounted_read_only() -> None:
    mounts = [
        (mount["source"], bool(mount.get("read_only")))
        for name in SERVICES.keys() - FILLERS
        for mount in SERVICES[name].get("volumes") or []
        if str(mount.get("source")).startswith("config-")
    ]

    assert sorted(mounts) == sorted((mount["source"], True) for mount in SERVICES["config-files"]["volumes"])
    for name in SERVICES.keys() - FILLERS:
        if any(str(mount.get("source")).startswith("config-") for mount in SERVICES[name].get("volumes") or []):
            assert SERVICES[name]["depends_on"]["config-files"]["condition"] == "service_completed_successfully"


def test_the_payment_path_needs_no_image_of_the_monitoring_services() -> None:
    started = needed_by(*PAYMENT_PATH)

    assert started == {*ONE_SHOTS, "db", "webhook", *PAYMENT_PATH}
    deploy = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert f"\ndocker compose up -d {' '.join(PAYMENT_PATH)}\n" in deploy


@pytest.mark.parametrize("name", ["webhook", "bot"])
def test_a_failed_migration_does_not_keep_a_service_from_starting_that_users_wait_for(name: str) -> None:
    """
    Compose stops the old containers before it starts `migrate`. A service that depended on `migrate` would stay down after a
    failed migration.
    """
    assert "migrate" not in needed_by(name)


def test_a_failed_migration_fails_the_update() -> None:
    assert SERVICES["janitor"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_the_stack_uses_few_of_dockers_networks() -> None:
    assert len(CONFIGURATION["networks"]) <= NETWORKS_MAX
