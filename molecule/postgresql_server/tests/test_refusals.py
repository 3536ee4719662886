"""What the role refuses: before it changes anything, and with a message that names the fact and the mend."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import NAME, issue, look
from cryptography.x509.oid import ExtendedKeyUsageOID

ADDRESSES = {"postgresql_server_application_addresses": ["192.0.2.10/32"]}


def settings(**values: Any) -> dict[str, Any]:
    return {"postgresql_server_settings": values}


def addresses(*values: str) -> dict[str, Any]:
    return {"postgresql_server_application_addresses": list(values)}


def names(*values: str) -> dict[str, Any]:
    return {"postgresql_server_tls_names": list(values)}


def cluster(name: str, port: int) -> dict[str, Any]:
    return {"postgresql_server_cluster": name, "postgresql_server_port": port}


# Name of the variant: its variables, and what the message has to say.
GIVEN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no_addresses": (addresses(), ["postgresql_server_application_addresses is empty", "group"]),
    # The role's own default, in a run that is limited to the database's host.
    "no_facts_of_the_application": ({}, ["facts-not-gathered", "run without --limit"]),
    "address_without_mask": (addresses("192.0.2.10"), ["192.0.2.10", "CIDR"]),
    "address_is_a_name": (addresses("app1.contralock.test/32"), ["app1.contralock.test/32", "CIDR"]),
    "address_with_a_wrong_digit": (
        addresses("192.0.2.1/32", "192.0.2.300/32"),
        ["192.0.2.300/32", "which is no address"],
    ),
    "address_with_a_wrong_mask": (addresses("2001:db8::1/129"), ["2001:db8::1/129", "which is no address"]),
    "world": (addresses("192.0.2.1/32", "0.0.0.0/0"), ["0.0.0.0/0", "lets too many in"]),
    "half_the_world": (addresses("128.0.0.0/1"), ["128.0.0.0/1", "lets too many in"]),
    "world_ipv6": (addresses("::/0"), ["::/0", "lets too many in"]),
    "unfilled_passphrase": (
        {"postgresql_server_tls_ca_passphrase": "change-me"},
        ["postgresql_server_tls_ca_passphrase has 9 characters"],
    ),
    "no_names": (names(), ["postgresql_server_tls_names is []"]),
    "name_with_a_blank": (names("db 1"), ["db 1", "host name"]),
    "name_with_a_star_inside": (names("db*.contralock.test"), ["db*.contralock.test", "first label"]),
    "name_is_an_address": (names("192.0.2.10"), ["192.0.2.10", "no address"]),
    "renewal_at_each_run": (
        {"postgresql_server_tls_certificate_days": 30},
        ["postgresql_server_tls_certificate_days 30"],
    ),
    "certificate_outlives_authority": ({"postgresql_server_tls_ca_days": 90}, ["postgresql_server_tls_ca_days 90"]),
    "hyphen_in_the_clusters_name": (cluster("my-cluster", 5444), ["my-cluster", "hyphen"]),
    "too_few_connections": ({"postgresql_server_max_connections": 3}, ["postgresql_server_max_connections is 3"]),
    "nowhere_to_listen": ({"postgresql_server_listen_addresses": []}, ["postgresql_server_listen_addresses is []"]),
    "address_of_another_host": (
        {"postgresql_server_listen_addresses": ["localhost", "192.0.2.9"]},
        [
            "postgresql_server_listen_addresses has 192.0.2.9, which is no address of",
            "Cannot assign",
            "The host has 10.",
        ],
    ),
    "name_of_nobody_to_listen_on": (
        {"postgresql_server_listen_addresses": ["nobody.contralock.test"]},
        ["has nobody.contralock.test, which is no address of"],
    ),
    "version_that_is_not_offered": (
        {"postgresql_server_version": "99"},
        ["postgresql_server_version is 99, and the package sources of", "offer 15. Leave the variable out"],
    ),
    "version_with_a_point": (
        {"postgresql_server_version": "15.4"},
        ['postgresql_server_version is "15.4". Give a major version', "the distribution's own, 15."],
    ),
    "tls_off": (settings(ssl=False), ["ssl = ", "without TLS"]),
    "old_tls": (settings(ssl_min_protocol_version="TLSv1.1"), ["ssl_min_protocol_version", "TLSv1.2 and TLSv1.3"]),
    "port_as_a_setting": (settings(port=5999), ["port", "use postgresql_server_port"]),
    "setting_is_a_list": (settings(shared_preload_libraries=["auto_explain"]), ["shared_preload_libraries", "commas"]),
    "setting_of_two_lines": (settings(log_line_prefix="a\nport = 1"), ["log_line_prefix", "one line"]),
    "setting_in_upper_case": (settings(SSL=False), ["SSL", "lower case"]),
    "setting_with_a_bad_value": (settings(shared_buffers="lots"), ["shared_buffers", "lots", "nothing was changed"]),
    "setting_in_a_unit_that_does_not_exist": (
        settings(shared_buffers="1lot"),
        ["shared_buffers", "Valid units for this parameter are", '"TB"; configuration file'],
    ),
    "setting_that_does_not_exist": (settings(shared_bufers="1GB"), ["shared_bufers", "nothing was changed"]),
    "cluster_without_checksums": (cluster("nosums", 5441), ["15/nosums", "checksums", "pg_checksums --enable"]),
    "cluster_in_latin1": (cluster("latin", 5442), ["LATIN1 C", "UTF8 C.UTF-8", "pg_dropcluster"]),
    "cluster_without_its_data": (cluster("halfconf", 5445), ["made by half", "halfconf/global/pg_control", "remove"]),
    "cluster_whose_making_was_killed": (
        cluster("halfdata", 5446),
        ["made by half", "halfdata/PG_VERSION there", "remove"],
    ),
}
# With files that a fixture makes; what the message has to say.
BROUGHT = {
    "only_a_certificate": ["some are set and some are not", "postgresql_server_tls_key_file"],
    "missing_file": ["/nowhere/ca.pem", "no file on the controller"],
    "no_certificate_in_the_file": ["certificate.pem holds no certificate"],
    "no_key_in_the_file": ["key.pem holds no private key"],
    "key_of_another": ["is not the key of", "public keys differ"],
    "name_of_another": ["dns:db2.contralock.test", NAME, "clients would refuse it"],
    "wildcard_of_another_level": ["dns:*.test", NAME],
    "expires_soon": ["for 30 days", "postgresql_server_tls_renew_days"],
    "signed_by_another": ["does not lead to", "ca.pem"],
    "authority_expires_soon": ["fading", "for 30 days"],
    "for_clients": ["serverAuth"],
    "authority_elsewhere": ["was not signed by the authority in", "(there is none)", "server.crt"],
    "authority_is_another": ["was not signed by the authority in", "server.crt"],
    "authority_without_its_key": ["has ca.crt but not ca.key"],
    "authority_with_another_key": ["do not belong together"],
    "passphrase_for_an_unencrypted_key": ["ca.key cannot be read with the passphrase", "openssl pkcs8 -topk8"],
}
# Runs through, up to what the server itself says at the end.
ADOPTED = {**cluster("adopted", 5443)}


@pytest.fixture(scope="module")
def brought(bring, authority_directory, tmp_path_factory):
    """The variables of the variants that need files."""
    ca, other, fading = issue("ca"), issue("other ca"), issue("fading ca", days=20)
    good, second = issue(NAME, ca, names=(NAME,)), issue(NAME, ca, names=(NAME,))

    def of(signed, key=None, authority=ca):
        return bring(signed.certificate_pem(), (key or signed).key_pem(), authority.certificate_pem())

    def directory(key=None, certificate=None):
        folder = tmp_path_factory.mktemp("authority")
        if certificate:
            (folder / "ca.crt").write_bytes(certificate)
        if key:
            (folder / "ca.key").write_bytes(key)
        return {"postgresql_server_tls_directory": str(folder)}

    copied = tmp_path_factory.mktemp("authority") / "copy"
    shutil.copytree(authority_directory, copied)
    own = (authority_directory / "ca.crt").read_bytes()
    return {
        "only_a_certificate": {**of(good), "postgresql_server_tls_key_file": "", "postgresql_server_tls_ca_file": ""},
        "missing_file": {**of(good), "postgresql_server_tls_ca_file": "/nowhere/ca.pem"},
        "no_certificate_in_the_file": bring(b"nothing\n", good.key_pem(), ca.certificate_pem()),
        "no_key_in_the_file": bring(good.certificate_pem(), b"nothing\n", ca.certificate_pem()),
        "key_of_another": of(good, key=second),
        "name_of_another": of(issue("db2", ca, names=("db2.contralock.test",))),
        "wildcard_of_another_level": of(issue("db2", ca, names=("*.test",))),
        "expires_soon": of(issue(NAME, ca, names=(NAME,), days=20)),
        "signed_by_another": of(good, authority=other),
        "authority_expires_soon": of(issue(NAME, fading, names=(NAME,)), authority=fading),
        "for_clients": of(issue(NAME, ca, names=(NAME,), usage=ExtendedKeyUsageOID.CLIENT_AUTH)),
        "authority_elsewhere": directory(),
        "authority_is_another": directory(other.key_pem(), other.certificate_pem()),
        "authority_without_its_key": directory(certificate=own),
        "authority_with_another_key": directory(other.key_pem(), own),
        "passphrase_for_an_unencrypted_key": {
            "postgresql_server_tls_directory": str(copied),
            "postgresql_server_tls_ca_passphrase": "open sesame, please",
        },
    }


@dataclass(frozen=True)
class Refused:
    """The run, and what it could have harmed before and after it."""

    run: Any
    before: list[str]
    after: list[str]


@pytest.fixture(scope="module")
def refused(run_variants, server, planted_clusters, brought):
    """All variants in one run, side by side."""
    variants = {name: {**ADDRESSES, **variables} for name, (variables, _) in GIVEN.items()}
    variants |= {name: {**ADDRESSES, **variables} for name, variables in brought.items()}
    del variants["no_facts_of_the_application"]["postgresql_server_application_addresses"]
    variants["adopted"] = {**ADDRESSES, **ADOPTED}
    before = look(server)
    run = run_variants(variants)
    return Refused(run, before, look(server))


EXPECTED = {name: words for name, (_, words) in GIVEN.items()} | BROUGHT


@pytest.mark.parametrize("name", EXPECTED)
def test_is_refused_with_fact_and_mend(refused, name):
    message = " ".join(
        " ".join(text for host, text in refused.run.failures if host == name).replace('\\"', '"').split()
    )
    assert message, f"{name} was not refused: {refused.run.output[-2000:]}"
    missing = [words for words in EXPECTED[name] if words not in message]
    assert not missing, f"the message does not say {missing}: {message}"
    assert ".." not in message.replace("...", ""), "a sentence ends twice"


@pytest.mark.parametrize("name", EXPECTED)
def test_refusal_changes_nothing(refused, name):
    assert [task for host, task in refused.run.changed if host == name] == []


def test_refusals_leave_the_files_and_the_server_alone(refused):
    assert refused.after == refused.before


def test_refusals_make_no_authority(refused, brought):
    folder = Path(brought["authority_elsewhere"]["postgresql_server_tls_directory"])
    assert list(folder.iterdir()) == [], "an authority was made that no client knows"


def test_refusals_keep_the_authoritys_key(refused, brought, authority_directory):
    folder = Path(brought["passphrase_for_an_unencrypted_key"]["postgresql_server_tls_directory"])
    assert (folder / "ca.key").read_bytes() == (authority_directory / "ca.key").read_bytes()


def test_cluster_of_others_is_adopted_and_what_overrides_the_role_is_found(refused, server):
    """A good cluster that others made lets neither root nor the role in at first; it has an ALTER SYSTEM as well."""
    message = " ".join(text for host, text in refused.run.failures if host == "adopted")
    auto = "/var/lib/postgresql/15/adopted/postgresql.auto.conf line 3"
    assert f"overridden = work_mem in place of 4MB ({auto}), where nothing was expected. Take" in message, message
    assert server.show("password_encryption") == "scram-sha-256"
    assert server.sql("SHOW wal_compression", "15/adopted") == "pglz", "the role's settings are not in force"
    assert server.sql("SELECT count(*) FROM pg_hba_file_rules WHERE type = 'host'", "15/adopted") == "0"
