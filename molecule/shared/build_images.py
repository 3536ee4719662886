#!/usr/bin/env python3
"""Build and cache the images of the test hosts: real Debian with systemd, made here, without a container registry.

Usage: build_images.py [--print] [IMAGE ...]        (no IMAGE: all of them)

An image's tag carries a digest of its recipe, so that a changed recipe makes a new image and two checkouts with
different recipes do not meet. A lock lets two runs side by side wait for one build instead of doing it twice.
Needs root, debootstrap and podman (`make packages`). Prints a JSON object {image: reference} on standard output.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PODMAN = Path(__file__).with_name("podman")
LOCK = Path("/run/lock/contralock-host-images.lock")
REPOSITORY = "localhost/contralock-host"

# What a server has before anybody provisions it: SSH, sudo and a Python for Ansible.
BASE_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "python3", "python3-apt", "ca-certificates", "iproute2", "sudo", "procps",
    "locales", "openssh-server",
)  # fmt: skip
# What the roles install: in the image, so that a scenario does not wait for downloads. The scenario `prepare` starts
# from the base image and proves that the roles install it all by themselves.
HEAVY_PACKAGES = (
    "postgresql", "postgresql-client", "python3-psycopg", "python3-cryptography", "pgloader", "stunnel4",
    "python3-venv", "python3-packaging", "sqlite3", "openssl", "nodejs", "node-sqlite3",
)  # fmt: skip
# The account that Ansible logs in with, as on a real server: no root, but sudo.
ACCOUNT = "ansible"
# As the role postgresql_server leaves it: it makes the cluster itself, with checksums.
NO_DEFAULT_CLUSTER = "printf 'create_main_cluster = false\\n' > /etc/postgresql-common/createcluster.conf"


@dataclass(frozen=True)
class Image:
    """One image: a Debian release made from nothing, or packages on top of another image."""

    release: str
    packages: tuple[str, ...]
    parent: str | None = None
    command: tuple[str, ...] = ("/lib/systemd/systemd",)


IMAGES = {
    "debian12": Image("bookworm", BASE_PACKAGES),
    "debian12-full": Image("bookworm", HEAVY_PACKAGES, parent="debian12"),
    # systemd 257 runs on a cgroup v1 machine only when its command line says so.
    "debian13": Image(
        "trixie", BASE_PACKAGES, command=("/lib/systemd/systemd", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1")
    ),
    "debian13-full": Image("trixie", HEAVY_PACKAGES, parent="debian13"),
}


def run(*command: str, stdin: str | None = None) -> str:
    """Run a command; its output on success, the end of what it said and exit 2 on failure."""
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise SystemExit(f"error: {' '.join(command)[:200]} exited with {done.returncode}:\n{said}")
    return done.stdout


def debian_sources(release: str) -> str:
    """The machine's own Debian sources as `deb` lines, with the release put in the place of the machine's own.

    The machine's mirror is used because it is the one that this machine is known to reach.
    """
    targets = run(
        "apt-get", "indextargets", "--format", "$(ORIGIN)|$(SITE)|$(RELEASE)|$(COMPONENT)", "Identifier: Packages"
    )
    own = run("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME").strip()
    rows = [line.split("|") for line in targets.splitlines()]
    lines = {
        f"deb {site} {suite.replace(own, release, 1)} {component}"
        for origin, site, suite, component in rows
        if origin == "Debian" and suite.startswith(own) and component == "main"
    }
    if not lines:
        raise SystemExit(f"error: apt knows no Debian source for {own}. Run `apt-get update` on this machine first.")
    return "".join(f"{line}\n" for line in sorted(lines))


def machine_apt_settings() -> str:
    """The machine's own settings for fetching packages (a proxy, say), which its mirror may need."""
    dump = run("apt-config", "dump", "Acquire::http", "Acquire::https")
    return "".join(f"{line}\n" for line in dump.splitlines() if not line.endswith(' "";'))


