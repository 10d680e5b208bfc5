"""Imports follow the import-linter contracts in pyproject.toml. For example, the webhook does not import aiogram."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

WITHOUT_VALIDATORS = """
import gc
import pydantic
gc.disable()
pydantic.BaseModel.model_rebuild = lambda *_, **__: None
"""
"""
This code stops pydantic from building validators, because building the validators of aiogram's 600 models takes seconds.

No module of ours needs a validator while it is imported. If a module needed a validator, the test would fail.
"""


def test_no_import_breaks_the_contracts() -> None:
    done = subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_importing_a_module_does_nothing() -> None:
    """Importing every module prints nothing and needs no settings in the environment."""
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for top in ("coffee_ledger", "services")
        for file in (ROOT / top).rglob("*.py")
    ]
    program = "\n".join([WITHOUT_VALIDATORS, *(f"import {name}" for name in sorted(modules))])

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
