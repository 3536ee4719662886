"""What the role leaves on a host, looked at without another run."""

from __future__ import annotations

import re
import stat

import pytest
from conftest import CONFIGURATION, NAME
from cryptography import x509

DATA = "/var/lib/postgresql/15/main"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C.UTF-8"),
        ("password_encryption", "scram-sha-256"),
        ("ssl_min_protocol_version", "TLSv1.2"),
        ("timezone", "UTC"),
        ("shared_buffers", "128MB"),  # of the 512 MiB in the scenario's inventory
        ("max_connections", "100"),
    ],
)
def test_setting(server, setting, value):
    assert server.show(setting) == value, f"{setting} is not what the role promises"


def test_new_databases_are_in_the_order_of_sqlite(server):
    seen = server.sql(
        "SELECT DISTINCT pg_encoding_to_char(encoding) || ' ' || datcollate || ' ' || datctype FROM pg_database"
    )
    assert seen == "UTF8 C.UTF-8 C.UTF-8"


def test_version_is_the_distributions(server):
    installed = server.host.package("postgresql-15")
    assert installed.is_installed
    assert server.show("server_version").startswith("15."), server.show("server_version")


def test_service_runs_and_starts_at_boot(server):
    service = server.host.service("postgresql@15-main")
    assert service.is_running
    assert service.is_enabled


def test_only_this_cluster_was_made(server):
    assert server.host.check_output("pg_lsclusters -h | awk '{print $1, $2, $3}'") == "15 main 5432"


@pytest.mark.parametrize(
    ("path", "owner", "mode"),
    [
        (f"{CONFIGURATION}/tls", "postgres", 0o750),
        (f"{CONFIGURATION}/tls/server.key", "postgres", 0o600),
        (f"{CONFIGURATION}/tls/server.crt", "postgres", 0o644),
        (f"{CONFIGURATION}/conf.d/contralock.conf", "postgres", 0o644),
        (f"{CONFIGURATION}/pg_hba.conf", "postgres", 0o640),
        (f"{CONFIGURATION}/pg_ident.conf", "postgres", 0o640),
        (DATA, "postgres", 0o700),
    ],
)
def test_file_is_closed_to_others(server, path, owner, mode):
    file = server.host.file(path)
    assert (file.user, file.group, oct(file.mode)) == (owner, owner, oct(mode)), path


def test_authority_is_closed_to_others(authority_directory):
    modes = {
        path.name: oct(stat.S_IMODE(path.stat().st_mode))
        for path in [authority_directory, *authority_directory.iterdir()]
    }
    # Nothing else either: the server's key never leaves the server.
    assert modes == {"tls": "0o700", "ca.key": "0o600", "ca.crt": "0o644"}


def test_rules_let_in_the_application_over_tls_only(server, app1):
    address = app1.check_output("ip -4 -o addr show eth0 | awk '{split($4, a, \"/\"); print a[1]}'")
    rules = server.sql(
        "SELECT type, user_name, address, netmask, auth_method FROM pg_hba_file_rules ORDER BY line_number"
    )
    assert rules.splitlines() == [
        "local|{postgres}|||peer",
        "hostssl|{postgres}|all||reject",
        f"hostssl|{{all}}|{address}|255.255.255.255|scram-sha-256",
    ]
    assert server.sql("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == "0"


@pytest.fixture(scope="module")
def visitor(server):
    """A role with a password that may log in; its connection string without host, as from an operator's shell."""
    server.sql("CREATE ROLE visitor LOGIN PASSWORD 'open sesame'")
    yield "user=visitor password='open sesame' dbname=postgres connect_timeout=5"
    server.sql("DROP ROLE visitor")


def connect(host, conninfo):
    return host.run("psql -XAtqw %s -c 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'", conninfo)


def test_application_gets_in_over_tls(app1, visitor):
    done = connect(app1, f"{visitor} host={NAME} sslmode=require")
    assert (done.rc, done.stdout) == (0, "t\n"), done.stderr


def test_application_is_refused_without_tls(app1, visitor):
    done = connect(app1, f"{visitor} host={NAME} sslmode=disable")
    assert done.rc != 0
    assert "no encryption" in done.stderr, done.stderr


def test_wrong_password_is_refused(app1, visitor):
    done = connect(app1, f"{visitor} host={NAME} sslmode=require".replace("sesame", "barley"))
    assert "password authentication failed" in done.stderr, done.stderr


def test_other_hosts_are_refused(db1, visitor):
    """The database's host itself is no application host, and stands for every other one here."""
    done = connect(db1, f"{visitor} host={NAME} sslmode=require")
    assert "no pg_hba.conf entry" in done.stderr, done.stderr


def test_superuser_is_refused_over_the_network(app1):
    done = connect(app1, f"user=postgres password=x dbname=postgres host={NAME} sslmode=require")
    assert "pg_hba.conf rejects connection" in done.stderr, done.stderr


def test_other_accounts_of_the_host_are_no_superuser(db1):
    done = db1.run("cd / && runuser -u ansible -- psql -XAtqw -U postgres -d postgres -c 'SELECT 1'")
    assert "Peer authentication failed" in done.stderr, done.stderr


@pytest.mark.parametrize(("version", "options"), [("TLSv1.2", "-tls1_2"), ("TLSv1.3", "-tls1_3")])
def test_modern_tls_is_accepted(server, version, options):
    assert re.search(rf"^New, {version}, Cipher is \S*(AES|CHACHA)", server.handshake(options), re.MULTILINE)


@pytest.mark.parametrize("options", ["-tls1_1", "-tls1"])
def test_old_tls_is_refused(server, options):
    # At security level 0 openssl does offer it, so that it is the server that refuses.
    said = server.handshake(f"{options} -cipher DEFAULT@SECLEVEL=0")
    assert "alert protocol version" in said, said
    assert "Cipher is (NONE)" in said, said


def test_certificate_is_verified_by_authority_and_name(server, authority_directory):
    authority = (authority_directory / "ca.crt").read_bytes()
    assert server.verified_by(authority)
    assert not server.verified_by(authority, "db2.contralock.test"), "a server of another name was accepted"


def test_certificate_is_for_this_server_alone(server, authority_directory):
    certificate = server.presented()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    authority = x509.load_pem_x509_certificate((authority_directory / "ca.crt").read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert authority.not_valid_after_utc > certificate.not_valid_after_utc, "the certificate outlives its authority"
