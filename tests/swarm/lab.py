"""
Run several Docker engines on this machine as the nodes of a Swarm, each in its own network namespace.

The environment variable SWARM_LAB names the program that starts the engines. Its commands are `up COUNT IMAGE…`, `kill N`,
`start N` and `down`. Node 1 is the manager.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.commands import COMMAND_SECONDS_MAX, CommandError, run

START_SECONDS_MAX = 300.0


@dataclass(frozen=True)
class Lab:
    program: Path
    nodes: Sequence[int] = (1, 2, 3)

    async def up(self, images: Sequence[str]) -> None:
        await run(str(self.program), "up", str(len(self.nodes)), *images, seconds=START_SECONDS_MAX)

    async def down(self) -> None:
        await run(str(self.program), "down", seconds=START_SECONDS_MAX)

    async def kill(self, node: int) -> None:
        """
        Cut the power of a node.

        The program named by SWARM_LAB ends all processes of the node. The kernel would then still answer, by refusing
        connections to the node's addresses. A machine without power does not answer at all. So also switch off the node's
        network interface.
        """
        await run("ip", "link", "set", f"lab{node}", "down")
        await run(str(self.program), "kill", str(node))

    async def start(self, node: int) -> None:
        await run("ip", "link", "set", f"lab{node}", "up")
        await run(str(self.program), "start", str(node), seconds=START_SECONDS_MAX)

    def engine(self, node: int) -> str:
        return f"unix:///run/swarm-lab/{node}/docker.sock"

    def address(self, node: int) -> str:
        return f"10.77.0.1{node}"

    async def docker(
        self, node: int, *words: str, seconds: float = COMMAND_SECONDS_MAX, given: str | None = None
    ) -> str:
        return (await run("docker", "--host", self.engine(node), *words, seconds=seconds, given=given)).strip()

    async def is_up(self, node: int) -> bool:
        try:
            await self.docker(node, "version")
        except CommandError:
            return False
        return True
