"""Verifiers as PostgreSQL stores them: held against a published one, kept while they belong to the password."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.contralock.database.plugins.filter.scram_verifier import FilterModule, scram_verifier
from scramp import ScramMechanism

# RFC 7677, section 3: user "user", password "pencil".
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
STORED_KEY = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
SERVER_KEY = "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
PENCIL = f"SCRAM-SHA-256$4096:{SALT}${STORED_KEY}:{SERVER_KEY}"


def test_published_verifier():
    assert scram_verifier("pencil", PENCIL) == PENCIL


def test_keys_prove_the_published_exchange():
    """The exchange of RFC 7677 itself: its proof and its signature come from the keys of the verifier."""
    stored_key, server_key = (b64decode(part) for part in scram_verifier("pencil", PENCIL).split("$")[2].split(":"))
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={SALT},i=4096,c=biws,r={nonce}".encode()
    signature = hmac.digest(server_key, message, "sha256")
    assert b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_key = bytes(a ^ b for a, b in zip(proof, hmac.digest(stored_key, message, "sha256"), strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key


def test_new_password_gets_a_new_salt():
    verifier = scram_verifier("another", PENCIL)
    assert verifier.startswith("SCRAM-SHA-256$4096:")
    assert SALT not in verifier
    assert scram_verifier("another", verifier) == verifier


def test_every_verifier_has_its_own_salt():
    assert scram_verifier("pencil") != scram_verifier("pencil")


@pytest.mark.parametrize("stored", [None, "", "md5" + "0" * 32, "pencil", PENCIL[:-1], PENCIL + "\n", PENCIL.lower()])
def test_what_is_no_verifier_is_replaced(stored):
    verifier = scram_verifier("pencil", stored)
    assert verifier != stored
    assert scram_verifier("pencil", verifier) == verifier


def test_stored_iterations_are_kept():
    """A server with other scram_iterations (PostgreSQL 16) is no reason to change the password at each run."""
    other = "SCRAM-SHA-256$8192:" + PENCIL.split(":", 1)[1]
    assert scram_verifier("pencil", other) != other  # its keys belong to 4096 iterations
    _, stored_key, server_key, _ = ScramMechanism("SCRAM-SHA-256").make_auth_info("pencil", 8192, b64decode(SALT))
    right = f"SCRAM-SHA-256$8192:{SALT}${b64encode(stored_key).decode()}:{b64encode(server_key).decode()}"
    assert scram_verifier("pencil", right) == right


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("I\u00adX", "IX"),  # RFC 4013, section 3: a soft hyphen is mapped to nothing
        ("user", "user"),
        ("USER", "USER"),  # case is kept
        ("\u00aa", "a"),  # compatibility composition
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),  # every space is a space
        ("e\u0301", "\u00e9"),
    ],
)
def test_normalised_as_the_server_does(written, same):
    verifier = scram_verifier(same)
    assert scram_verifier(written, verifier) == verifier


@pytest.mark.parametrize("password", ["", "prohibited\u0007character", "\u0627\u0031 of both directions"])
def test_refused_without_saying_the_password(password):
    with pytest.raises(AnsibleFilterError, match=r"scram_verifier: the password (is empty|has)") as refusal:
        scram_verifier(password, PENCIL)
    said = str(refusal.value)
    assert not password or password not in said
    assert "prohibited\\x07character" not in said


def test_is_offered_to_ansible():
    assert FilterModule().filters() == {"scram_verifier": scram_verifier}
