"""Tests `ipai.relate_mirrors`: one request of PostgREST returns related rows."""

from __future__ import annotations

import json
from typing import Any, cast

import psycopg
import pytest

from harness.postgrest import PostgREST, run_script
from support.definitions import ScriptedOdoo, create_statement
from support.faulty import metric
from support.pages import blocks, printed
from support.supabase import Supabase

pytestmark = pytest.mark.no_mirrors

#: Mirror, model, columns, and the model of each field that refers to another one.
MIRRORS: tuple[tuple[str, str, dict[str, str], dict[str, str]], ...] = (
    ("partners", "res.partner", {"name": "text", "parent_id": "bigint", "category_ids": "bigint[]"}, {"parent_id": "res.partner"}),
    ("tags", "crm.tag", {"name": "text"}, {}),
    (
        "sale_orders",
        "sale.order",
        {"name": "text", "partner_id": "bigint", "tag_ids": "bigint[]"},
        {"partner_id": "res.partner", "tag_ids": "crm.tag"},
    ),
    ("order_lines", "sale.order.line", {"name": "text", "order_id": "bigint"}, {"order_id": "sale.order"}),
)

ROWS = """
    insert into ipai.partners (odoo_id, company_id, name, parent_id) values (1, 1, 'Azure', null), (2, 1, 'Brandon', 1), (3, 2, 'Other', 1);
    insert into ipai.tags (odoo_id, company_id, name) values (1, 1, 'Urgent'), (2, 2, 'Secret');
    insert into ipai.sale_orders (odoo_id, company_id, name, partner_id, tag_ids)
        values (1, 1, 'S1', 1, '{1,2}'), (2, 1, 'S2', 3, '{}'), (3, 2, 'S3', 3, '{2}');
    insert into ipai.order_lines (odoo_id, company_id, name, order_id) values (1, 1, 'Desk', 1), (2, 1, 'Chair', 1), (3, 2, 'Hidden', 1);
"""

PAGE = "how-to/related-rows.md"

#: Runs the request of the page as the user of a token.
CLIENT = """
import { createClient } from '@supabase/supabase-js'
const supabase = createClient(process.env.SUPABASE_URL, process.env.SUPABASE_ANON_KEY, {
  db: { schema: 'ipai' },
  accessToken: async () => process.env.ACCESS_TOKEN,
})
%s
if (error) throw new Error(JSON.stringify(error))
console.log(JSON.stringify(data))
"""


def add_mirror(supabase: Supabase, name: str, model: str, columns: dict[str, str], relations: dict[str, str]) -> None:
    """Registers a mirror with a table that has a column of tenants."""
    defined = "".join(f", {column} {kind}" for column, kind in columns.items())
    supabase.rows(f"create table ipai.{name} (odoo_id bigint primary key, company_id bigint{defined})")
    fields = [{"field": column, "column": column, "type": kind} for column, kind in columns.items()]
    supabase.rows(
        "insert into ipai.mirrors (name, model, target_schema, target_table, fields, relations) values (%s, %s, 'ipai', %s, %s::jsonb, %s::jsonb)",
        *(name, model, name, json.dumps(fields), json.dumps(relations)),
    )
    supabase.rows("insert into ipai.mirror_state (mirror, active_field) values (%s, '')", name)


@pytest.fixture
def sales(supabase: Supabase) -> Supabase:
    for mirror in MIRRORS:
        add_mirror(supabase, *mirror)
    supabase.rows(ROWS)
    return supabase


def relate(supabase: Supabase, mirror: str | None = None) -> dict[str, tuple[str, str, str, str]]:
    rows = supabase.rows("select * from ipai.relate_mirrors(%s)", mirror)
    return {row["function"]: (row["mirror"], row["field"], row["related"], row["kind"]) for row in rows}


def functions(supabase: Supabase) -> set[str]:
    rows = supabase.rows("select oid::regprocedure::text as name from pg_proc where obj_description(oid) like '%(ipai.relate_mirrors)'")
    return {row["name"] for row in rows}


EXPECTED = {
    "ipai.partner": ("sale_orders", "partner_id", "partners", "many2one"),
    "ipai.sale_orders_by_partner_id": ("partners", "partner_id", "sale_orders", "one2many"),
    "ipai.tag": ("sale_orders", "tag_ids", "tags", "many2many"),
    "ipai.sale_orders_by_tag_ids": ("tags", "tag_ids", "sale_orders", "many2many"),
    'ipai."order"': ("order_lines", "order_id", "sale_orders", "many2one"),
    "ipai.order_lines_by_order_id": ("sale_orders", "order_id", "order_lines", "one2many"),
    "ipai.parent": ("partners", "parent_id", "partners", "many2one"),
    "ipai.partners_by_parent_id": ("partners", "parent_id", "partners", "one2many"),
}


