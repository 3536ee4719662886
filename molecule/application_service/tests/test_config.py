"""The .env file: what belongs to the application stays, what the move needs is there, and nobody sees a secret."""

from __future__ import annotations

import re

from conftest import ENV, main_pid

CA = "/etc/contralock/postgresql-ca.crt"
PATHS = ["./data/contralock.sqlite", "data/../data/contralock.sqlite", "/srv/contralock/data/contralock.sqlite", ""]


def facts_of(run):
    return [result["ansible_facts"] for _, _, result in run.results if "ansible_facts" in result]


def test_the_file_is_the_application_s_still(app1, secret):
    before, after = app1.file("/root/env.before"), app1.file(ENV)
    assert (before.user, before.group, before.mode) == ("root", "root", 0o600)
    assert (after.user, after.group, after.mode) == ("root", "contralock", 0o640)
    assert after.content_string.startswith(before.content_string)
    assert "DB_TYPE=sqlite   # sqlite or postgresql\n" in after.content_string
    added = after.content_string.removeprefix(before.content_string).splitlines()
    assert added[:2] == ["", "# Added by the move from SQLite to PostgreSQL"]
    assert added[2:] == [
        "DB_HOST=db1.contralock.test",
        "DB_PORT=5432",
        "DB_NAME=contralock",
        "DB_USER=contralock_user",
        "DB_SSL=true",
        f"DB_SSL_CA={CA}",
        "DB_POOL_MAX=20",
        "DB_POOL_MIN=5",
        "DB_POOL_ACQUIRE=30000",
        "DB_POOL_IDLE=10000",
        f"DB_PASS={secret('user')}",
    ]
    assert app1.file("/srv/contralock").listdir().count(".env.contralock-new") == 0


def test_the_application_can_read_the_certificate(app1):
    assert app1.run("runuser --user contralock -- cat %s", CA).stdout == "In the place of a certificate\n"


def test_a_check_predicts_and_a_run_keeps_the_promise(app1, verbs, secret, env_text, tmp_path):
    changes = {"application_config_pool_max": 25, "application_config_password": "of#the 'next' \"year\""}
    jwt = re.search(r'JWT_SECRET="(\w{32})"', env_text)[1]

    predicted = verbs(["application_config"], "--check", "--diff", **changes)
    assert predicted.returncode == 0, predicted.message()
    assert [task.split(" : ")[-1] for _, task in predicted.changed] == ["Write the connection"]
    assert app1.file(ENV).content_string == env_text

    done = verbs(["application_config"], "--diff", **changes)
    assert done.changed == predicted.changed
    for run in (predicted, done):
        (written,) = [result for _, task, result in run.results if task.endswith("Write the connection")]
        assert written["keys"] == ["DB_POOL_MAX", "DB_PASS"]
        assert (written["diff"]["before"], written["diff"]["after"]) == (
            "DB_POOL_MAX=20\nDB_PASS=(hidden)\n",
            "DB_POOL_MAX=25\nDB_PASS=(hidden)\n",
        )
        assert jwt not in run.output
        assert secret("user") not in run.output
    expected = env_text.replace("DB_POOL_MAX=20", "DB_POOL_MAX=25")
    expected = expected.replace(f"DB_PASS={secret('user')}", "DB_PASS=`of#the 'next' \"year\"`")
    assert app1.file(ENV).content_string == expected
    # The copy is of what stood before the first change.
    assert "DB_POOL_MAX" not in app1.file("/root/env.before").content_string


def test_a_relative_path_leads_to_the_file_that_the_service_has_open(app1, verbs):
    files = [f"/srv/contralock/env{number}" for number in range(len(PATHS))]
    for path, file in zip(PATHS, files, strict=True):
        app1.check_output("echo %s > %s", f"DB_PATH={path}" if path else "# the default", file)
    steps = [("application_config/read", {"application_config_path": file}) for file in files]
    run = verbs([("application_service", {}), *steps])
    assert (run.returncode, run.changed) == (0, []), run.message()
    facts = facts_of(run)
    (service,) = [each["application_service_found"] for each in facts if "application_service_found" in each]
    found = [each["application_config_found"] for each in facts if "application_config_found" in each]
    assert service["main_pid"] == main_pid(app1)
    opened = app1.check_output("readlink /proc/%s/fd/*", str(service["main_pid"])).splitlines()
    for path, file, each in zip(PATHS, files, found, strict=True):
        assert each == {
            "type": "sqlite",
            "given_path": path or "./data/contralock.sqlite",
            "path": "/srv/contralock/data/contralock.sqlite",
            "env_path": file,
        }
        assert each["path"] in opened
    app1.check_output("rm /srv/contralock/env?")


def test_refusals(app1, refused, env_text):
    app1.check_output("echo DB_TYPE=mysql > /root/env.mysql")
    config, preflight = "application_config", "application_config/preflight"
    messages = refused(
        ([config], {"application_config_path": "/srv/contralock/env"}),
        ([preflight], {"application_config_host": ""}),
        ([preflight], {"application_config_ca_certificate": ""}),
        ([preflight], {"application_config_password": ""}),
        ([preflight], {"application_config_pool_max": 31}),
        ([preflight], {"application_config_pool_min": 21}),
        ([preflight], {"application_service_found": {"environment": ["X", "DB_TYPE"], "environment_files": ["/x"]}}),
        ([config], {"application_config_values": {"STRIPE_KEY": "x"}}),
        ([config], {"application_config_password": "s3cret'\"`#"}),
        (["application_config/read"], {"application_config_path": "/root/env.mysql"}),
        (["application_config/flip"], {}),
        (["application_config/flip"], {"application_config_type": "mysql"}),
    )
    expected = [
        "there is no file /srv/contralock/env. Name the .env file",
        "application_config_host is not set. Give the name of the PostgreSQL server",
        "application_config_ca_certificate is not set. Give the file on the controller",
        "application_config_password is not set. Put application_database_user_password into the vault",
        "5 to 31 connections, and contralock_user may open 30. Lower application_config_pool_max",
        "21 to 20 connections",
        f"started with DB_TYPE in its own environment, which wins over {ENV}",
        "STRIPE_KEY under 'values' would be shown",
        "no kind of quotes carries the value of DB_PASS",
        "DB_TYPE in /root/env.mysql is mysql; the application knows sqlite and postgresql",
        "application_config_type is empty. Say sqlite or postgresql",
        "application_config_type is mysql",
    ]
    for message, words in zip(messages, expected, strict=True):
        assert words in message
        assert "s3cret" not in message


def test_a_file_that_systemd_reads_itself_is_fine(app1, verbs, env_text, drop_in):
    # To systemd a comment behind a value is part of the value.
    app1.check_output("sed -i 's/^DB_TYPE=sqlite .*/DB_TYPE=sqlite/' %s", ENV)
    drop_in(f"EnvironmentFile={ENV}\n")
    run = verbs(["application_service", "application_config"])
    assert (run.returncode, run.changed) == (0, []), run.message()
    (service,) = [facts["application_service_found"] for facts in facts_of(run) if "application_service_found" in facts]
    assert service["environment_files"] == [ENV]
    assert {"DB_TYPE", "DB_PASS"} <= set(service["environment"])
