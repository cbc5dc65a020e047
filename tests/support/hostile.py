"""Provides actors that attack a run: a role that plants code, and a role that owns servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from support.definitions import create_statement, expect_error
from support.faulty import FaultyOdoo
from support.supabase import Supabase

#: The role that plants code, and the role that owns servers. Neither has a right of `postgres`.
ATTACKER, SERVER_OWNER = "mallory", "broker"

#: Planted code writes its role to the server's log, which also survives a rollback.
_RAN_AS = re.compile(r"planted code ran as (\w+)")

#: Objects of the attacker that other roles can be made to use. Functions are called as the role
#: that writes to the table. A foreign key calls them as the owner of the other table, from where
#: the deferred trigger on `queue` leads back to that role.
LAIR = """
    grant usage on schema lair to public;
    create function lair.note() returns boolean language plpgsql volatile set search_path = pg_catalog as
        $$ begin raise log 'planted code ran as %', current_user; return true; end $$;
    create function lair.trigger() returns trigger language plpgsql as
        $$ begin perform lair.note(); if tg_op = 'DELETE' then return old; end if; return new; end $$;
    create function lair.make() returns text language plpgsql volatile as $$ begin perform lair.note(); return 'planted'; end $$;
    create function lair.same(text) returns text language plpgsql immutable as $$ begin perform lair.note(); return $1; end $$;
    create function lair.holds(text) returns boolean language plpgsql immutable as $$ begin perform lair.note(); return true; end $$;
    create function lair.equal(text, text) returns boolean language plpgsql immutable strict as
        $$ begin perform lair.note(); return $1 = $2; end $$;
    create function lair.hash(text) returns integer language plpgsql immutable strict as
        $$ begin perform lair.note(); return hashtext($1); end $$;
    create operator lair.=== (leftarg = text, rightarg = text, function = lair.equal, commutator = operator(lair.===));
    create domain lair.checked as text check (lair.holds(value));
    create domain lair.filled as text default lair.make();
    create type lair.box as (text text);
    create function lair.boxed(text) returns lair.box language plpgsql as
        $$ begin perform lair.note(); return row($1)::lair.box; end $$;
    create cast (text as lair.box) with function lair.boxed(text) as assignment;
    create table lair.queue ();
    create constraint trigger later after insert on lair.queue deferrable initially deferred
        for each row execute function lair.trigger();
    create function lair.queue() returns boolean language plpgsql volatile as
        $$ begin insert into lair.queue default values; return true; end $$;
    create function lair.queued() returns boolean language plpgsql immutable as
        $$ begin return lair.queue(); exception when others then return true; end $$;
    create type lair.comp as (a lair.checked);
    create table lair.ranges (a text) partition by range ((a || lair.same('x')));
    create table lair.range partition of lair.ranges for values from ('a') to ('b');
    create table lair.hashed (a text) partition by hash ((a || lair.same('x')));
    set check_function_bodies = off;
    create function lair.parsed() returns text language sql as $f$ select ('{x}'::lair.checked[])[1]::text $f$;
    set check_function_bodies = on;
"""


@dataclass(frozen=True)
class Attacker:
    """A login role that owns the schema `lair`, and may create objects in `public`."""

    supabase: Supabase
    name: str = ATTACKER

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """Runs statements as the attacker."""
        return self.supabase.rows(statement, user=self.name)

    @contextmanager
    def planted_calls(self) -> Iterator[list[str]]:
        """Collects the roles as which planted code runs within the block."""
        log = self.supabase.cluster.log
        begins = log.stat().st_size
        roles: list[str] = []
        yield roles
        with open(log, errors="replace") as file:
            file.seek(begins)
            roles += _RAN_AS.findall(file.read())

    def refused(self, statement: str, *args: Any, user: str = "postgres") -> psycopg.errors.Diagnostic:
        """Runs a statement that must be refused without running planted code; returns its error."""
        with self.planted_calls() as roles:
            found = expect_error(self.supabase, statement, *args, user=user)
        assert (found.sqlstate, roles) == ("42501", []), found.message_primary
        assert found.message_hint
        return found


@contextmanager
def attacker_in(supabase: Supabase) -> Iterator[Attacker]:
    """Creates the attacker, and removes everything that it owns afterwards."""
    cluster = supabase.cluster
    cluster.psql(
        f"create role {ATTACKER} login; create schema lair authorization {ATTACKER}; grant usage, create on schema public to {ATTACKER}"
    )
    cluster.psql(LAIR, user=ATTACKER)
    try:
        yield Attacker(supabase)
    finally:
        cluster.psql(
            f"""set client_min_messages = warning;
                drop schema if exists shared cascade;
                drop owned by {ATTACKER} cascade;
                drop role {ATTACKER}"""
        )


@contextmanager
def server_owner_in(supabase: Supabase) -> Iterator[str]:
    """Creates a role that may create servers, and removes everything that it owns afterwards."""
    cluster = supabase.cluster
    cluster.psql(f"create role {SERVER_OWNER} login; grant usage on foreign data wrapper ipai_odoo to {SERVER_OWNER}")
    try:
        yield SERVER_OWNER
    finally:
        cluster.psql(f"set client_min_messages = warning; drop owned by {SERVER_OWNER} cascade; drop role {SERVER_OWNER}")


def passwords_sent_to(odoo: FaultyOdoo) -> set[str]:
    """Returns the passwords that an Odoo has received."""
    return {request.password for request in odoo.requests if request.password}


def create_shared_mirror(supabase: Supabase, name: str = "metrics", *, fields: str = "name,code,write_date") -> str:
    """Creates a mirror of `postgres` in the schema `shared`, and returns its table."""
    supabase.rows("create schema if not exists shared")
    supabase.rows(create_statement(name, f"shared.{name}", fields=fields))
    return f"shared.{name}"


def log_of(supabase: Supabase, begins: int) -> str:
    """Returns what the server has logged after this position, without the callers' statements."""
    with open(supabase.cluster.log, "rb") as file:
        file.seek(begins)
        new = file.read().decode(errors="replace")
    entries = re.split(r"^(?=\d{4}-\d\d-\d\d )", new, flags=re.MULTILINE)
    return "".join(entry for entry in entries if "STATEMENT:  " not in entry)


def texts_of(diagnostic: psycopg.errors.Diagnostic) -> str:
    """Returns all texts of an error or notice."""
    parts = (
        *(diagnostic.message_primary, diagnostic.message_detail, diagnostic.message_hint),
        *(diagnostic.context, diagnostic.internal_query),
    )
    return "\n".join(part for part in parts if part)
