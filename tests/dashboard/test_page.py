"""The built page in Debian's Chromium, over a real PostgREST and 200,000 metrics: what each user sees, and what he can do with it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from conftest import ANA, BEN, CARLA, DAYS, NOBODY, STORES
from harness import dashboard
from harness.dashboard import Dashboard
from harness.postgres import Cluster
from harness.postgrest import PREFIX, PostgREST

AXE = dashboard.APP / "node_modules/axe-core/axe.min.js"
#: Rows of one metric that each of the four brands has.
ROWS = STORES // 4 * DAYS

Visit = Callable[..., Page]
#: Between two numbers, and in place of one.
EN_DASH = "\N{EN DASH}"


def become(page: Page, name: str) -> None:
    """Through the menu of users, once the page has come to rest."""
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Signed in as").click()
    page.get_by_role("menuitemradio", name=name).click()
    expect(page.get_by_role("button", name=f"Signed in as {name}")).to_be_visible()


def shown(first: int, last: int, total: str, what: str = "rows") -> str:
    return f"{first}{EN_DASH}{last} of {total} {what}"


def card(page: Page, code: str) -> Any:
    return page.locator(f'[data-code="{code}"]')


def amount(database: Cluster, where: str) -> str:
    """A sum of the database as the page writes it."""
    (total,) = database.psql(f"select round(sum(value)::numeric) from ipai.ipai_sample_metrics where {where}", user="postgres").splitlines()
    return f"₱{int(total):,}"


def newest_sales(brand: int) -> str:
    return f"code = 'STORE_SALES' and brand_id = {brand} and date = current_date"


@contextmanager
def changed(database: Cluster, change: str, back: str) -> Iterator[None]:
    """The database with something changed in it, for a while."""
    database.psql(change, user="postgres")
    try:
        yield
    finally:
        database.psql(back, user="postgres")


# Who sees what --------------------------------------------------------------------------------------------------------------------------


def test_each_tenant_sees_its_own(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(site.url)
    seen = {}
    for name, brand in ((ANA, 7), (BEN, 8)):
        become(page, name)
        expect(page.get_by_text("24 metrics")).to_be_visible()
        expect(card(page, "STORE_SALES")).to_contain_text(amount(database, newest_sales(brand)))
        seen[name] = card(page, "STORE_SALES").inner_text()
        card(page, "STORE_SALES").click()
        expect(page.get_by_text(shown(1, 25, f"{ROWS:,}"))).to_be_visible()
        assert set(page.locator("tbody td:nth-child(3)").all_inner_texts()) == {f"Brand {brand}"}
        assert page.get_by_label("Brand", exact=True).locator("option").all_inner_texts() == ["All brands", f"Brand {brand}"]
        page.get_by_role("link", name="Overview", exact=True).first.click()
    assert seen[ANA] != seen[BEN]


def test_who_has_no_brand_is_told_that_there_is_nothing(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    become(page, NOBODY)
    expect(page.get_by_text("No metrics yet")).to_be_visible()
    page.goto(f"{site.url}#/metric/STORE_SALES")
    expect(page.get_by_text("No such metric")).to_be_visible()
    page.goto(f"{site.url}#/alerts")
    expect(page.get_by_text("No alerts")).to_be_visible()


def test_the_key_of_the_server_is_refused(visit: Visit, api: PostgREST) -> None:
    with Dashboard(api, {"supabaseKey": api.token("service_role")}) as site:
        page = visit(site.url)
        expect(page.get_by_text("passes row-level security")).to_be_visible()


def test_a_token_that_has_expired_is_said(visit: Visit, api: PostgREST) -> None:
    with Dashboard(api, {"demoUsers": [{"name": "Late", "token": api.token(lasts=-60)}], "realtime": False}) as site:
        page = visit(site.url)
        expect(page.get_by_text("You are no longer signed in")).to_be_visible()


def test_signing_in_by_email(visit: Visit, api: PostgREST, database: Cluster) -> None:
    """Supabase Auth is played by the test, by its answers; the token is one that PostgREST believes."""
    with Dashboard(api, {"realtime": False}) as site:
        page = visit("about:blank")

        def auth(route: Route) -> None:
            if urlsplit(route.request.url).path.endswith("/logout"):
                route.fulfill(status=204)
                return
            sent = route.request.post_data_json
            if sent.get("password") != "correct horse":
                route.fulfill(status=400, json={"code": "invalid_credentials", "message": "Invalid login credentials"})
                return
            user = {"id": "6a9c0e5e-0000-4000-8000-000000000001", "email": sent["email"], "aud": "authenticated", "app_metadata": {}}
            token = api.token(app_metadata={"ipai_brand_ids": [8]})
            route.fulfill(json={"access_token": token, "token_type": "bearer", "expires_in": 3600, "refresh_token": "x", "user": user})

        page.route("**/auth/v1/**", auth)
        page.goto(site.url)
        page.get_by_label("Email").fill("ben@example.com")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("do not belong together")).to_be_visible()
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Sign in").click()
        expect(card(page, "STORE_SALES")).to_contain_text(amount(database, newest_sales(8)))
        page.reload()
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.get_by_role("button", name="Signed in as ben@example.com").click()
        page.get_by_role("menuitem", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        expect(card(page, "STORE_SALES")).to_have_count(0)


# The overview ---------------------------------------------------------------------------------------------------------------------------


def requests_of(page: Page) -> list[str]:
    """Addresses that the page asks the API for, as they come."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if f"{PREFIX}/" in request.url else None)
    return asked