def test_each_relation_has_a_function_and_its_way_back(sales: Supabase) -> None:
    assert relate(sales) == EXPECTED
    names = sales.rows("select p.name as person, (ipai.parent(p)).name as parent from ipai.partners p where odoo_id = 2")
    assert names == [{"person": "Brandon", "parent": "Azure"}]
    children = "select c.name from ipai.partners p, ipai.partners_by_parent_id(p) c where p.odoo_id = 1 order by 1"
    assert [row["name"] for row in sales.rows(children)] == ["Brandon", "Other"]


def test_page_shows_the_functions_and_their_indexes(sales: Supabase) -> None:
    statement, indexes = blocks(PAGE, "sql")
    assert printed(sales.cluster, statement).strip() == blocks(PAGE, "")[0].strip()
    sales.rows(indexes)


def test_second_call_replaces_the_functions(sales: Supabase) -> None:
    relate(sales)
    before = functions(sales)
    sales.rows("""update ipai.mirrors set relations = '{"partner_id": "res.partner"}' where name = 'sale_orders'""")
    assert set(relate(sales)) == set(EXPECTED) - {"ipai.tag", "ipai.sale_orders_by_tag_ids"}
    assert before - functions(sales) == {"ipai.tag(ipai.sale_orders)", "ipai.sale_orders_by_tag_ids(ipai.tags)"}


def test_one_mirror_is_related_in_both_directions(sales: Supabase) -> None:
    assert set(relate(sales, "tags")) == {"ipai.tag", "ipai.sale_orders_by_tag_ids"}
    with pytest.raises(psycopg.errors.UndefinedObject):
        relate(sales, "nothing")


def test_dropped_mirror_takes_its_functions_along(sales: Supabase) -> None:
    relate(sales)
    sales.rows("select ipai.drop_mirror('partners', drop_table => true)")
    assert functions(sales) == {
        *("ipai.tag(ipai.sale_orders)", "ipai.sale_orders_by_tag_ids(ipai.tags)"),
        *('ipai."order"(ipai.order_lines)', "ipai.order_lines_by_order_id(ipai.sale_orders)"),
    }


def test_functions_return_a_new_column_once_they_are_created_again(sales: Supabase) -> None:
    relate(sales)
    sales.rows("alter table ipai.partners add column email text")
    sales.rows("update ipai.partners set email = 'x'")
    relate(sales)
    assert sales.rows("select (ipai.partner(o)).email from ipai.sale_orders o where odoo_id = 1") == [{"email": "x"}]


def test_functions_keep_their_table_when_it_is_renamed(sales: Supabase) -> None:
    """Another relation may take the name."""
    relate(sales)
    read = "select count(*) from ipai.sale_orders o cross join lateral ipai.partner(o) p where p.name is not null"
    before = sales.row(read)
    sales.rows("alter table ipai.partners rename to contacts; alter table ipai.sale_orders rename partner_id to customer_id")
    sales.rows("create table ipai.partners (like ipai.contacts)")
    try:
        assert sales.row(read) == before and before != {"count": 0}
    finally:
        sales.rows("drop table ipai.partners; alter table ipai.contacts rename to partners")
        sales.rows("alter table ipai.sale_orders rename customer_id to partner_id")


def test_function_of_an_untrusted_role_is_not_adopted(sales: Supabase) -> None:
    sales.cluster.psql("create role planter; grant planter to postgres; grant create, usage on schema ipai to planter")
    try:
        sales.cluster.psql(
            """set role planter;
               create function ipai.partner(ipai.sale_orders) returns setof ipai.partners language sql stable as 'select null::ipai.partners';
               comment on function ipai.partner(ipai.sale_orders) is 'x (ipai.relate_mirrors)'"""
        )
        assert "ipai.partner" not in relate(sales)
    finally:
        sales.cluster.psql("drop owned by planter cascade; drop role planter")


def test_inlined_function_uses_the_index(sales: Supabase) -> None:
    relate(sales)
    sales.rows("insert into ipai.partners (odoo_id, name) select n, 'P' from generate_series(10, 5000) n; analyze ipai.partners")
    plan = sales.rows("explain select p.name from ipai.sale_orders o cross join lateral ipai.partner(o) p where o.odoo_id = 1")
    text = "\n".join(row["QUERY PLAN"] for row in plan)
    assert "Function Scan" not in text and "partners_pkey" in text, text


