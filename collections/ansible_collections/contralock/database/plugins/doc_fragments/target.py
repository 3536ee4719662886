"""The documentation that every module with a target shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Documents how the modules reach PostgreSQL."""

    DOCUMENTATION = r"""
options:
  target:
    description:
      - The database, as a libpq connection string or URI.
      - It must hold no password. libpq reads it from O(target)'s V(passfile=), from a service file or from the
        environment variable E(PGPASSWORD). Note that Ansible itself prints a task's C(environment) at C(-vvv), so
        that a password file of mode 0600 on the host is the better place.
      - Over TCP the server's certificate is always verified, name included (V(sslmode=verify-full)); V(sslrootcert=)
        names the certificate of the authority that signed it. A weaker mode is refused.
      - The empty string leaves everything to libpq (E(PGHOST), E(PGDATABASE), ...).
    type: str
    required: true
requirements:
  - python >= 3.11
  - psycopg >= 3.2
notes:
  - The module runs where its Python is; C(ansible_python_interpreter) names the virtual environment with psycopg.
"""
