"""Run the stack of deploy/swarm on the nodes that `Lab` starts, with the sandbox as Telegram and as Buy Me a Coffee."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.chaos.commands import CommandError, run
from tests.chaos.doors import Door
from tests.files import ROOT
from tests.swarm.lab import Lab

PROGRAM = ROOT / "deploy/swarm/swarm.sh"
NAME = "coffee-ledger"
HOST = "pay.internal"
"""The public host name of the stack. The proxy issues its own certificate for a name that ends in `internal`."""

DATABASE_NODE = 1
PUBLIC_NODES = (2, 3)
"""The nodes with a proxy and a webhook."""

UPDATED = ("webhook", "bot", "janitor")
"""The services whose image the update replaces."""
IMAGE = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"

BUILT = ("coffee-ledger", "coffee-ledger-sandbox")
FOREIGN = ("db", "proxy")
"""The services whose images come from other projects."""
WITHOUT = ("grafana", "prometheus", "alertmanager", "postgres-exporter")
"""The services that the test does not start, because a machine with two cores is too slow for all of them."""

BUILD_SECONDS_MAX = 600.0
DEPLOY_SECONDS_MAX = 300.0
WHOLE_SECONDS_MAX = 120.0


@dataclass
class Images:
    """The tags of two images of the product: one for the start, and one for the update. The images differ only in a label."""

    first: str
    second: str

    async def build(self) -> None:
        compose = ("docker", "compose", "--env-file", ".env.sandbox", "--project-name", f"{NAME}-swarm")
        await run(*compose, "build", "--quiet", environment={"IMAGE_TAG": self.first}, seconds=BUILD_SECONDS_MAX)

    async def build_second_on(self, lab: Lab, node: int) -> None:
        build = ("build", "--quiet", "--tag", f"{NAME}:{self.second}", "--label", "step=second", "-")
        await lab.docker(node, *build, given=f"FROM {NAME}:{self.first}\n")

    async def find_first(self) -> list[str]:
        """Return the names of the images that every node needs for the first deployment of the stack."""
        words = ("docker", "compose", "--env-file", ".env.sandbox", "config", "--format", "json")
        services = yaml.safe_load(await run(*words))["services"]
        return [*(f"{name}:{self.first}" for name in BUILT), *(services[name]["image"] for name in FOREIGN)]


@dataclass
class Stack:
    """The running stack. *folder* holds its settings, and the messages that the sandbox records."""

    lab: Lab
    images: Images
    folder: Path
    _webhooks: int = len(PUBLIC_NODES)
    _bots: int = 2

    @property
    def record(self) -> Path:
        return self.folder / "record" / "telegram.jsonl"

    @property
    def sandbox_url(self) -> str:
        return f"http://{self.lab.address(DATABASE_NODE)}:8090"

    @property
    def doors(self) -> list[Door]:
        return [Door(self.lab.address(node), 443, HOST) for node in PUBLIC_NODES]

    async def deploy(self) -> None:
        self._write_settings()
        await self._label(DATABASE_NODE, "database", "monitoring")
        for node in PUBLIC_NODES:
            await self._label(node, "ingress", "webhook")
        await self._swarm("deploy", self.images.first)

    async def update(self) -> None:
        """
        Update the services to the second image.

        Raises:
            CommandError: The command failed, or a service still has the first image.
        """
        await self._swarm("update", self.images.second)
        for service in UPDATED:
            image = await self._manage("service", "inspect", f"{NAME}_{service}", "--format", IMAGE)
            if image != f"{NAME}:{self.images.second}":
                raise CommandError(f"after the update, {service} has the image {image}")

    def _write_settings(self) -> None:
        settings = {
            "PUBLIC_HOST": HOST,
            # Telegram lets only one process poll for updates. So both bots get their updates by webhook.
            "BOT_WEBHOOK_URL": f"https://{HOST}/telegram-webhook",
            "BOT_REPLICAS": "2",
            # Do not use the sandbox's port 8091. It leads through a relay, so the record would not show which bot sent a
            # message.
            "TELEGRAM_API_URL": "http://sandbox:8090/telegram",
            "SWARM_WITHOUT": " ".join(WITHOUT),
        }
        sandbox = (ROOT / "tests/swarm/sandbox.env").read_text("utf-8")
        kept = [line for line in sandbox.splitlines() if line.partition("=")[0] not in settings]
        lines = [*kept, *(f"{name}={value}" for name, value in settings.items())]
        (self.folder / "env").write_text("\n".join(lines) + "\n", "utf-8")
        self.record.parent.mkdir()
        # The sandbox runs as another Unix user than the test, so give all users access to the folder and to the record.
        self.folder.chmod(0o755)
        self.record.parent.chmod(0o777)
        (self.folder / "override.yaml").write_text(yaml.safe_dump(self._with_sandbox()), "utf-8")

    def _with_sandbox(self) -> object:
        """
        Read the sandbox's stack file, and return its content with additional settings.

        With these settings, the sandbox records messages, and resolves the public name to all proxies.
        """
        stack = yaml.safe_load((ROOT / "tests/swarm/sandbox.yaml").read_text("utf-8"))
        sandbox = stack["services"]["sandbox"]
        # The update must not restart the sandbox, because a restart would empty Telegram's queues of updates.
        sandbox["image"] = f"{NAME}-sandbox:{self.images.first}"
        sandbox["environment"] |= {
            "SANDBOX_RECORD": "/record/telegram.jsonl",
            "SANDBOX_ANSWER_SECONDS": "0.05",
            "SANDBOX_WEBHOOK_URL": f"https://{HOST}/bmc-webhook",
        }
        sandbox["extra_hosts"] = [f"{HOST}:{door.address}" for door in self.doors]
        sandbox["volumes"] = [{"type": "bind", "source": str(self.record.parent), "target": "/record"}]
        return stack

    async def _swarm(self, *words: str) -> str:
        settings = {
            "DOCKER_HOST": self.lab.engine(DATABASE_NODE),
            "STACK": NAME,
            "STATE": str(self.folder / "state"),
            "ENV_FILE": str(self.folder / "env"),
            "STACK_OVERRIDE": str(self.folder / "override.yaml"),
        }
        return await run(str(PROGRAM), *words, environment=settings, seconds=DEPLOY_SECONDS_MAX)

    async def _label(self, node: int, *labels: str, value: bool = True) -> None:
        changes = [word for label in labels for word in ("--label-add", f"ledger.{label}={value}".lower())]
        node_id = await self.lab.docker(node, "info", "--format", "{{.Swarm.NodeID}}")
        await self._manage("node", "update", *changes, node_id)

    async def _manage(self, *words: str) -> str:
        return await self.lab.docker(DATABASE_NODE, *words)

    async def run_webhooks_on(self, nodes: Collection[int]) -> None:
        """Run a webhook on each of the *nodes* and on no other node. Wait until every service has all its replicas."""
        for node in self.lab.nodes:
            await self._label(node, "webhook", value=node in nodes)
        self._webhooks = len(nodes)
        await self.await_whole()

    async def stop_bots(self) -> None:
        await self._manage("service", "scale", "--detach", f"{NAME}_bot=0")
        self._bots = 0
        await self.await_whole()

    async def sql(self, statement: str) -> str:
        container = await self._containers(DATABASE_NODE, "db")
        psql = (
            "exec",
            "--interactive",
            container[0],
            "psql",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "ledger_owner",
            "-d",
            "ledger",
        )
        return await self.lab.docker(DATABASE_NODE, *psql, given=statement)

    async def services_on(self, node: int) -> frozenset[str]:
        """Return the services that run on a node."""
        form = '{{.Label "com.docker.swarm.service.name"}}'
        names = (await self.lab.docker(node, "ps", "--format", form)).split()
        return frozenset(name.removeprefix(f"{NAME}_") for name in names)

    async def _containers(self, node: int, service: str) -> list[str]:
        label = f"label=com.docker.swarm.service.name={NAME}_{service}"
        found = (await self.lab.docker(node, "ps", "--quiet", "--filter", label)).split()
        if not found:
            raise CommandError(f"no {service} runs on node {node}")
        return found

    async def find_work_left(self) -> str:
        """Describe absent nodes, missing replicas and spooled events. Return an empty text if there are none of these."""
        incomplete, spooled = await self.find_incomplete(), await self.list_spool()
        return f"{incomplete} {len(spooled)} spooled" if incomplete or spooled else ""

    async def find_incomplete(self) -> list[str]:
        """Describe each node that is away, and each service that lacks replicas."""
        away = [
            line for line in (await self._manage("node", "ls", "--format", "{{.Status}}")).split() if line != "Ready"
        ]
        listed = (await self._manage("service", "ls", "--format", "{{.Name}} {{.Replicas}}")).splitlines()
        counts = dict(line.removeprefix(f"{NAME}_").split(maxsplit=1) for line in listed)
        wanted = {
            "db": 1,
            "sandbox": 1,
            "webhook": self._webhooks,
            "bot": self._bots,
            "janitor": 2,
            "proxy": len(PUBLIC_NODES),
        }
        wrong = [
            f"{name}: {counts.get(name)}" for name, count in wanted.items() if counts.get(name) != f"{count}/{count}"
        ]
        return [*(f"a node is {status}" for status in away), *wrong]

    async def list_spool(self) -> list[str]:
        """Return the files in the spools of all nodes, also of nodes without a webhook."""
        found: list[str] = []
        for node in self.lab.nodes:
            form = "{{.Mountpoint}}"
            volumes = await self.lab.docker(node, "volume", "ls", "--quiet", "--filter", f"name={NAME}_spool")
            if volumes:
                folder = await self.lab.docker(node, "volume", "inspect", "--format", form, volumes)
                found += [f"{node}: {file}" for file in (await run("ls", folder)).split()]
        return found

    async def await_whole(self) -> float:
        """Wait until every service has all its replicas. Return the seconds that this took."""
        began = time.monotonic()
        while time.monotonic() - began < WHOLE_SECONDS_MAX:
            if not await self.find_incomplete():
                return time.monotonic() - began
            await asyncio.sleep(0.5)
        raise CommandError(f"not whole after {WHOLE_SECONDS_MAX:g} s: {await self.find_incomplete()}")

    async def heal(self) -> None:
        for node in self.lab.nodes:
            if not await self.lab.is_up(node):
                await self.lab.start(node)

    async def keep_logs(self, node: int, folder: Path) -> None:
        """Save the logs of all containers of a node, also of stopped ones, in one file for each container."""
        for line in (await self.lab.docker(node, "ps", "--all", "--format", "{{.ID}} {{.Names}}")).splitlines():
            container, name = line.split()
            log = folder / f"node-{node}-{name.removeprefix(f'{NAME}_')}.log"
            await run("sh", "-c", f"docker --host {self.lab.engine(node)} logs --timestamps {container} >{log} 2>&1")


@asynccontextmanager
async def killed(lab: Lab, node: int) -> AsyncIterator[None]:
    """Cut the power of a node, and bring it back when the context ends."""
    await lab.kill(node)
    try:
        yield
    finally:
        await lab.start(node)
