"""Tests that the owner of a server receives no secret that was not meant for that server.

In Postgres a server's owner may change its address, rename it, and create user mappings of other
roles for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from harness import shell
from support.definitions import ScriptedOdoo, create_statement, expect_error
from support.faulty import FaultyOdoo, metric
from support.hostile import SERVER_OWNER, passwords_sent_to, texts_of
from support.supabase import Supabase

PASSWORD, STRIPE_KEY = "Geheim-4711", "sk_live_4242"
CHECK = "select * from ipai.check_connection('odoo')"
RUN = "select * from ipai.sync_sample_metrics()"
CALLS = (
    CHECK,
    "select ipai.odoo_version('odoo')",
    "select * from ipai.odoo_models('odoo')",
    "select ipai.odoo_call('odoo', 'ipai.sample.metric', 'search_count', '[[]]')",
)
BIND = "select ipai.bind_odoo_secret('{}', '{}', '{}');"


@pytest.fixture
def honest() -> Iterator[FaultyOdoo]:
    """The Odoo whose password is in Vault."""
    with ScriptedOdoo([metric(1), metric(2)]) as odoo:
        odoo.password = PASSWORD
        yield odoo


@pytest.fixture
def rogue() -> Iterator[FaultyOdoo]:
    """An Odoo of the server's owner, which records the passwords that it receives."""
    with ScriptedOdoo([metric(1, name="Forged")]) as odoo:
        odoo.password = PASSWORD
        yield odoo


def server_statement(url: str, *, name: str = "odoo", more: str = "") -> str:
    """Returns the statements with which the server's owner creates a server that others may use."""
    return (
        f"create server {name} foreign data wrapper ipai_odoo options (url '{url}', dbname 'odoo'{more});"
        f" grant usage on foreign server {name} to public;"
    )


def mapping_statement(secret: str, *, name: str = "odoo", role: str = "postgres") -> str:
    return f"create user mapping for {role} server {name} options (user 'admin', password_secret '{secret}');"


@pytest.fixture
def owned(supabase: Supabase, server_owner: str, honest: FaultyOdoo) -> Supabase:
    """A database whose server `odoo` belongs to the server's owner, with a secret of postgres."""
    supabase.rows(server_statement(honest.url), user=SERVER_OWNER)
    supabase.rows(mapping_statement("odoo_key"))
    supabase.rows("select vault.create_secret(%s, 'odoo_key')", PASSWORD)
    supabase.rows(BIND.format("odoo", "odoo_key", honest.url))
    supabase.register()
    supabase.rows(CHECK)
    supabase.rows("select vault.create_secret(%s, 'stripe_key')", STRIPE_KEY)
    assert passwords_sent_to(honest) == {PASSWORD}
    honest.requests.clear()
    return supabase


def refused(supabase: Supabase, statement: str, *odoos: FaultyOdoo) -> psycopg.errors.Diagnostic:
    """Runs a statement that must be refused before it sends a password, and returns its error."""
    found = expect_error(supabase, statement)
    assert [passwords_sent_to(odoo) for odoo in odoos] == [set()] * len(odoos)
    assert found.sqlstate == "42501", found.message_primary
    assert found.message_hint
    assert not [secret for secret in (PASSWORD, STRIPE_KEY) if secret in texts_of(found)]
    return found


def expect_no_binding(remedy: str | None, name: str = "odoo") -> None:
    """The remedy for a server of an untrusted role has no statement that binds a secret."""
    assert remedy and f'role "{SERVER_OWNER}"' in remedy, remedy
    assert "bind_odoo_secret('" not in remedy, remedy
    # The first is for a mapping of one's own, the second for the one of PUBLIC.
    statements = (
        f"drop user mapping for current_user server {name};",
        f"create user mapping for current_user server {name} options (...);",
    )
    assert remedy.endswith(statements), remedy


# Secrets that are not of the server ---------------------------------------------------------------


@pytest.mark.parametrize("secret", ["stripe_key", "odoo_key"])
@pytest.mark.parametrize("role", ["postgres", "public"])
def test_mapping_by_the_owner_cannot_name_another_secret(owned: Supabase, rogue: FaultyOdoo, secret: str, role: str) -> None:
    owned.rows(server_statement(rogue.url, name="theirs") + mapping_statement(secret, name="theirs", role=role), user=SERVER_OWNER)
    for call in CALLS:
        found = refused(owned, call.replace("odoo'", "theirs'", 1), rogue)
        expect_no_binding(found.message_hint, "theirs")


