"""Who gets in, and who is refused for which reason: seen from the host where it matters."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from clients import CA, LOG, SERVER, conninfo, execute, psql
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROLES = ["owner", "user"]
TLS_VERSION = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
WRONG_CA = "/tmp/wrong-ca.crt"
SERVER_CERTIFICATE = "/etc/postgresql/15/main/tls/server.crt"
NOW = datetime.datetime.now(datetime.UTC)


def put(host, path, text):
    answer = execute(host, "tee", path, stdin=text)
    assert answer.returncode == 0, answer


def certificate(subject, issuer, public_key, signing_key, days):
    """A certificate in PEM, valid from `days[0]` to `days[1]` from now."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    builder = (
        x509.CertificateBuilder(*reversed(names))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + datetime.timedelta(days=days[0]))
        .not_valid_after(NOW + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    return builder.sign(signing_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def wrong_ca(app1):
    key = ec.generate_private_key(ec.SECP256R1())
    # It bears the right authority's name: only the key differs.
    put(
        app1,
        WRONG_CA,
        certificate("ContraLock PostgreSQL CA", "ContraLock PostgreSQL CA", key.public_key(), key, (-1, 9)),
    )
    yield WRONG_CA
    app1.check_output("rm %s", WRONG_CA)


@pytest.fixture
def strangers(planted):
    planted("CREATE ROLE planted_stranger LOGIN PASSWORD 'of a stranger'")
    planted("SET password_encryption = md5; CREATE ROLE planted_md5 LOGIN PASSWORD 'of md5'")
    planted("GRANT CONNECT ON DATABASE contralock TO planted_md5")


@pytest.fixture
def clients(app1, db1, probe):
    return app1, probe, db1.check_output("hostname --ip-address").split()[0]


@pytest.mark.parametrize("role", ROLES)
def test_verified_by_name_with_tls(app1, probe, secret, role):
    answer = psql(app1, TLS_VERSION, secret(role), user=f"contralock_{role}")
    assert answer.text in ("TLSv1.2", "TLSv1.3"), answer
    (through_library,) = probe((conninfo(user=f"contralock_{role}"), secret(role)))
    assert through_library == {"tls": answer.text, "error": None}


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"host": "alias.contralock.test"}, 'does not match host name "alias.contralock.test"'),
        ({"host": "ADDRESS"}, "does not match host name"),
        ({"sslrootcert": WRONG_CA}, "certificate verify failed"),
        ({"sslrootcert": "/nowhere/ca.crt"}, 'root certificate file "/nowhere/ca.crt" does not exist'),
        ({"password": "wrong"}, 'password authentication failed for user "contralock_owner"'),
        ({"user": "postgres"}, "pg_hba.conf rejects connection"),
        ({"user": "planted_stranger"}, 'permission denied for database "contralock"'),
        ({"user": "planted_md5"}, 'password authentication failed for user "planted_md5"'),
    ],
    ids=["alias", "address", "wrong CA", "no CA", "wrong password", "superuser", "stranger", "md5"],
)
@pytest.mark.usefixtures("strangers", "wrong_ca")
def test_refused_with_a_reason(clients, secret, server_log, parameters, reason):
    app1, probe, address = clients
    parameters = {"user": "contralock_owner", **parameters}
    if parameters.get("host") == "ADDRESS":
        parameters["host"] = address
    passwords = {"planted_stranger": "of a stranger", "planted_md5": "of md5"}
    password = parameters.pop("password", None) or passwords.get(parameters["user"]) or secret("owner")

    answer = psql(app1, "SELECT 1", password, **parameters)
    assert reason in answer.complaint
    assert answer.returncode == 2
    (through_library,) = probe((conninfo(**parameters), password))
    assert reason in through_library["error"]
    assert password not in through_library["error"]
    if parameters["user"] == "planted_md5":
        # The right password, and yet: the server has no verifier that scram-sha-256 could use.
        assert 'User "planted_md5" does not have a valid SCRAM secret.' in server_log()


def test_refused_without_tls(app1, probe, secret):
    answer = psql(app1, "SELECT 1", secret("owner"), user="contralock_owner", sslmode="disable")
    assert "no pg_hba.conf entry for host" in answer.complaint
    assert "no encryption" in answer.complaint
    (through_library,) = probe((conninfo(user="contralock_owner", sslmode="disable"), secret("owner")))
    assert "sslmode=disable, which does not prove who answers" in through_library["error"]


@pytest.mark.parametrize("role", ROLES)
def test_refused_from_another_address(host_named, app1, secret, role):
    other1 = host_named("other1")
    put(other1, WRONG_CA, app1.file(CA).content_string)
    answer = psql(other1, "SELECT 1", secret(role), user=f"contralock_{role}", sslrootcert=WRONG_CA)
    address = other1.check_output("hostname --ip-address").split()[0]
    assert f'no pg_hba.conf entry for host "{address}", user "contralock_{role}"' in answer.complaint


def test_expired_certificate_is_refused_and_renewed(db1, app1, probe, secret, run_playbook):
    authority = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "tls")
    ca_key = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    text = db1.check_output("openssl pkey -in /etc/postgresql/15/main/tls/server.key -pubout")
    server_key = serialization.load_pem_public_key(text.encode())
    put(db1, SERVER_CERTIFICATE, certificate(SERVER, "ContraLock PostgreSQL CA", server_key, ca_key, (-30, -1)))
    db1.check_output("systemctl reload postgresql@15-main")
    db1.check_output("until tail -n 20 %s | grep -q 'reloading configuration'; do sleep 0.1; done; sleep 0.5", LOG)

    (through_library,) = probe((conninfo(user="contralock_owner"), secret("owner")))
    assert "certificate verify failed" in through_library["error"]
    # libpq says no more than that; OpenSSL gives the reason.
    seen = app1.run("openssl s_client -starttls postgres -connect %s:5432 -CAfile %s </dev/null 2>&1", SERVER, CA)
    assert "certificate has expired" in seen.stdout

    run = run_playbook("playbooks/prepare.yml", "--tags", "server")
    assert run.returncode == 0, run.message()
    assert any("Install the server's certificate" in task for _, task in run.changed), run.changed
    (through_library,) = probe((conninfo(user="contralock_owner"), secret("owner")))
    assert through_library["error"] is None


#: Takes longer than what is logged for being slow, and has a value that its text has not.
SLOW = """
import psycopg, sys
psycopg.connect(sys.argv[1]).execute("SELECT pg_sleep(1.1), %s::text", ["nobody-may-read-this"])
"""


def test_a_slow_statement_is_logged_without_its_values(app1, db1, secret):
    command = ("/opt/contralock-migration/venv/bin/python", "-c", SLOW, conninfo(user="contralock_owner"))
    done = execute(app1, *command, PGPASSWORD=secret("owner"))
    assert done.returncode == 0, done
    log = db1.file(LOG).content_string
    assert "SELECT pg_sleep(1.1), $1::text" in log
    assert "nobody-may-read-this" not in log