def test_the_overview_is_three_requests_at_most(visit: Visit, site: Dashboard) -> None:
    page = visit("about:blank")
    asked = requests_of(page)
    page.goto(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert 1 <= len(asked) <= 3, asked
    slowest = page.evaluate(
        f"Math.max(...performance.getEntriesByType('resource').filter((e) => e.name.includes('{PREFIX}/')).map((e) => e.duration))"
    )
    assert slowest < 1500


def test_alerts_come_first_and_may_come_alone(visit: Visit, site: Dashboard, database: Cluster) -> None:
    alerting = set(
        database.psql(
            "select distinct code from ipai.ipai_sample_metrics where is_alert and date = current_date and brand_id = 7", user="postgres"
        ).splitlines()
    )
    assert 0 < len(alerting) < 24
    page = visit(site.url)
    expect(page.get_by_text(re.compile(rf"24 metrics, {len(alerting)} with alerts"))).to_be_visible()
    codes = [link.get_attribute("data-code") for link in page.locator("[data-code]").all()]
    assert set(codes[: len(alerting)]) == alerting and len(codes) == 24
    page.get_by_label("Alerts only").check()
    expect(page.locator("[data-code]")).to_have_count(len(alerting))


def test_a_search_finds_codes_and_names(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    search = page.get_by_label("Find a metric")
    # The name is "Sales to members", the code MEMBER_SHARE.
    for text in ("to MEMBERS", "member_s"):
        search.fill(text)
        expect(page.locator("[data-code]")).to_have_count(1)
        expect(card(page, "MEMBER_SHARE")).to_be_visible()
    search.fill("%")
    expect(page.get_by_text("Nothing found")).to_be_visible()


def test_metrics_are_copied_for_an_ai(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy for AI").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    context = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert (context["metrics_total"], context["metrics_shown"], context["complete"]) == (24, 24, True)
    (sales,) = [metric for metric in context["metrics"] if metric["code"] == "STORE_SALES"]
    expect(card(page, "STORE_SALES")).to_contain_text(f"₱{round(sales['value']):,}")


def test_texts_of_odoo_are_texts(visit: Visit, site: Dashboard, database: Cluster) -> None:
    name = "<img src=x onerror=alert(1)> & co"
    with changed(
        database,
        f"insert into ipai.ipai_sample_metrics (name, code, date, brand_id, value, unit) values ('{name}', 'EVIL', current_date, 7, 'NaN', 'amount')",
        "delete from ipai.ipai_sample_metrics where code = 'EVIL'",
    ):
        page = visit(site.url)
        expect(card(page, "EVIL")).to_contain_text(name)
        # A value that is no number is none.
        expect(card(page, "EVIL")).to_contain_text(EN_DASH)
        assert page.locator("[data-code=EVIL] img").count() == 0


# A metric -------------------------------------------------------------------------------------------------------------------------------


def test_filters_reach_chart_table_and_address(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/metric/STORE_SALES")
    become(page, CARLA)
    expect(page.get_by_text(f"of {4 * ROWS:,} rows")).to_be_visible()
    page.get_by_label("Brand", exact=True).select_option("Brand 9")
    expect(page.get_by_text(f"of {ROWS:,} rows")).to_be_visible()
    chart = page.get_by_role("slider", name="Day in the chart")
    expect(chart).to_have_attribute("aria-valuetext", re.compile(re.escape(amount(database, newest_sales(9)))))
    assert chart.get_attribute("aria-valuemax") == str(DAYS - 1)
    page.get_by_role("button", name="30 days").click()
    expect(page.get_by_text(f"of {STORES // 4 * 30:,} rows")).to_be_visible()
    expect(chart).to_have_attribute("aria-valuemax", "29")
    page.get_by_label("Store", exact=True).select_option("Store 103")
    expect(page.get_by_text(shown(1, 25, "30"))).to_be_visible()
    address = parse_qs(urlsplit(page.url).fragment.partition("?")[2])
    assert (address["brand"], address["store"]) == (["9"], ["103"])
    day = database.psql("select current_date - 9", user="postgres")
    page.get_by_label("From").fill(day)
    expect(page.get_by_text(shown(1, 10, "10"))).to_be_visible()
    # The address alone leads back to the same.
    again = visit(page.url)
    become(again, CARLA)
    expect(again.get_by_text(shown(1, 10, "10"))).to_be_visible()


def values(page: Page) -> list[float]:
    return [float(re.sub(r"[^\d.]", "", text)) for text in page.locator("tbody td:nth-child(5)").all_inner_texts()]


def test_sorting_and_paging_happen_in_the_database(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/metric/COMPLAINTS")
    expect(page.get_by_text(shown(1, 25, f"{ROWS:,}"))).to_be_visible()
    header = page.get_by_role("columnheader", name="Value")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    ours = [
        float(line)
        for line in database.psql(
            "select value from ipai.ipai_sample_metrics where code = 'COMPLAINTS' and brand_id = 7 order by value desc, id limit 50",
            user="postgres",
        ).splitlines()
    ]
    expect(page.locator("tbody tr").first.locator("td").nth(4)).to_have_text(f"{ours[0]:,.0f}")
    assert values(page) == ours[:25]
    first = page.locator("tbody").inner_text()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text(shown(26, 50, f"{ROWS:,}"))).to_be_visible()
    expect(page.locator("table")).to_have_attribute("aria-busy", "false")
    assert values(page) == ours[25:] and page.locator("tbody").inner_text() != first
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    # Another order begins with its first page.
    expect(page.get_by_text(shown(1, 25, f"{ROWS:,}"))).to_be_visible()
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()


def test_the_download_has_all_rows_of_the_filter_and_no_others(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/metric/FOOTFALL")
    expect(page.get_by_text(f"of {ROWS:,} rows")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "FOOTFALL.csv"
    text = download.value.path().read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    theirs = database.psql(
        "select odoo_id from ipai.ipai_sample_metrics where code = 'FOOTFALL' and brand_id = 7 order by id", user="postgres"
    )
    assert [row["odoo_id"] for row in rows] == theirs.splitlines() and len(rows) == ROWS
    assert {row["brand_id"] for row in rows} == {"7"}


def test_no_request_is_without_a_limit(visit: Visit, site: Dashboard) -> None:
    page = visit("about:blank")
    asked = requests_of(page)
    page.goto(f"{site.url}#/metric/STORE_SALES")
    expect(page.locator("tbody tr")).to_have_count(25)
    for hash in ("#/alerts", "#/health", "#/overview"):
        page.goto(f"{site.url}{hash}")
        expect(page.locator("[data-code], tbody tr, [role=region] table, :text('No mirrors')").first).to_be_visible()
    expect(card(page, "STORE_SALES")).to_be_visible()
    tables = [url for url in asked if "/rpc/" not in url]
    assert any("/ipai_sample_metrics" in url for url in tables)
    assert [url for url in tables if "limit=" not in url] == []
    # The functions have limits of their own: supabase/tests, and test_database.
    assert {urlsplit(url).path.rpartition("/")[2] for url in asked if "/rpc/" in url} == {
        "metrics_overview",
        "metric_series",
        "metric_facets",
    }


# Alerts ---------------------------------------------------------------------------------------------------------------------------------


def test_the_alerts_are_those_of_the_database(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(f"{site.url}#/alerts")
    count = int(database.psql("select count(*) from ipai.ipai_sample_metrics where is_alert and brand_id = 7", user="postgres"))
    expect(page.get_by_text(shown(1, 25, f"{count:,}", "alerts"))).to_be_visible()
    page.get_by_placeholder("Part of a code").fill("waste_r")
    waste = int(
        database.psql(
            "select count(*) from ipai.ipai_sample_metrics where is_alert and brand_id = 7 and code = 'WASTE_RATE'", user="postgres"
        )
    )
    assert waste > 0
    expect(page.get_by_text(re.compile(rf"of {waste:,} alerts?"))).to_be_visible()
    page.locator("tbody tr").first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Waste rate")).to_be_visible()


# Errors ---------------------------------------------------------------------------------------------------------------------------------


def test_a_refused_request_is_said_and_tried_again(visit: Visit, site: Dashboard, database: Cluster) -> None:
    function = "function ipai.metrics_overview(text, boolean, integer, integer, integer)"
    with changed(database, f"revoke execute on {function} from authenticated", f"grant execute on {function} to authenticated"):
        page = visit(site.url)
        expect(page.get_by_text("You may not see this")).to_be_visible()
        page.get_by_text("Details").click()
        expect(page.get_by_text("42501: permission denied")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(card(page, "STORE_SALES")).to_be_visible()
    expect(page.get_by_text("You may not see this")).to_have_count(0)


def test_a_lost_connection_keeps_what_was_there_and_recovers_by_itself(visit: Visit, api: PostgREST, users: list[dict[str, str]]) -> None:
    with Dashboard(api, {"demoUsers": users, "pollSeconds": 1, "realtime": False}) as site:
        page = visit(site.url)
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.route(f"**{PREFIX}/**", lambda route: route.abort("connectionrefused"))
        expect(page.get_by_text("The server cannot be reached")).to_be_visible()
        expect(page.get_by_text("What you see is from before.")).to_be_visible()
        expect(card(page, "STORE_SALES")).to_be_visible()
        page.unroute_all()
        expect(page.get_by_text("The server cannot be reached")).to_have_count(0)


# Live -----------------------------------------------------------------------------------------------------------------------------------


def test_a_change_told_by_realtime_arrives_at_once(visit: Visit, api: PostgREST, users: list[dict[str, str]], database: Cluster) -> None:
    """Realtime is played by the test: no real server ran. What it tells only makes the page read again."""
    sockets: list[tuple[WebSocketRoute, str]] = []

    def realtime(socket: WebSocketRoute) -> None:
        def answer(data: str | bytes) -> None:
            join_ref, ref, topic, event, payload = json.loads(data)
            changes = payload.get("config", {}).get("postgres_changes", [])
            response = {"postgres_changes": [{**asked, "id": 1} for asked in changes]} if event == "phx_join" else {}
            socket.send(json.dumps([join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response}]))
            if event == "phx_join":
                sockets.append((socket, topic))
                told = {"extension": "postgres_changes", "status": "ok", "message": "Subscribed to PostgreSQL", "channel": topic}
                socket.send(json.dumps([join_ref, None, topic, "system", told]))

        socket.on_message(answer)

    with Dashboard(api, {"demoUsers": users, "pollSeconds": 3600}) as site:
        page = visit("about:blank")
        page.route_web_socket("**/realtime/v1/websocket*", realtime)
        page.goto(site.url)
        expect(page.locator('[data-live="realtime"]')).to_have_text("Live")
        expect(card(page, "STORE_SALES")).to_contain_text(amount(database, newest_sales(7)))
        where = f"{newest_sales(7)} and store_id = 101"
        with changed(
            database,
            f"update ipai.ipai_sample_metrics set value = value + 1000000 where {where}",
            f"update ipai.ipai_sample_metrics set value = value - 1000000 where {where}",
        ):
            socket, topic = sockets[-1]
            change = {
                "type": "UPDATE",
                "schema": "ipai",
                "table": "ipai_sample_metrics",
                "columns": [],
                "errors": None,
                "record": {},
                "old_record": {},
            }
            socket.send(
                json.dumps(
                    [None, None, topic, "postgres_changes", {"ids": [1], "data": {**change, "commit_timestamp": "2026-01-06T08:00:00Z"}}]
                )
            )
            expect(card(page, "STORE_SALES")).to_contain_text(amount(database, newest_sales(7)))
        socket.close()
        expect(page.locator('[data-live="polling"]')).to_be_visible()


def test_without_realtime_it_says_that_it_polls(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(page.locator('[data-live="polling"]')).to_have_text("Polling, 3600 s")


# For everybody --------------------------------------------------------------------------------------------------------------------------

ADDRESSES = ["#/overview", "#/metric/SHELF_AVAILABILITY", "#/alerts", "#/health"]


def settled(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    expect(page.locator('[aria-label^="Loading"]')).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_axe_finds_nothing(visit: Visit, site: Dashboard, address: str, theme: str) -> None:
    # A policy that lets axe in: it is no part of the page.
    page = visit(f"{site.url}{address}", color_scheme=theme, bypass_csp=True)
    settled(page)
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert (
        found["passes"]
        and [(rule["id"], rule["impact"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found["violations"]] == []
    )


def test_axe_finds_nothing_on_the_sign_in(visit: Visit, api: PostgREST) -> None:
    with Dashboard(api, {}) as site:
        page = visit(site.url, bypass_csp=True)
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.add_script_tag(path=AXE)
        assert page.evaluate("axe.run(document).then((found) => found.violations.map((rule) => rule.id))") == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_sticks_out_on_a_phone(visit: Visit, site: Dashboard, address: str) -> None:
    page = visit(f"{site.url}{address}", viewport={"width": 360, "height": 740}, has_touch=True)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    # The navigation is where a thumb finds it.
    for name in ("Overview", "Alerts", "Sync health"):
        box = page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).bounding_box()
        assert box and box["height"] >= 40


def test_the_theme_is_the_system_s_until_one_chooses(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url, color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    expect(page.get_by_role("button", name="Switch to the light theme")).to_be_visible()
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Switch to the light theme").click()
    expect(page.get_by_role("button", name="Switch to the dark theme")).to_be_visible()
    assert page.evaluate(ground) != dark
    page.reload()
    expect(page.get_by_role("button", name="Switch to the dark theme")).to_be_visible()


def test_the_keyboard_is_enough(visit: Visit, site: Dashboard) -> None:
    page = visit(site.url)
    expect(card(page, "STORE_SALES")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    card(page, "STORE_SALES").focus()
    page.keyboard.press("Enter")
    chart = page.get_by_role("slider", name="Day in the chart")
    expect(chart).to_have_attribute("aria-valuenow", str(DAYS - 1))
    newest = chart.get_attribute("aria-valuetext")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(chart).to_have_attribute("aria-valuenow", str(DAYS - 2))
    assert chart.get_attribute("aria-valuetext") != newest
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("aria-valuenow", "0")


def test_numbers_and_days_are_those_of_the_reader(visit: Visit, site: Dashboard, database: Cluster) -> None:
    page = visit(site.url, locale="de-DE")
    total = amount(database, newest_sales(7)).removeprefix("₱").replace(",", ".")
    expect(card(page, "STORE_SALES")).to_contain_text(re.compile(rf"{re.escape(total)}\s₱"))