def recipe(name: str) -> str:
    """All that decides what is in the image, as text."""
    image = IMAGES[name]
    own = json.dumps([image.release, image.packages, image.command, NO_DEFAULT_CLUSTER, ACCOUNT])
    return own + (recipe(image.parent) if image.parent else debian_sources(image.release))


def reference(name: str) -> str:
    """The image's full name with the digest of its recipe."""
    return f"{REPOSITORY}:{name}-{hashlib.sha256(recipe(name).encode()).hexdigest()[:12]}"


def exists(ref: str) -> bool:
    """Whether podman has the image already."""
    return subprocess.run([PODMAN, "image", "exists", ref], check=False).returncode == 0


def build_from_nothing(image: Image, ref: str) -> None:
    """Debootstrap a root file system and import it; nothing is left of it when that fails."""
    sources = debian_sources(image.release)
    mirror = next(line.split()[1] for line in sources.splitlines() if line.split()[2] == image.release)
    with tempfile.TemporaryDirectory(prefix="contralock-image-") as folder:
        root = Path(folder, "root")
        include = ",".join(image.packages)
        run("debootstrap", "--variant=minbase", f"--include={include}", image.release, str(root), mirror)
        (root / "etc/apt/sources.list").write_text(sources, encoding="utf-8")
        (root / "etc/apt/apt.conf.d/10machine").write_text(machine_apt_settings(), encoding="utf-8")
        # The machine's identity must be each host's own.
        (root / "etc/machine-id").write_text("", encoding="utf-8")
        run("chroot", str(root), "useradd", "--create-home", "--shell=/bin/bash", ACCOUNT)
        (root / "etc/sudoers.d/ansible").write_text(f"{ACCOUNT} ALL=(ALL) NOPASSWD: ALL\n", encoding="utf-8")
        run("chroot", str(root), "apt-get", "update")
        archive = str(Path(folder, "root.tar"))
        run("tar", "-C", str(root), "-cf", archive, ".")
        changes = [f"CMD {json.dumps(image.command)}", "ENV container=podman", "STOPSIGNAL SIGRTMIN+3"]
        run(str(PODMAN), "import", "-q", *(word for line in changes for word in ("-c", line)), archive, ref)


def build_on_parent(image: Image, ref: str) -> None:
    """Install the packages on top of the parent image."""
    containerfile = f"""FROM {reference(image.parent or "")}
RUN mkdir -p /etc/postgresql-common && {NO_DEFAULT_CLUSTER} \\
 && apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\
    {" ".join(image.packages)} && apt-get clean
"""
    with tempfile.TemporaryDirectory(prefix="contralock-image-") as folder:
        file = Path(folder, "Containerfile")
        file.write_text(containerfile, encoding="utf-8")
        run(str(PODMAN), "build", "-q", "--network=host", "--layers=false", "-t", ref, "-f", str(file), folder)


def ensure(name: str) -> str:
    """Build the image, and before it its parent, unless it is there; its reference."""
    image, ref = IMAGES[name], reference(name)
    if image.parent:
        ensure(image.parent)
    if not exists(ref):
        began = time.monotonic()
        print(f"building the host image {name} ...", file=sys.stderr, flush=True)
        (build_on_parent if image.parent else build_from_nothing)(image, ref)
        print(f"built the host image {name} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return ref


def main() -> int:
    """Build what is missing of the named images."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"one of {', '.join(IMAGES)}; without any, all")
    parser.add_argument("--print", action="store_true", help="print the references and build nothing")
    arguments = parser.parse_args()
    names = arguments.images or list(IMAGES)
    if unknown := sorted(set(names) - set(IMAGES)):
        parser.error(f"no image is called {', '.join(unknown)}; there are {', '.join(IMAGES)}")
    with LOCK.open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print(json.dumps({name: reference(name) if arguments.print else ensure(name) for name in names}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
