"""Certificates over time: an authority with a passphrase, renewal, brought ones; never a restart for one.

The tests build on each other in the order in which they stand; the last one leaves the host as it was converged, but
for a certificate that was signed anew.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import CONFIGURATION, issue
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

PASSPHRASE = "swordfish-7f3a91"  # looked for in all that a run says, so it must be no ordinary word
CERTIFICATE = f"{CONFIGURATION}/tls/server.crt"


@contextmanager
def watched_arguments(word: str) -> Iterator[list[str]]:
    """The command lines of all processes of the machine and of the hosts that hold the word, while this is open."""
    seen: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = file.read_bytes()
                except OSError:  # it has ended
                    continue
                if word.encode() in line:
                    seen.append(line.replace(b"\0", b" ").decode(errors="replace"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


@dataclass(frozen=True)
class Authority:
    """A new authority, whose certificates have only days left."""

    directory: Path
    run: Any
    arguments: list[str]
    # A file, because the command line would be seen by others.
    variables: Path
    started: str
    certificate: x509.Certificate
    presented: x509.Certificate


@pytest.fixture(scope="module")
def short_lived(run_role, server, tmp_path_factory):
    """A new authority with a passphrase, on purpose and so without the old certificate; at the highest verbosity."""
    folder = tmp_path_factory.mktemp("authority")
    started = server.started()
    server.host.check_output("rm %s", CERTIFICATE)
    variables = folder / "variables.json"
    variables.write_text(
        json.dumps(
            {
                "postgresql_server_tls_directory": str(folder / "tls"),
                "postgresql_server_tls_ca_passphrase": PASSPHRASE,
            }
        ),
        encoding="utf-8",
    )
    with watched_arguments(PASSPHRASE) as arguments:
        run = run_role(
            "-vvvv",
            "--diff",
            "--extra-vars",
            f"@{variables}",
            postgresql_server_tls_ca_days=10,
            postgresql_server_tls_certificate_days=9,
            postgresql_server_tls_renew_days=5,
        )
    assert run.returncode == 0, run.message()
    certificate = x509.load_pem_x509_certificate((folder / "tls/ca.crt").read_bytes())
    return Authority(folder / "tls", run, arguments, variables, started, certificate, server.presented())


def left(certificate: x509.Certificate) -> int:
    """Days until it expires, rounded."""
    return round((certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1))


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def test_new_authority_signs_for_the_days_that_were_asked(short_lived, server):
    assert (left(short_lived.certificate), left(short_lived.presented)) == (10, 9)
    assert server.verified_by(pem(short_lived.certificate))


def test_authoritys_key_is_encrypted(short_lived):
    key = short_lived.directory / "ca.key"
    assert b"ENCRYPTED" in key.read_bytes()
    assert load_pem_private_key(key.read_bytes(), PASSPHRASE.encode())
    assert oct(key.stat().st_mode & 0o777) == "0o600"


def test_passphrase_is_nowhere_to_be_seen(short_lived):
    assert "openssl_privatekey" in short_lived.run.output, "the run said too little to prove anything"
    assert PASSPHRASE not in short_lived.run.output
    assert short_lived.arguments == []


def test_no_private_key_is_shown_or_brought_home(short_lived):
    assert "BEGIN CERTIFICATE" in short_lived.run.output, "the run said too little to prove anything"
    assert "PRIVATE KEY-----" not in short_lived.run.output
    assert sorted(path.name for path in short_lived.directory.iterdir()) == ["ca.crt", "ca.key"]


@pytest.fixture(scope="module")
def renewed(short_lived, run_role):
    """The ordinary run afterwards: both certificates expire too soon for it."""
    run = run_role("--extra-vars", f"@{short_lived.variables}")
    assert run.returncode == 0, run.message()
    return run


def test_certificates_that_expire_soon_are_renewed(renewed, short_lived, server):
    authority = x509.load_pem_x509_certificate((short_lived.directory / "ca.crt").read_bytes())
    presented = server.presented()
    assert (left(authority), left(presented)) == (3650, 397)
    assert presented.public_key() == short_lived.presented.public_key(), "the server's key was made anew"


def test_clients_of_the_old_authority_and_of_the_new_get_in(renewed, short_lived, server):
    """The authority's key stays, so that old and new certificates verify each other: clients may follow later."""
    authority = x509.load_pem_x509_certificate((short_lived.directory / "ca.crt").read_bytes())
    assert authority.public_key() == short_lived.certificate.public_key(), "the authority's key was made anew"
    assert server.verified_by(pem(authority))
    assert server.verified_by(pem(short_lived.certificate))
    short_lived.presented.verify_directly_issued_by(authority)


def test_renewal_reloads_and_does_not_restart(renewed, short_lived, server):
    assert "postgresql_server : Reload the server" in [task for _, task in renewed.changed]
    assert server.started() == short_lived.started


def test_run_after_a_renewal_changes_nothing(renewed, short_lived, run_role, server):
    loaded, presented = server.loaded(), server.presented()
    run = run_role("--extra-vars", f"@{short_lived.variables}")
    assert (run.returncode, run.changed) == (0, []), run.message()
    assert (server.started(), server.loaded(), server.presented()) == (short_lived.started, loaded, presented)


def test_brought_certificate_is_presented_with_its_chain(renewed, run_role, server, bring, tmp_path):
    """For a wildcard, signed by an authority in between; its key is encrypted by ansible-vault."""
    root = issue("Brought root")
    between = issue("Brought between", root)
    own = issue("wildcard", between, names=("*.contralock.test",))
    variables = bring(own.certificate_pem() + between.certificate_pem(), own.key_pem(), root.certificate_pem())
    password = tmp_path / "password"
    password.write_text("open sesame\n", encoding="utf-8")
    key = variables["postgresql_server_tls_key_file"]
    subprocess.run(
        ["ansible-vault", "encrypt", "--vault-password-file", password, key], check=True, capture_output=True
    )
    started = server.started()
    run = run_role("--vault-password-file", str(password), "-vvvv", "--diff", **variables)
    assert run.returncode == 0, run.message()
    assert server.presented() == own.certificate
    assert server.verified_by(root.certificate_pem())
    installed = server.host.file(f"{CONFIGURATION}/tls/server.key")
    assert (installed.content, oct(installed.mode), installed.user) == (own.key_pem(), "0o600", "postgres")
    assert "PRIVATE KEY-----" not in run.output
    assert server.started() == started


def test_way_back_to_the_generated_certificate(run_role, server, authority_directory):
    """From a server that was stopped and taken out of the boot, too."""
    server.host.check_output("systemctl disable --now postgresql@15-main.service && rm %s", CERTIFICATE)
    run = run_role()
    assert run.returncode == 0, run.message()
    assert server.host.service("postgresql@15-main").is_enabled
    assert server.verified_by((authority_directory / "ca.crt").read_bytes())
