"""The filter ``contralock.database.scram_verifier``: a password as PostgreSQL stores it."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from scramp import ScramException, ScramMechanism

DOCUMENTATION = """
name: scram_verifier
short_description: Turn a password into the SCRAM-SHA-256 verifier that PostgreSQL stores
description:
  - A password in C(CREATE ROLE) or C(ALTER ROLE) can end in the server's log; a verifier tells nobody the password.
  - Given the verifier that the server has, it is returned unchanged while the password still belongs to it, so that a
    second run changes nothing.
positional: _input, stored
options:
  _input:
    description: The password.
    type: str
    required: true
  stored:
    description: The verifier that the server has in C(pg_authid.rolpassword); empty or undefined for none.
    type: str
"""

EXAMPLES = """
- name: Create a role
  community.postgresql.postgresql_user:
    name: contralock_user
    password: "{{ vaulted_password | contralock.database.scram_verifier(stored_verifier) }}"
"""

RETURN = """
_value:
  description: C(SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey), salt and keys in base64.
  type: str
"""

_MECHANISM = ScramMechanism("SCRAM-SHA-256")
# PostgreSQL's own default (scram_iterations).
_ITERATIONS = 4096
# The form of pg_authid.rolpassword: PostgreSQL's documentation, "pg_authid"; the parts are those of RFC 5803.
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(?P<iterations>\d+):(?P<salt>[A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")


def scram_verifier(password: str, stored: str | None = None) -> str:
    """The verifier of a password; the stored one when it is of this password already.

    Args:
        password: The password; it is normalised by SASLprep (RFC 4013) as the server and its clients do.
        stored: What the server has, if anything.

    Raises:
        AnsibleFilterError: The password is empty or has a character that SASLprep prohibits.
    """
    known = _VERIFIER.fullmatch(stored or "")
    if known:
        same = _make(password, b64decode(known["salt"]), int(known["iterations"]))
        if same == stored:
            return same
    return _make(password, None, _ITERATIONS)


def _make(password: str, salt: bytes | None, iterations: int) -> str:
    if not password:
        raise AnsibleFilterError("scram_verifier: the password is empty. Put one into the vault.")
    try:
        salt, stored_key, server_key, iterations = _MECHANISM.make_auth_info(str(password), iterations, salt)
    except ScramException as error:
        # The library's message may hold the character; the password stays unsaid.
        raise AnsibleFilterError(
            "scram_verifier: the password has a character that SASLprep (RFC 4013) prohibits, such as a control "
            "character. Choose one of printable characters."
        ) from error
    encoded = [b64encode(part).decode("ascii") for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters by name."""
        return {"scram_verifier": scram_verifier}
