"""Runs on the host as root, before anything is changed: tells all that the role has to know of it, at one stroke.

Standard input is a JSON object: let_in and listen, the addresses that are asked for; instance, the cluster as Debian's
tools name it (15/main); configuration, data and binaries, its directories; read, {key: file}; another_version, whether
to look which versions there are.
Standard output is a JSON object:
  let_in, listen   {address: what is wrong}, without the good ones
  offered          the major versions that the package sources offer; null when nobody asked
  files            {path: whether it is there} of what makes a cluster whole
  read             {key: the file's text, or null}
  checksums        whether the cluster has data checksums; null without a cluster
  text             encoding and collation of a running cluster; null when nobody answers
  port             the port that the running server has, or null
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

TEXT = "SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = 'template0'"


def network(text: str) -> None:
    """Read it as an address with its mask."""
    ipaddress.ip_network(text, strict=False)


def place(text: str) -> None:
    """Listen there for a moment, on a port that nobody has."""
    for family, kind, protocol, _, address in socket.getaddrinfo(text, 0, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as trial:
            trial.bind(address)


def wrong(texts: list[str], read: Callable[[str], None]) -> dict[str, str]:
    """What is wrong with each of the texts that cannot be read."""
    said = {}
    for text in texts:
        try:
            read(text)
        except (OSError, ValueError) as error:
            said[text] = getattr(error, "strerror", None) or str(error)
    return said


def output(*command: str) -> str | None:
    """What a command prints, or None when it fails or is not there."""
    try:
        done = subprocess.run(
            command, env={**os.environ, "LC_ALL": "C"}, cwd="/", text=True, capture_output=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def content(path: Path) -> str | None:
    """The file's text, or None when there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else None


given = json.load(sys.stdin)
data = Path(given["data"])
# initdb writes PG_VERSION first, so it tells of one that was killed.
parts = [Path(given["configuration"], "postgresql.conf"), data / "global/pg_control", data / "PG_VERSION"]
seen: dict[str, object] = {
    "let_in": wrong(given["let_in"], network),
    "listen": wrong([text for text in given["listen"] if text != "*"], place),
    "offered": None,
    "files": {str(path): path.exists() for path in parts},
    "read": {key: content(Path(path)) for key, path in given["read"].items()},
    "checksums": None,
    "text": None,
    "port": None,
}
if given["another_version"]:
    packages = output("apt-cache", "search", "--names-only", "^postgresql-[1-9][0-9]$") or ""
    seen["offered"] = re.findall(r"(?m)^postgresql-(\d+) ", packages)
if all(path.exists() for path in parts):
    control = output(f"{given['binaries']}/pg_controldata", str(data)) or ""
    seen["checksums"] = bool(re.search(r"Data page checksum version:\s+[1-9]", control))
    # As postgres and by psql: a cluster that was made by others knows neither root nor has this role's libraries. One
    # that is stopped cannot be asked; the verification at the end does it then.
    psql = ("psql", "--cluster", given["instance"], "-XAtqw", "-d", "postgres", "-c", TEXT)
    seen["text"] = output("runuser", "-u", "postgres", "--", *psql)
    # The fourth line (PostgreSQL, "pidfile.h").
    lines = (content(data / "postmaster.pid") or "").splitlines()
    seen["port"] = int(lines[3]) if len(lines) > 3 else None
print(json.dumps(seen))
