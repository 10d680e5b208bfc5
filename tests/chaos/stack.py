"""Run the production stack and the sandbox on this machine, and run the Docker commands that break and repair this stack."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.commands import COMMAND_SECONDS_MAX, run
from tests.chaos.doors import Door

FILES = ("compose.yaml", "tests/chaos/compose.yaml")
CORE = ("proxy", "webhook", "bot", "janitor", "db", "sandbox")
"""The services that handle payments. Faults pause and restart only these services."""
WATCHERS = ("prometheus", "alertmanager", "postgres-exporter")
SERVICES = (*CORE, *WATCHERS)
"""The services that faults kill: all except Grafana and Tempo, because payments and alerts work without these two."""

START_SECONDS_MAX = 600.0
DISKS = {"spool": "/disks/spool", "database": "/disks/database"}

FILL = """
import sys
with open(sys.argv[1], "ab", buffering=0) as file:
    for block in (1 << 20, 1 << 12):
        try:
            while True:
                file.write(bytes(block))
        except OSError:
            pass
"""


@dataclass
class Stack:
    project: str
    folder: Path
    """In this folder, the simulated Telegram server writes each sent message to `telegram.jsonl`."""
    https_port: int
    http_port: int
    sandbox_port: int
    image_tag: str
    containers: dict[str, str] = field(default_factory=dict)
    """Maps each service to the id of its container. Faults never replace a container, so the ids stay valid."""
    networks: dict[str, Mapping[str, list[str]]] = field(default_factory=dict)
    """Maps a service and a network to the service's host names in this network. `connect` restores these names."""

    @property
    def record(self) -> Path:
        return self.folder / "telegram.jsonl"

    @property
    def door(self) -> Door:
        return Door("localhost", self.https_port, "localhost")

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    async def up(self) -> None:
        await self.compose("build", "--quiet", seconds=START_SECONDS_MAX)
        await self.compose("up", "--detach", "--wait", "keeper", *SERVICES, seconds=START_SECONDS_MAX)
        for service in ("keeper", *SERVICES):
            self.containers[service] = (await self.compose("ps", "--quiet", service)).strip()
        for service in SERVICES:
            self.networks[service] = await self.find_networks(service)

    async def down(self) -> None:
        await self.compose("down", "--volumes", "--timeout", "2", seconds=START_SECONDS_MAX)

    async def compose(self, *words: str, seconds: float = COMMAND_SECONDS_MAX) -> str:
        files = [word for file in FILES for word in ("--file", file)]
        command = ("docker", "compose", "--env-file", ".env.sandbox", "--project-name", self.project, *files, *words)
        settings = {
            "HTTPS_PORT": str(self.https_port),
            "HTTP_PORT": str(self.http_port),
            "SANDBOX_PORT": str(self.sandbox_port),
            "IMAGE_TAG": self.image_tag,
            "CHAOS_FOLDER": str(self.folder),
            # Connect the services to the database directly, as in production. By default, .env.sandbox connects them through
            # the sandbox, so a fault of the sandbox would cut them off from the database.
            "DATABASE_ADDRESS": "db:5432",
        }
        return await run(*command, seconds=seconds, environment=settings)

    async def docker(self, command: str, service: str, *words: str) -> str:
        """Run `docker COMMAND CONTAINER WORDS` with the container of the service."""
        return await run("docker", *command.split(), self.containers[service], *words)

    async def find_networks(self, service: str) -> dict[str, list[str]]:
        [found] = json.loads(await self.docker("inspect", service))
        return {network: facts["Aliases"] or [] for network, facts in found["NetworkSettings"]["Networks"].items()}

    async def connect(self, service: str, network: str) -> None:
        """Reconnect a service to a network, with the host names that the service had before the fault."""
        aliases = [word for alias in self.networks[service][network] for word in ("--alias", alias)]
        await run("docker", "network", "connect", *aliases, network, self.containers[service])

    async def disconnect(self, service: str, network: str) -> None:
        await run("docker", "network", "disconnect", "--force", network, self.containers[service])

    async def sql(self, statement: str) -> str:
        """Query the database as its owner."""
        return (
            await self.docker("exec", "db", "psql", "-XAtq", "-U", "ledger_owner", "-d", "ledger", "-c", statement)
        ).strip()

    async def fill(self, disk: str) -> None:
        await self.docker("exec", "keeper", "python", "-c", FILL, f"{DISKS[disk]}/filler")

    async def clear(self, disk: str) -> None:
        await self.docker("exec", "keeper", "rm", "-f", f"{DISKS[disk]}/filler")

    async def let_spool_be_written(self, *, may: bool) -> None:
        await self.docker("exec", "keeper", "chmod", "0755" if may else "0555", DISKS["spool"])

    async def list_spool(self) -> list[str]:
        return (await self.docker("exec", "keeper", "ls", DISKS["spool"])).split()

    async def find_work_left(self) -> str:
        """Describe unhealthy services and spooled events. Return an empty text if there are none."""
        sick = {name: state for name, state in (await self.states()).items() if state != "healthy"}
        spooled = await self.list_spool()
        return f"{sick} {len(spooled)} spooled" if sick or spooled else ""

    async def states(self) -> dict[str, str]:
        """
        Return the state of each service.

        For a running container, this is the result of the health check. For any other container, it is Docker's state, such as
        `exited`.
        """
        form = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        found = await run("docker", "inspect", "--format", form, *(self.containers[name] for name in SERVICES))
        states = (line.split() for line in found.splitlines())
        return dict(zip(SERVICES, (words[-1] if words[0] == "running" else words[0] for words in states), strict=True))

    async def heal(self) -> None:
        """Undo all faults that are still active. A fault normally undoes itself, but this can fail while the stack is broken."""
        states = await self.states()
        for service, state in states.items():
            if state == "paused":
                await self.docker("unpause", service)
            elif state in ("exited", "created", "dead"):
                await self.docker("start", service)
            for network in self.networks[service].keys() - (await self.find_networks(service)).keys():
                await self.connect(service, network)
        for disk in DISKS:
            await self.clear(disk)
        await self.let_spool_be_written(may=True)
