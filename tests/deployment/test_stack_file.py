"""Compare the stack file for Docker Swarm with compose.yaml, and check the differences that a Swarm needs."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.config_files import copy_files
from services.links import Links
from services.secrets import write_secrets
from tests.files import ROOT

SWARM = ROOT / "deploy" / "swarm"
SETTINGS = {
    "IMAGE_TAG": "7.7",
    "HTTPS_PORT": "443",
    "HTTP_PORT": "80",
    "DATABASE_ADDRESS": "",
    # swarm.sh computes the following variables.
    "ALERTS": "on",
    "ACME_THUMBPRINT": "thumbprint",
    "WEBHOOK_REPLICAS": "3",
}
ONE_SHOTS = {"config-check", "config-files", "secrets"}
"""swarm.sh runs these services with Compose before it deploys the stack. So the stack does not contain them."""

ADDED = {"volumes"}
"""Only a Swarm needs this service. It prepares the volumes of each node."""

DIFFERENT: Mapping[str, Mapping[str, str | None]] = {
    # In a Swarm, `migrate` may run on another node than the database. So it cannot mount the database's volume.
    "migrate": {"DATABASE_FOLDER": None, "WEBHOOK_REPLICAS": "3", "BOT_REPLICAS": "2", "JANITOR_REPLICAS": "2"},
    # The janitor measures the disk that holds DISK_FOLDER. Compose sets DISK_FOLDER to /run/secrets. In a Swarm, this folder is
    # in memory and not on a disk.
    "janitor": {"DISK_FOLDER": "/"},
    "proxy": {"ACME_ANSWER": "on", "ACME_THUMBPRINT": "thumbprint"},
}
"""The environment variables that differ from Compose, with their value in a Swarm, or None if a Swarm does not set them."""

ALONE = {"db", "proxy", "prometheus", "alertmanager", "grafana", "tempo"}
"""
Each of these services has data or a port that only one container at a time may use. So an update stops the old container first.
"""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    words = ["docker", "compose", "--env-file", ".env.sandbox", "--profile", "tracing", "config", "--format", "json"]
    environ = {**os.environ, **SETTINGS}
    done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=True)
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return {name: service for name, service in services.items() if name not in ONE_SHOTS | {"sandbox"}}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the one-shot services write for swarm.sh."""
    state = tmp_path_factory.mktemp("state")
    for folder in ("db", "migrate", "webhook", "bot", "janitor", "watcher", "alertmanager", "grafana", "volumes"):
        (state / "secrets" / folder).mkdir(parents=True)
    write_secrets(state / "secrets", {"BOT_TOKEN": "1:token", "BMC_WEBHOOK_SECRETS": "secret"})
    (state / "secrets" / "volumes" / "acme_account_key").write_text("key")
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for source, target in re.findall(r"^COPY --chmod=755 (\S+) configuration/(\S+)$", dockerfile, re.MULTILINE):
        folder = state / "configuration" / target
        if (ROOT / source).is_dir():
            folder.mkdir(parents=True)
            copy_files(ROOT / source, folder, Links())
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.write_bytes((ROOT / source).read_bytes())
    return state


def swarm(state: Path, command: str, **settings: str) -> str:
    """
    Run the function *command* of swarm.sh, and return its output. The environment has the settings of the demo, except where
    `SETTINGS` or *settings* gives another value.
    """
    demo = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.sandbox").read_text(encoding="utf-8"), re.MULTILINE))
    environ = {**os.environ, **demo, "COMPOSE_PROFILES": "", **SETTINGS, "STATE": str(state), **settings}
    words = ["bash", "-c", f"source {SWARM}/swarm.sh; {command}"]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(state: Path, **settings: str) -> dict[str, Any]:
    """Return the content of the stack file that swarm.sh deploys. Replace `$$` by `$`, as Swarm does."""
    swarm(state, "render", **settings)
    found: dict[str, Any] = yaml.safe_load((state / "stack.yaml").read_text(encoding="utf-8").replace("$$", "$"))
    return found


@pytest.fixture(scope="module")
def stack(state: Path) -> dict[str, Any]:
    return render(state)


