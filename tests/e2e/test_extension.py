"""Tests that planted objects do not affect the extension's creation, and what a drop leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import paths, postgres
from harness.postgres import Cluster, Installation

MIGRATIONS = sorted((paths.PROJECT / "migrations").glob("*.sql"))

#: Operators that match the script's expressions better than Postgres's own. They would run as the
#: role that creates the extension.
PLANTED = """
    create table public.called (who text);
    grant insert on public.called to public;
    create function ipai.tell(oid, regclass) returns boolean language sql as $$ insert into public.called values (current_user); select $1 = $2::oid $$;
    create function ipai.tell(oid, oid) returns boolean language sql as $$ insert into public.called values (current_user); select oideq($1, $2) $$;
    create function ipai.tell(float8, int4) returns boolean language sql as $$ insert into public.called values (current_user); select true $$;
    create function ipai.tell(text, text) returns boolean language sql as $$ insert into public.called values (current_user); select texteq($1, $2) $$;
    create operator ipai.= (leftarg = oid, rightarg = regclass, function = ipai.tell);
    create operator ipai.= (leftarg = oid, rightarg = oid, function = ipai.tell);
    create operator ipai.= (leftarg = text, rightarg = text, function = ipai.tell);
    create operator ipai.>= (leftarg = float8, rightarg = int4, function = ipai.tell);
    create operator ipai.<= (leftarg = float8, rightarg = int4, function = ipai.tell);
    create function ipai.now() returns timestamptz language sql as $$ insert into public.called values (current_user); select pg_catalog.now() $$;
    create function ipai.format(text, variadic text[]) returns text language sql as $$ insert into public.called values (current_user); select '' $$;
"""


@pytest.fixture
def cluster(extension_pg: Installation) -> Iterator[Cluster]:
    """A Supabase cluster whose schema ipai belongs to postgres, which is no superuser."""
    with postgres.supabase_cluster(extension_pg) as cluster:
        for migration in MIGRATIONS:
            cluster.psql_file(migration, user="postgres", one_transaction=True)
        yield cluster


def test_objects_planted_in_the_schema_are_never_called(cluster: Cluster) -> None:
    cluster.psql(PLANTED, user="postgres")
    cluster.psql("create extension ipai_sync")
    cluster.psql(
        """insert into ipai.mirrors (name, server, model, target_schema, target_table, fields, page_size, max_delete_ratio)
           values ('m', 's', 'x', 'public', 't', '[]', 100, 0.5);
           select * from ipai.sync_count_delta; select * from ipai.sample_metrics_count_delta; select * from ipai.sync_runs"""
    )
    assert cluster.psql("select distinct who from public.called") == ""
    assert cluster.psql("select rolsuper from pg_roles where rolname = 'postgres'") == "f"


def test_mirror_keeps_its_policies_after_the_extension_is_dropped(cluster: Cluster) -> None:
    cluster.psql("create extension ipai_sync")
    cluster.psql(
        "create server odoo foreign data wrapper ipai_odoo options (url 'https://erp.example.com', dbname 'odoo')", user="postgres"
    )
    cluster.psql("insert into ipai.ipai_sample_metrics (odoo_id, name, code, unit) values (1, 'Kept', 'KEPT', 'count')", user="postgres")
    cluster.psql("drop extension ipai_sync cascade")
    assert cluster.psql("select name from ipai.ipai_sample_metrics") == "Kept"
    assert cluster.psql("select count(*) from pg_policies where schemaname = 'ipai'") == "1"
    assert cluster.psql("select count(*) from pg_foreign_server") == "0"
    cluster.psql("create extension ipai_sync")
