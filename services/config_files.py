"""
Copy the configuration that the other images read into their volumes, with fixed modes; then end.

A bind mount, and so an entry in Compose's `configs`, keeps the modes of the checkout. After a `git clone` under umask 027
or 077 the users inside the containers could read none of it. The image holds the files with fixed modes instead, and this
program copies them on each `docker compose up`, with the links that the settings name.
"""

import os
import sys
from pathlib import Path

from services.links import Links, find_link_problems, read_links, set_links

FROM = Path("/app/configuration")
TO = Path("/configuration")

FOR_ALL = 0o755
"""For files too: two of them are scripts, and none is secret."""


def copy_files(source: Path, target: Path, links: Links) -> None:
    """Make *target* equal to *source* with its links set; a file that is equal already stays, so nothing is reloaded for it."""
    wanted = sorted(source.rglob("*"))
    _remove_others(target, {path.relative_to(source) for path in wanted})
    for path in wanted:
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
            copy.chmod(FOR_ALL)
        else:
            _copy_file(path, copy, links)


def _remove_others(target: Path, wanted: set[Path]) -> None:
    """Remove the files that an earlier version of the image brought and this one does not."""
    # Deepest first, so that each folder is empty when its turn comes.
    for path in sorted(target.rglob("*"), reverse=True):
        if path.relative_to(target) in wanted:
            continue
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


def _copy_file(source: Path, copy: Path, links: Links) -> None:
    """Replace the file in one step: a program that reloads its configuration never reads half of it."""
    content = source.read_bytes()
    if source.suffix in (".yml", ".json"):
        content = set_links(content.decode(), links).encode()
    if not copy.exists() or copy.read_bytes() != content:
        new = copy.with_name(f".{copy.name}.new")
        new.write_bytes(content)
        new.chmod(FOR_ALL)
        new.replace(copy)


def main() -> None:
    problems = find_link_problems(os.environ)
    if problems:
        sys.exit("\n".join(f"config-files: {line}" for line in problems))
    links = read_links(os.environ)
    for source in sorted(FROM.iterdir()):
        copy_files(source, TO / source.name, links)
    print("config-files: the configuration was copied")


if __name__ == "__main__":
    main()
