"""
Record in docs/services.md which images were tested, by their digests.

    python -m tools.digests

`compose.yaml` names images by tag, so that the next pull gets fixes of an image. But a tag can be moved to another image. A
digest cannot be moved, so it shows exactly which image was tested.

Run this program after the tests have passed, on a machine that pulled the images from their registries. It reads the digests from
the local Docker engine, so it records exactly the images with which the tests ran.
"""

# ruff: noqa: S603 -- this program runs docker by its name, with image names from this repository

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "services.md"
BEGIN, END = "<!-- tested digests -->", "<!-- /tested digests -->"
OWN_IMAGES = "coffee-ledger"
COMMAND_SECONDS_MAX = 60


def find_images(root: Path = ROOT) -> list[str]:
    """Return the tags of all images that are pulled: the images of the services, and the base images of our own image."""
    config = _docker("compose", "--env-file", ".env.sandbox", "--profile", "*", "config", "--images", root=root)
    built_from = re.findall(r"^FROM (\S+:\S+)", (root / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return sorted({*(image for image in config.split() if not image.startswith(OWN_IMAGES)), *built_from})


def find_digest(image: str) -> str | None:
    """Return the digest of an image, such as `sha256:…`, or None if the image was not pulled from a registry."""
    try:
        found = _docker("image", "inspect", "--format", "{{json .RepoDigests}}", image)
    except subprocess.CalledProcessError:
        return None
    digests: list[str] = json.loads(found) or []
    return digests[0].partition("@")[2] if digests else None


def _docker(*words: str, root: Path = ROOT) -> str:
    command = ["docker", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=True)
    return done.stdout


def record_digests(text: str, digests: dict[str, str]) -> str:
    """Return the document with the new table of digests in place of the old one."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no lines {BEGIN} and {END}")
    rows = "".join(f"| `{image}` | `{digest}` |\n" for image, digest in digests.items())
    return f"{before}{BEGIN}\n\n| image | digest |\n| --- | --- |\n{rows}\n{END}{after}"


def main() -> None:
    found = {image: find_digest(image) for image in find_images()}
    missing = [image for image, digest in found.items() if digest is None]
    if missing:
        sys.exit(f"digests: not pulled from a registry: {', '.join(missing)}; pull and test them first")
    digests = {image: digest for image, digest in found.items() if digest is not None}
    DOCUMENT.write_text(record_digests(DOCUMENT.read_text(encoding="utf-8"), digests), encoding="utf-8")


if __name__ == "__main__":
    main()