def services_of_both() -> list[str]:
    """
    Return the services of compose.yaml that the stack file should have.

    Read the file without Docker, because pytest calls this function when it collects the tests, even if it runs none of them.
    """
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return sorted(services.keys() - ONE_SHOTS - {"sandbox"})


each_service = pytest.mark.parametrize("name", services_of_both())


def test_a_swarm_runs_the_services_of_compose(stack: Mapping[str, Any]) -> None:
    assert set(stack["services"]) == {*services_of_both(), *ADDED}


@each_service
def test_a_service_is_the_same_program_as_in_compose(
    stack: Mapping[str, Any], compose: Mapping[str, Any], name: str
) -> None:
    ours, theirs = dict(stack["services"][name]), compose[name]
    if name == "db":
        # A Swarm has more replicas, which need more connections. So the stack file allows 200 connections instead of 60.
        ours["command"] = [word.replace("max_connections=200", "max_connections=60") for word in ours["command"]]

    for part in ("image", "user", "command", "entrypoint"):
        assert ours.get(part) == theirs.get(part), part


@each_service
def test_a_service_has_the_environment_of_compose(
    stack: Mapping[str, Any], compose: Mapping[str, Any], name: str
) -> None:
    ours = dict(stack["services"][name].get("environment") or {})
    theirs = dict(compose[name].get("environment") or {})

    assert ours == {one: value for one, value in {**theirs, **DIFFERENT.get(name, {})}.items() if value is not None}


@each_service
def test_a_service_has_the_rights_and_limits_of_compose(
    stack: Mapping[str, Any], compose: Mapping[str, Any], name: str
) -> None:
    ours, theirs = stack["services"][name], compose[name]
    limits = ours["deploy"]["resources"]["limits"]

    for part in ("read_only", "cap_drop", "cap_add", "init", "stop_grace_period", "logging"):
        assert ours.get(part) == theirs.get(part), part
    assert int(limits["memory"]) == int(theirs["mem_limit"])
    assert float(limits["cpus"]) == float(theirs["cpus"])
    assert limits["pids"] == theirs["pids_limit"]


@each_service
def test_a_service_reaches_the_networks_of_compose(
    stack: Mapping[str, Any], compose: Mapping[str, Any], name: str
) -> None:
    # Only Compose has the network `desk`, through which operators reach Grafana. In a Swarm, operators reach Grafana through a
    # container that `swarm.sh dashboards` starts.
    wanted = set(compose[name].get("networks") or ()) - {"desk"}

    assert set(stack["services"][name].get("networks") or ()) == wanted


def test_only_the_network_to_the_outside_leads_there_unless_the_database_is_outside(state: Path) -> None:
    own, managed = (render(state, DATABASE_IS_INSIDE=value)["networks"] for value in ("", "false"))

    assert {name: bool(one.get("internal")) for name, one in own.items()} == {
        "outside": False,
        "edge": True,
        "db": True,
    }
    assert not managed["db"].get("internal")
    assert managed["edge"] == own["edge"]


@each_service
def test_a_service_has_the_temporary_folders_of_compose(
    stack: Mapping[str, Any], compose: Mapping[str, Any], name: str
) -> None:
    units = {"k": 2**10, "m": 2**20}
    theirs = {}
    for line in compose[name].get("tmpfs") or ():
        folder, size, unit = re.fullmatch(r"([^:]+):size=(\d+)([km]).*", line).groups()  # type: ignore[union-attr]
        theirs[folder] = int(size) * units[unit]
    if "shm_size" in compose[name]:
        theirs["/dev/shm"] = int(compose[name]["shm_size"])

    mounts = stack["services"][name].get("volumes") or ()
    assert {one["target"]: int(one["tmpfs"]["size"]) for one in mounts if one["type"] == "tmpfs"} == theirs


