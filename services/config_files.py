"""
Copy the configuration of Caddy, Prometheus and the other third-party programs into their volumes, with fixed modes, and exit.

A bind mount would keep the file modes of the checkout. After a `git clone` under umask 027, the users inside the containers could
not read the files. So this program copies the files from its image at each `docker compose up`. It also puts the operator's
addresses into the links in the files (see services/links.py).
"""

import os
import sys
from pathlib import Path

from services.links import Links, find_link_problems, read_links, set_links

FROM = Path("/app/configuration")
TO = Path("/configuration")

FOR_ALL = 0o755
"""
The mode of all folders and files. All users may read the files, because no file is secret. All users may also execute the files,
because two of the files are scripts.
"""


def copy_files(source: Path, target: Path, links: Links) -> None:
    """
    Make the folder *target* equal to the folder *source*, but put the operator's addresses into the links.

    Do not rewrite an unchanged file, because a program that watches the file might reload it although nothing changed.
    """
    wanted = sorted(source.rglob("*"))
    _remove_others(target, {path.relative_to(source) for path in wanted})
    for path in wanted:
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
            # Set the mode explicitly, because `mkdir` applies the umask, which may deny access to other users.
            copy.chmod(FOR_ALL)
        else:
            _copy_file(path, copy, links)


def _remove_others(target: Path, wanted: set[Path]) -> None:
    """Remove the files and folders that are not in *wanted*. An earlier version of the image may have contained them."""
    # In reverse order, the content of a folder comes before the folder. So each folder is empty when it is removed.
    for path in sorted(target.rglob("*"), reverse=True):
        if path.relative_to(target) in wanted:
            continue
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


def _copy_file(source: Path, copy: Path, links: Links) -> None:
    """Copy the file, but only if its content differs. Replace it atomically, so that a program never reads half a file."""
    content = source.read_bytes()
    # Only rules (.yml) and dashboards (.json) contain links. Copy all other files byte for byte.
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
    print("config-files: copied the configuration")


if __name__ == "__main__":
    main()