def test_name_that_is_a_column_gets_a_suffix(sales: Supabase) -> None:
    sales.rows("alter table ipai.sale_orders add column partner text")
    related = relate(sales)
    assert related["ipai.partner_id_row"] == EXPECTED["ipai.partner"] and "ipai.partner" not in related


def test_function_of_the_user_is_kept(sales: Supabase) -> None:
    sales.rows("create function ipai.partner(ipai.sale_orders) returns text language sql as 'select 1::text'")
    with sales.connect() as connection:
        notices: list[str] = []
        connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        connection.execute("select * from ipai.relate_mirrors()")
    assert notices == ["function ipai.partner(ipai.sale_orders) exists already, and is kept"]


def test_mirrors_in_one_table_are_related_by_their_constants(supabase: Supabase) -> None:
    """Both tenants have a partner 1."""
    supabase.rows(
        """create table ipai.p (tenant text, odoo_id bigint, name text, primary key (tenant, odoo_id));
           create table ipai.o (tenant text, odoo_id bigint, partner_id bigint, primary key (tenant, odoo_id));
           insert into ipai.p values ('a', 1, 'A'), ('b', 1, 'B');
           insert into ipai.o values ('a', 7, 1), ('b', 7, 1);
           insert into ipai.mirrors (name, model, target_schema, target_table, fields, constants, relations)
           select t || '_' || x, m, 'ipai', x, f::jsonb, jsonb_build_object('tenant', t), r::jsonb
           from (values ('a'), ('b')) t (t), (values
               ('p', 'res.partner', '[{"field": "name", "column": "name", "type": "text"}]', '{}'),
               ('o', 'sale.order', '[{"field": "partner_id", "column": "partner_id", "type": "bigint"}]', '{"partner_id": "res.partner"}')) x (x, m, f, r)"""
    )
    assert set(relate(supabase)) == {"ipai.partner", "ipai.a_o_by_partner_id", "ipai.b_o_by_partner_id"}
    rows = supabase.rows("select o.tenant, p.name from ipai.o o, ipai.partner(o) p order by 1")
    assert rows == [{"tenant": "a", "name": "A"}, {"tenant": "b", "name": "B"}]
    rows = supabase.rows("select p.name, o.tenant from ipai.p p, ipai.a_o_by_partner_id(p) o")
    assert rows == [{"name": "A", "tenant": "a"}]


def test_create_mirror_stores_the_related_models(supabase: Supabase) -> None:
    with ScriptedOdoo([metric(1)]) as odoo:
        supabase.server(odoo.url)
        supabase.rows(create_statement("sales", "public.sales", fields="name,brand_id"))
        relations = "select relations from ipai.mirrors"
        assert supabase.row(relations) == {"relations": {"brand_id": "res.partner"}}
        supabase.rows("select * from ipai.refresh_mirror('sales', add_fields => '{store_id}')")
        assert supabase.row(relations) == {"relations": {"brand_id": "res.partner", "store_id": "res.partner"}}


def test_only_readers_of_the_table_may_execute(sales: Supabase) -> None:
    sales.rows("grant select on ipai.partners to authenticated")
    relate(sales)
    may = "select has_function_privilege(%s, %s, 'execute') as may"
    assert sales.row(may, "authenticated", "ipai.partner(ipai.sale_orders)")["may"]
    assert not sales.row(may, "anon", "ipai.partner(ipai.sale_orders)")["may"]
    assert not sales.row(may, "authenticated", "ipai.tag(ipai.sale_orders)")["may"]
    sales.rows("revoke select on ipai.partners from authenticated")
    relate(sales)
    assert not sales.row(may, "authenticated", "ipai.partner(ipai.sale_orders)")["may"]


def test_one_request_embeds_related_rows_of_the_tenant(sales: Supabase) -> None:
    for name, *_ in MIRRORS:
        sales.rows('select ipai.protect_mirror(%s, \'{"company_id": "ipai_company_ids"}\')', name)
    relate(sales)
    (request,), (answer,) = blocks(PAGE, "js"), blocks(PAGE, "json")
    with PostgREST(sales.cluster) as api:

        def query(companies: object) -> list[dict[str, Any]]:
            token = api.token(app_metadata={"ipai_company_ids": companies})
            output = run_script(CLIENT % request, SUPABASE_URL=api.url, SUPABASE_ANON_KEY=api.token("anon"), ACCESS_TOKEN=token)
            return cast(list[dict[str, Any]], json.loads(output))

        # Neither partner 3, tag 2 nor line 3 of the other company.
        assert query([1]) == json.loads(answer)
        assert [order["partner"] for order in query([2])] == [{"name": "Other"}]
        assert query([]) == []