def mounts_of_compose(service: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """Map each volume whose name begins with *prefix* to its path in the container. Remove *prefix* from the name."""
    volumes = service.get("volumes") or ()
    return {
        one["source"].removeprefix(prefix): one["target"]
        for one in volumes
        if one["type"] == "volume" and one["source"].startswith(prefix)
    }


@each_service
def test_a_service_keeps_the_volumes_of_compose(
    stack: Mapping[str, Any], compose: Mapping[str, Any], name: str
) -> None:
    theirs = {
        source: target
        for source, target in mounts_of_compose(compose[name], "").items()
        if not source.startswith(("secrets-", "config-"))
    }
    # In a Swarm, `migrate` may run on another node than the database. So it cannot mount the database's volume.
    theirs = {} if name == "migrate" else theirs
    mounts = stack["services"][name].get("volumes") or ()

    assert {one["source"]: one["target"] for one in mounts if one["type"] == "volume"} == theirs


@each_service
def test_a_service_gets_the_secrets_that_it_gets_from_compose(
    stack: Mapping[str, Any], compose: Mapping[str, Any], state: Path, name: str
) -> None:
    user = compose[name]["user"].partition(":")[0]
    wanted = {
        f"/run/secrets/{file.name}": (f"secrets.{folder}.{file.name}", user, 0o400)
        for folder in mounts_of_compose(compose[name], "secrets-")
        for file in (state / "secrets" / folder).iterdir()
    }

    given = stack["services"][name].get("secrets") or ()
    assert {one["target"]: (one["source"], one["uid"], one["mode"]) for one in given} == wanted


def test_only_the_job_that_prepares_volumes_gets_the_key_of_the_certificates(stack: Mapping[str, Any]) -> None:
    holders = [
        name
        for name, service in stack["services"].items()
        if any("acme" in one["source"] for one in service.get("secrets") or ())
    ]

    assert holders == ["volumes"]


@each_service
def test_a_service_gets_the_configuration_that_it_gets_from_compose(
    stack: Mapping[str, Any], compose: Mapping[str, Any], state: Path, name: str
) -> None:
    wanted = {
        f"{target}/{file.relative_to(state / 'configuration' / folder)}": file.read_bytes()
        for folder, target in mounts_of_compose(compose[name], "config-").items()
        for file in (state / "configuration" / folder).rglob("*")
        if file.is_file() and not file.name.startswith(".")
    }

    given = stack["services"][name].get("configs") or ()
    assert {one["target"]: Path(stack["configs"][one["source"]]["file"]).read_bytes() for one in given} == wanted


@pytest.mark.parametrize("part", ["secrets", "configs"])
def test_a_name_is_short_enough_for_swarm_and_belongs_to_one_content(stack: Mapping[str, Any], part: str) -> None:
    named: dict[str, set[bytes]] = {}
    for one in stack[part].values():
        named.setdefault(one["name"], set()).add(Path(one["file"]).read_bytes())

    assert max(map(len, named)) <= 64
    assert [name for name, contents in named.items() if len(contents) > 1] == []


def test_a_secret_with_another_value_has_another_name(state: Path, stack: Mapping[str, Any]) -> None:
    file = state / "secrets" / "alertmanager" / "alerts_chat_id"
    before = file.read_text()
    try:
        file.write_text("-1001234567890")
        changed = render(state)
    finally:
        file.write_text(before)

    assert [key for key, one in changed["secrets"].items() if one["name"] != stack["secrets"][key]["name"]] == [
        "secrets.alertmanager.alerts_chat_id"
    ]


def test_the_same_short_secret_has_another_name_in_another_installation(state: Path, stack: Mapping[str, Any]) -> None:
    token = state / "secrets" / "bot" / "bot_token"
    before = token.read_text()
    try:
        token.write_text("2:other")
        changed = render(state)
    finally:
        token.write_text(before)

    key = "secrets.alertmanager.alerts_chat_id"
    assert changed["secrets"][key]["name"] != stack["secrets"][key]["name"]


def test_no_secret_is_empty_because_swarm_refuses_it(state: Path, stack: Mapping[str, Any]) -> None:
    assert [one["file"] for one in stack["secrets"].values() if not Path(one["file"]).read_bytes()] == []
    assert (state / "secrets" / "janitor" / "bmc_api_token").read_text().strip() == ""


@each_service
def test_an_update_keeps_a_service_running_unless_two_of_it_would_meet(stack: Mapping[str, Any], name: str) -> None:
    deploy = stack["services"][name]["deploy"]
    if deploy.get("mode", "").endswith("-job"):
        assert "update_config" not in deploy
        return

    assert deploy["update_config"]["order"] == ("stop-first" if name in ALONE else "start-first")
    assert deploy["rollback_config"]["order"] == deploy["update_config"]["order"]
    assert deploy["update_config"]["parallelism"] == 1
    assert deploy["update_config"]["failure_action"] == "rollback"


@each_service
def test_the_name_of_a_service_resolves_to_each_of_its_containers(stack: Mapping[str, Any], name: str) -> None:
    assert stack["services"][name]["deploy"]["endpoint_mode"] == "dnsrr"


@each_service
def test_a_service_with_a_volume_always_runs_on_the_node_of_the_volume(stack: Mapping[str, Any], name: str) -> None:
    service = stack["services"][name]
    if any(one["type"] == "volume" for one in service.get("volumes") or ()):
        constraints = service["deploy"]["placement"]["constraints"]
        assert [one for one in constraints if re.fullmatch(r"node\.labels\.ledger\.[a-z]+ == true", one)] == constraints
        assert len(constraints) == 1


def test_each_node_of_the_webhook_runs_one_so_that_no_spool_is_left_unread(stack: Mapping[str, Any]) -> None:
    assert stack["services"]["webhook"]["deploy"]["mode"] == "global"


def test_only_the_proxy_publishes_ports(stack: Mapping[str, Any]) -> None:
    published = {
        name: {(one["mode"], one["published"], one["target"]) for one in service["ports"]}
        for name, service in stack["services"].items()
        if service.get("ports")
    }

    assert published == {"proxy": {("host", 443, 443), ("host", 80, 80)}}


@pytest.mark.parametrize("name", ["webhook", "bot", "janitor"])
def test_a_service_without_a_database_is_not_replaced(stack: Mapping[str, Any], name: str) -> None:
    """
    Swarm replaces an unhealthy container, so the health check must accept the answer 503 of a service without a database.

    For example, the webhook must continue to accept deliveries into its spool.
    """
    [*_, check] = stack["services"][name]["healthcheck"]["test"]

    with answering(503) as port:
        assert subprocess.run(["bash", "-c", check.replace("9000", str(port))], timeout=10, check=False).returncode == 0
    done = subprocess.run(
        ["bash", "-c", check.replace("9000", str(port))], timeout=10, check=False, stderr=subprocess.DEVNULL
    )
    assert done.returncode != 0


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def test_the_traffic_between_nodes_is_encrypted_unless_switched_off(state: Path, stack: Mapping[str, Any]) -> None:
    plain = render(state, SWARM_ENCRYPTED="off")

    assert [one["driver_opts"] for one in stack["networks"].values()] == [{"encrypted": ""}] * 3
    assert plain["networks"] == {
        name: {part: value for part, value in one.items() if part != "driver_opts"}
        for name, one in stack["networks"].items()
    }


@pytest.mark.parametrize(
    ("settings", "left_out"),
    [
        ({}, {"tempo"}),
        ({"COMPOSE_PROFILES": "tracing"}, set()),
        ({"SWARM_WITHOUT": "grafana prometheus"}, {"tempo", "grafana", "prometheus"}),
        ({"DATABASE_OWNER_URL": "postgresql://owner:password@db.example.org/ledger"}, {"tempo", "db"}),
    ],
)
def test_settings_leave_services_out(
    state: Path, stack: Mapping[str, Any], settings: Mapping[str, str], left_out: set[str]
) -> None:
    render(state)

    wanted = swarm(state, "wanted_services", **settings).split()
    kept = yaml.safe_load(swarm(state, "only $(wanted_services)", **settings).replace("$$", "$"))

    assert set(wanted) == set(services_of_both()) - {"migrate"} - left_out
    assert kept == {**stack, "services": {name: stack["services"][name] for name in wanted}}


def test_the_settings_of_env_reach_the_stack_file(state: Path, tmp_path: Path) -> None:
    lines = [
        "BOT_REPLICAS=3",
        "BOT_WEBHOOK_URL=https://pay.example.org/telegram-webhook",
        "RETENTION_DAYS='7'",
        "IMAGE=registry/ledger",
    ]
    settings = (ROOT / ".env.sandbox").read_text(encoding="utf-8").replace("IMAGE_TAG=demo\n", "")
    (tmp_path / ".env").write_text(settings + "\n".join(lines), encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if name in ("HOME", "PATH", "DOCKER_HOST")}

    words = ["bash", "-c", f"source {SWARM}/swarm.sh; read_settings 8.8; ACME_THUMBPRINT=x render"]
    subprocess.run(
        words, env={**environ, "STATE": str(state), "ENV_FILE": str(tmp_path / ".env")}, timeout=60, check=True
    )

    services = yaml.safe_load((state / "stack.yaml").read_text(encoding="utf-8"))["services"]
    assert services["bot"]["deploy"]["replicas"] == 3
    assert services["bot"]["image"] == "registry/ledger:8.8"
    assert services["janitor"]["environment"]["RETENTION_DAYS"] == "7"
    assert services["janitor"]["environment"]["PENDING_TTL_HOURS"] == "24"
    assert (services["proxy"]["environment"]["TELEGRAM_WEBHOOK"], services["proxy"]["environment"]["TRACING"]) == (
        "on",
        "",
    )


@pytest.mark.parametrize(
    ("counts", "tasks", "is_complete"),
    [
        ("coffee-ledger_bot 2/2", ["bot.1 Running 2 minutes ago", "bot.2 Running 1 second ago"], True),
        ("coffee-ledger_bot 1/2", ["bot.1 Running 2 minutes ago", "bot.2 Starting 1 second ago"], False),
        # A node is down. Swarm counts 3 bots: it still counts the bot of this node, and has started a new bot on another node.
        ("coffee-ledger_bot 3/2", ["bot.1 Running 2 minutes ago", "bot.2 Running 1 second ago"], True),
        ("coffee-ledger_bot 2/2", ["bot.1 Running 2 minutes ago", "bot.2 Preparing 1 second ago"], False),
        ("coffee-ledger_bot 0/1 (1/1 completed)", [], True),
        ("coffee-ledger_bot 1/1 (0/1 completed)", ["bot.x Running 1 second ago"], False),
        ("coffee-ledger_bot 0/0 (3/3 completed)", [], True),
        ("coffee-ledger_bot-of-others 2/2", ["bot-of-others.1 Running", "bot-of-others.2 Running"], False),
    ],
)
def test_a_service_is_complete_if_all_containers_run_or_all_jobs_have_ended(
    state: Path, counts: str, tasks: list[str], is_complete: bool
) -> None:
    listed = "\n".join(f"coffee-ledger_{one}" for one in tasks)

    answer = swarm(state, "is_complete bot && echo yes || echo no", counts=counts, tasks=listed)

    assert answer == ("yes\n" if is_complete else "no\n")


def test_the_document_lists_the_settings_that_only_a_swarm_has() -> None:
    document, compose = ((ROOT / path).read_text(encoding="utf-8") for path in ("docs/scaling.md", "compose.yaml"))
    files = "".join((SWARM / name).read_text(encoding="utf-8") for name in ("stack.yaml", "prepare.yaml"))
    script = (SWARM / "stack.sh").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]+)`|—) \|", document, re.MULTILINE))
    used = {*re.findall(r"\$\{([A-Z_]+)", files), *re.findall(r"\$\{(SWARM_[A-Z]+)", script)}
    # swarm.sh computes these variables, so operators do not set them.
    computed = {"ALERTS", "TELEGRAM_WEBHOOK", "TRACING", "ACME_THUMBPRINT", "WEBHOOK_REPLICAS", "DATABASE_IS_INSIDE"}
    computed |= {"OWNER", "STATE", "IMAGE_TAG"}
    # The settings of compose.yaml are described elsewhere. docs/scaling.md lists only two of them, whose defaults differ in a
    # Swarm.
    in_compose = set(re.findall(r"\$\{([A-Z_]+)", compose)) - {"BOT_REPLICAS", "JANITOR_REPLICAS"}

    assert set(listed) == used - computed - in_compose
    for name, default in listed.items():
        assert not default or f"${{{name}:-{default}}}" in files + script, name
