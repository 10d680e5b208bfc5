"""Test `make demo` on a machine that cannot pull some images. A fake `docker` records the calls and starts no containers."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.files import ROOT

PAYING = ("db", "webhook", "bot", "janitor", "proxy", "sandbox")
WATCHING = ("prometheus", "alertmanager", "postgres-exporter", "grafana")

DOCKER = """#!/usr/bin/env bash
echo "$*" >>"$CALLS"
case "$*" in
    "version "*) echo 29.0.0 ;;
    "compose version "*) echo 2.40.0 ;;
    *" config --services") printf '%s\\n' $SERVICES ;;
    *" pull "*) [[ " $UNPULLABLE " != *" ${*: -1} "* ]] ;;
    *" exec "*) echo the-password ;;
esac
"""


@dataclass(frozen=True)
class Demo:
    started: list[str]
    said: str


def make_demo(folder: Path, *unpullable: str) -> Demo:
    docker, calls = folder / "docker", folder / "calls"
    docker.write_text(DOCKER, encoding="utf-8")
    docker.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    environ |= {
        "PATH": f"{folder}:{environ['PATH']}",
        "CALLS": str(calls),
        "SERVICES": " ".join((*PAYING, *WATCHING)),
        "UNPULLABLE": " ".join(unpullable),
    }
    command = ["make", "demo"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    [up] = (line for line in calls.read_text(encoding="utf-8").splitlines() if " up " in line)
    return Demo(up.partition(" --wait ")[2].split(), done.stdout)


def test_the_demo_starts_everything_if_all_images_can_be_pulled(tmp_path: Path) -> None:
    demo = make_demo(tmp_path)

    assert demo.started == [*PAYING, *WATCHING]
    assert "as admin with the-password" in demo.said
    assert "could not be pulled" not in demo.said


@pytest.mark.parametrize("unpullable", [("grafana",), ("prometheus", "grafana"), ("postgres-exporter",), WATCHING])
def test_the_demo_starts_without_the_monitoring_services_that_cannot_be_pulled(
    tmp_path: Path, unpullable: tuple[str, ...]
) -> None:
    demo = make_demo(tmp_path, *unpullable)

    assert demo.started == [name for name in (*PAYING, *WATCHING) if name not in unpullable]
    assert f"The demo starts without: {' '.join(name for name in WATCHING if name in unpullable)}\n" in demo.said
    assert ("as admin with" in demo.said) == ("grafana" not in unpullable)
