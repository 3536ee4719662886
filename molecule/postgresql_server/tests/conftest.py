"""What the tests of this role share: the server's own word, variants of the host, certificates to bring."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from testinfra.host import Host

# The playbook that Molecule converges with: what an operator runs.
PLAYBOOK = "molecule/postgresql_server/converge.yml"
CLUSTER = "15/main"
CONFIGURATION = f"/etc/postgresql/{CLUSTER}"
NAME = "db1.contralock.test"


@dataclass(frozen=True)
class Server:
    """The PostgreSQL server on db1, asked as its superuser; seen from the application's host."""

    host: Host
    application: Host

    def sql(self, query: str, cluster: str = CLUSTER) -> str:
        """The query's answer, columns separated by |."""
        command = "cd / && runuser -u postgres -- psql --cluster %s -XAtq -v ON_ERROR_STOP=1 -d postgres -c %s"
        return str(self.host.check_output(command, cluster, query))

    def show(self, setting: str) -> str:
        """The setting in force."""
        return self.sql(f"SHOW {setting}")

    def started(self) -> str:
        """When the server was started: another time means a restart."""
        return self.sql("SELECT pg_postmaster_start_time()")

    def loaded(self) -> str:
        """When the configuration was read: another time means a reload (or a restart)."""
        return self.sql("SELECT pg_conf_load_time()")

    def handshake(self, options: str = "", port: int = 5432) -> str:
        """What openssl says about a TLS handshake, from the application's host."""
        command = f"openssl s_client -starttls postgres -connect {NAME}:{port} {options} </dev/null 2>&1"
        return str(self.application.run(command).stdout)

    def presented(self) -> x509.Certificate:
        """The certificate that the server presents."""
        return x509.load_pem_x509_certificate(self.handshake().encode())

    def verified_by(self, authority: bytes, name: str = NAME) -> bool:
        """Whether a client that has this authority and expects this name accepts the server."""
        command = (
            "printf %s %s | openssl s_client -starttls postgres -connect %s:5432 -CAfile /dev/stdin -verify_hostname %s"
            " -verify_return_error -brief"
        )
        done = self.application.run(command, "%s", authority.decode(), NAME, name)
        return bool(done.rc == 0 and "Verification: OK" in done.stderr)


def look(server: Server) -> list[str]:
    """All files that the role writes, with their digests, and when the server was started and reloaded.

    Without the cluster of others that the role takes over.
    """
    files = server.host.check_output(
        "find /etc/postgresql /etc/postgresql-common -not -path '*/15/adopted*' -type f | sort | xargs sha256sum"
    )
    return [*files.splitlines(), server.started(), server.loaded()]


@pytest.fixture(scope="session")
def server(db1: Host, app1: Host) -> Server:
    return Server(db1, app1)


@pytest.fixture(scope="session")
def run_role(run_playbook) -> Callable[..., Any]:
    """Run the role on db1, as converged, with other variables."""
    return lambda *options, **variables: run_playbook(PLAYBOOK, *options, **variables)


@pytest.fixture(scope="session")
def run_variants(run_playbook, tmp_path_factory) -> Callable[..., Any]:
    """Run the role on db1 under several names at once, each with variables of its own: {name: variables}.

    The application's host is left out unless it is asked for, and its facts with it.
    """
    inventory = yaml.safe_load(Path(os.environ["MOLECULE_INVENTORY_FILE"]).read_text(encoding="utf-8"))
    connection = inventory["all"]["hosts"]["db1"]

    def run(variants: dict[str, dict[str, Any]], *options: str, others: tuple[str, ...] = ()) -> Any:
        folder = tmp_path_factory.mktemp("variants")
        file = folder / "inventory.yml"
        hosts = {name: {**connection, **variables} for name, variables in variants.items()}
        file.write_text(yaml.safe_dump({"database": {"hosts": hosts}}), encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            # All are the same host, whose facts are known (molecule/shared/run_scenarios.py keeps them).
            if known := os.environ.get("ANSIBLE_CACHE_PLUGIN_CONNECTION"):
                patch.setenv("ANSIBLE_CACHE_PLUGIN_CONNECTION", str(folder / "facts"))
                (folder / "facts").mkdir()
                for facts in Path(known).glob("*db1"):
                    for name in variants:
                        shutil.copy(facts, folder / "facts" / facts.name.replace("db1", name))
            # An SSH server takes ten sessions over one connection.
            return run_playbook(
                PLAYBOOK, "--inventory", str(file), "--limit", ":".join([*variants, *others]), "--forks", "6", *options
            )

    return run


@pytest.fixture(scope="session")
def authority_directory() -> Path:
    """Where the scenario's inventory keeps the authority, on the controller."""
    return Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "tls")


@dataclass(frozen=True)
class Signed:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(encoding, form, serialization.NoEncryption())


def issue(
    name: str,
    issuer: Signed | None = None,
    *,
    names: tuple[str, ...] = (),
    days: int = 90,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> Signed:
    """A certificate for servers of these names, or (without any) of an authority; signed by itself or by the issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder(issuer.certificate.subject if issuer else subject, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(text) for text in names])
        builder = builder.add_extension(alternatives, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return Signed(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


@pytest.fixture(scope="session")
def bring(tmp_path_factory) -> Callable[..., dict[str, str]]:
    """The role's variables for a certificate that is brought, its files written."""

    def write(certificate: bytes, key: bytes, authority: bytes) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("brought")
        variables = {}
        for what, content in {"certificate": certificate, "key": key, "ca": authority}.items():
            (folder / f"{what}.pem").write_bytes(content)
            variables[f"postgresql_server_tls_{what}_file"] = str(folder / f"{what}.pem")
        return variables

    return write


@pytest.fixture(scope="session")
def planted_clusters(server: Server) -> Iterator[None]:
    """Clusters that others made, well or badly, beside the role's own; gone again afterwards."""
    make = "pg_createcluster --start --encoding=%s --locale=%s --port=%s 15 %s -- %s"
    server.host.check_output(make, "UTF8", "C.UTF-8", "5441", "nosums", "--auth-local=peer")
    server.host.check_output(make, "LATIN1", "C", "5442", "latin", "--data-checksums")
    server.host.check_output(make, "UTF8", "C.UTF-8", "5443", "adopted", "--data-checksums")
    server.sql("ALTER SYSTEM SET work_mem = '5MB'", "15/adopted")
    server.host.check_output("mkdir -p /etc/postgresql/15/halfconf /var/lib/postgresql/15/halfdata")
    server.host.check_output(
        "touch /etc/postgresql/15/halfconf/postgresql.conf /var/lib/postgresql/15/halfdata/PG_VERSION"
    )
    yield
    for name in ("nosums", "latin", "adopted"):
        server.host.check_output("systemctl disable --now %s", f"postgresql@15-{name}.service")
        server.host.check_output("pg_dropcluster 15 %s", name)
    # Debian's tool leaves what it did not make.
    server.host.check_output("rm -rf /etc/postgresql/15/adopted /etc/postgresql/15/half* /var/lib/postgresql/15/half*")