@pytest.mark.parametrize("secret", ["stripe_key", "odoo_key"])
def test_set_odoo_password_keeps_other_secrets(owned: Supabase, rogue: FaultyOdoo, secret: str) -> None:
    owned.rows(server_statement(rogue.url, name="theirs") + mapping_statement(secret, name="theirs"), user=SERVER_OWNER)
    secrets = "select name, description, decrypted_secret from vault.decrypted_secrets order by name"
    before = owned.rows(secrets)
    found = refused(owned, "select ipai.set_odoo_password('theirs', 'another')", rogue)
    assert "bind_odoo_secret('" not in (found.message_hint or "")
    assert owned.rows(secrets) == before


def test_set_odoo_password_creates_no_secret_for_an_untrusted_server(owned: Supabase, honest: FaultyOdoo, rogue: FaultyOdoo) -> None:
    """The owner may have changed the address since the caller looked at it."""
    owned.rows("drop user mapping for postgres server odoo;" + mapping_statement("new_key"))
    owned.rows(f"alter server odoo options (set url '{rogue.url}')", user=SERVER_OWNER)
    found = refused(owned, f"select ipai.set_odoo_password('odoo', '{PASSWORD}')", rogue, honest)
    assert owned.rows("select name from vault.secrets where name = 'new_key'") == []
    # The hint's statements take the address that the caller knows.
    create, bind = (f"select {part};" for part in (found.message_hint or "").rstrip(";").split("select ")[1:])
    owned.rows(create.rstrip(";").replace("...", PASSWORD))
    assert expect_error(owned, bind.replace("https://...", honest.url)).sqlstate == "22023"
    refused(owned, CHECK, rogue, honest)


@pytest.mark.parametrize("option", ["proxy '{url}', add allow_insecure 'true'", "ca_cert '{pem}'"], ids=["proxy", "ca_cert"])
def test_binding_refuses_a_way_that_an_untrusted_owner_chose(
    owned: Supabase, honest: FaultyOdoo, rogue: FaultyOdoo, tmp_path: Path, option: str
) -> None:
    owned.rows(f"alter server odoo options (add {option.format(url=rogue.url, pem=certificate(tmp_path))})", user=SERVER_OWNER)
    refused(owned, BIND.format("odoo", "odoo_key", honest.url), rogue, honest)
    refused(owned, CHECK, rogue, honest)


def test_server_owner_cannot_bind_a_secret(owned: Supabase, rogue: FaultyOdoo) -> None:
    """Only a role that may change the secret in Vault can bind it."""
    owned.rows(server_statement(rogue.url, name="theirs"), user=SERVER_OWNER)
    for role in ("postgres", SERVER_OWNER):
        owned.rows(mapping_statement("stripe_key", name="theirs", role=role), user=SERVER_OWNER)
    bind = expect_error(owned, BIND.format("theirs", "stripe_key", rogue.url), user=SERVER_OWNER)
    assert bind.sqlstate == "42501"
    refused(owned, "select * from ipai.check_connection('theirs')", rogue)


# Servers that change ------------------------------------------------------------------------------


def certificate(folder: Path) -> str:
    file = folder / "certificate.pem"
    shell.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"),
            *("-subj", "/CN=rogue", "-keyout", folder / "key.pem", "-out", file),
        ],
        capture=True,
    )
    return file.read_text()


CHANGES = {
    "another address": ("alter server odoo options (set url '{url}')", "alter server odoo options (set url '{honest}')"),
    "another database": ("alter server odoo options (set dbname 'other')", "alter server odoo options (set dbname 'odoo')"),
    "a proxy": (
        "alter server odoo options (add proxy '{url}', add allow_insecure 'true')",
        "alter server odoo options (drop proxy, drop allow_insecure)",
    ),
    "a certificate": ("alter server odoo options (add ca_cert '{pem}')", "alter server odoo options (drop ca_cert)"),
    "another name": ("alter server odoo rename to renamed", "alter server renamed rename to odoo"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changed_server_receives_no_secret(
    owned: Supabase, honest: FaultyOdoo, rogue: FaultyOdoo, tmp_path: Path, change: tuple[str, str]
) -> None:
    values = {"url": rogue.url, "honest": honest.url, "pem": certificate(tmp_path)}
    there, back = (statement.format(**values) for statement in change)
    owned.rows(there, user=SERVER_OWNER)
    name = "renamed" if "renamed" in there else "odoo"
    for call in CALLS:
        found = refused(owned, call.replace("odoo'", f"{name}'", 1), rogue, honest)
        expect_no_binding(found.message_hint, name)
    assert expect_error(owned, RUN).sqlstate in ("42501", "42704")
    # The server as it was has its secret.
    owned.rows(back, user=SERVER_OWNER)
    owned.rows(CHECK)
    assert owned.row(RUN)["inserted"] == 2
    assert (passwords_sent_to(honest), passwords_sent_to(rogue)) == ({PASSWORD}, set())


@pytest.mark.parametrize("way", ["alter server odoo rename to earlier;", "drop server odoo cascade;"])
def test_other_server_of_the_same_name_receives_no_secret(owned: Supabase, honest: FaultyOdoo, rogue: FaultyOdoo, way: str) -> None:
    owned.rows(way + server_statement(rogue.url) + mapping_statement("odoo_key"), user=SERVER_OWNER)
    for call in CALLS:
        expect_no_binding(refused(owned, call, rogue, honest).message_hint)
    refused(owned, RUN, rogue, honest)


def test_mirror_refuses_another_server_of_the_same_name(owned: Supabase, rogue: FaultyOdoo) -> None:
    """With a plain password of its own, the other server needs no secret to fill the mirror."""
    owned.rows(RUN)
    before = owned.mirror("odoo_id, name")
    mapping = f"create user mapping for postgres server odoo options (user 'admin', password '{PASSWORD}');"
    owned.rows("alter server odoo rename to earlier;" + server_statement(rogue.url) + mapping, user=SERVER_OWNER)
    for statement in (RUN, "call ipai.run_sync('sample_metrics')", "select * from ipai.refresh_counts('sample_metrics')"):
        found = expect_error(owned, statement)
        assert (statement, found.sqlstate) == (statement, "42501"), found.message_primary
        assert found.message_hint
    assert owned.mirror("odoo_id, name") == before


# The binding --------------------------------------------------------------------------------------


def test_set_odoo_password_binds_the_secret_to_its_server(owned: Supabase) -> None:
    (secret,) = owned.rows("select description from vault.secrets where name = 'odoo_key'")
    assert secret["description"] == owned.row("select ipai.secret_binding('odoo') as binding")["binding"]
    # A changed password keeps the binding.
    owned.rows("select ipai.set_odoo_password('odoo', 'another')")
    assert owned.rows("select description from vault.secrets where name = 'odoo_key'") == [secret]


def test_secret_made_before_is_used_once_it_is_bound(owned: Supabase, honest: FaultyOdoo) -> None:
    owned.rows("update vault.secrets set description = '' where name = 'odoo_key'", user="supabase_admin")
    for call in (CHECK, RUN):
        expect_no_binding(refused(owned, call, honest).message_hint)
    owned.rows(BIND.format("odoo", "odoo_key", honest.url))
    assert owned.row(RUN)["inserted"] == 2


def test_remedy_for_a_server_of_a_trusted_role_binds_the_secret(supabase: Supabase, honest: FaultyOdoo) -> None:
    supabase.server(honest.url, password=PASSWORD)
    supabase.rows("update vault.secrets set description = ''", user="supabase_admin")
    bind = BIND.format("odoo", "odoo_password", honest.url)
    (row,) = supabase.rows("""select state, remedy from ipai.doctor() where "check" = 'password'""")
    assert (row["state"], row["remedy"]) == ("problem", bind)
    assert refused(supabase, CHECK, honest).message_hint == bind
    supabase.rows(bind)
    supabase.rows(CHECK)
    assert passwords_sent_to(honest) == {PASSWORD}


@pytest.mark.parametrize(
    "change",
    [
        "alter server odoo options (set url '{}')",
        "alter user mapping for postgres server odoo options (set password_secret 'stripe_key')",
        "alter server odoo options (set url '{}'); alter user mapping for postgres server odoo options (set password_secret 'stripe_key')",
    ],
    ids=["another address", "another secret", "both"],
)
def test_binding_refuses_another_secret_or_address(owned: Supabase, honest: FaultyOdoo, rogue: FaultyOdoo, change: str) -> None:
    """The server's owner may change both between the look at them and the call."""
    secrets = "select name, description from vault.secrets order by name"
    before = owned.rows(secrets)
    owned.rows(change.format(rogue.url), user=SERVER_OWNER)
    found = expect_error(owned, BIND.format("odoo", "odoo_key", honest.url))
    assert found.sqlstate == "22023" and found.message_hint, found.message_primary
    assert owned.rows(secrets) == before
    refused(owned, CHECK, honest, rogue)


def test_option_cannot_imitate_another_option_in_a_binding(owned: Supabase) -> None:
    """Names and options are free texts, so one may contain what the binding writes for others."""

    def binding(name: str, dbname: str, **more: str) -> str:
        owned.server("http://127.0.0.1:9", name=name, dbname=dbname, **more)
        text: str = owned.row("select ipai.secret_binding(%s) as binding", name)["binding"]
        return text

    made = binding("first", "core", proxy="http://127.0.0.1:1", allow_insecure="true")
    _, found, rest = made.rpartition("core")
    for number, imitation in enumerate((f"core{rest}", f"core{rest[1:]}")):
        assert found and binding(f"other{number}", imitation).replace(f"other{number}", "first") != made


@pytest.mark.parametrize("owner", [SERVER_OWNER, "postgres"])
def test_hint_quotes_the_name_of_the_server(owned: Supabase, rogue: FaultyOdoo, owner: str) -> None:
    name = "x'); drop table y; --"
    quoted = f'"{name}"'
    owned.rows(server_statement(rogue.url, name=quoted) + mapping_statement("stripe_key", name=quoted), user=owner)
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as raised:
        owned.rows("select * from ipai.check_connection(%s)", name)
    hint = raised.value.diag.message_hint
    if owner == SERVER_OWNER:
        expect_no_binding(hint, quoted)
    else:
        assert hint == BIND.format("x''); drop table y; --", "stripe_key", rogue.url)
    assert passwords_sent_to(rogue) == set()


def test_doctor_reports_a_secret_of_another_server(owned: Supabase, rogue: FaultyOdoo) -> None:
    owned.rows(server_statement(rogue.url, name="theirs") + mapping_statement("stripe_key", name="theirs"), user=SERVER_OWNER)
    report = """select state, finding, remedy from ipai.doctor() where "check" = 'password' and object = '{}'"""
    (row,) = owned.rows(report.format("theirs"))
    assert row["state"] == "problem" and "stripe_key" in row["finding"]
    expect_no_binding(row["remedy"], "theirs")
    assert [other["state"] for other in owned.rows(report.format("odoo"))] == ["ok"]
    owned.rows(row["remedy"].partition("If not: ")[2])
    assert "stripe_key" not in str(owned.rows(report.format("theirs")))


def test_doctor_names_the_proxy_that_receives_a_secret(supabase: Supabase, server_owner: str, rogue: FaultyOdoo) -> None:
    """A past owner of the server may have set it."""
    supabase.rows(server_statement("https://erp.example.com", more=f", proxy '{rogue.url}'"), user=SERVER_OWNER)
    supabase.cluster.psql("alter server odoo owner to postgres")
    supabase.rows(mapping_statement("odoo_key"))
    supabase.rows("select ipai.set_odoo_password('odoo', %s)", PASSWORD)
    (row,) = supabase.rows("""select finding from ipai.doctor() where "check" = 'password'""")
    assert row["finding"].endswith(f"through the proxy {rogue.url}")


def test_mirrors_of_other_servers_are_not_affected(owned: Supabase, honest: FaultyOdoo) -> None:
    owned.rows(create_statement("metrics", "ipai.metrics_rows", more=", server => 'odoo'"))
    assert owned.sync("metrics")["inserted"] == 2
    assert passwords_sent_to(honest) == {PASSWORD}
