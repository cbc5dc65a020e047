"""Fixtures of the dashboard's tests: Chromium, the built page, PostgREST, Postgres as in Supabase.

With `SCREENSHOTS=1` in the environment, the tests overwrite the pictures in docs/images.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from harness import dashboard, postgres
from harness.dashboard import Dashboard
from harness.odoo import MODULE, Odoo
from harness.postgres import Cluster, Installation
from harness.postgrest import PostgREST
from support.dashboard import ANA, BEN, CARLA, DAYS, NORA, STORES, Company, FakeRealtime

# A slow machine is not an error of the page.
expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def database(extension_pg: Installation) -> Iterator[Cluster]:
    """More than 200,000 metrics: one year of 24 stores with four brands."""
    with postgres.supabase_cluster(extension_pg) as cluster:
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        dashboard.fill_mirror(cluster, stores=STORES, days=DAYS)
        yield cluster


@pytest.fixture(scope="session")
def api(database: Cluster) -> Iterator[PostgREST]:
    with PostgREST(database) as running:
        yield running


@pytest.fixture(scope="session")
def users(api: PostgREST) -> list[dict[str, str]]:
    return [
        dashboard.demo_user(api, ANA, brands=[7]),
        dashboard.demo_user(api, BEN, brands=[8]),
        dashboard.demo_user(api, CARLA, brands="*", stores="*"),
        dashboard.demo_user(api, NORA),
    ]


@pytest.fixture(scope="session")
def site(api: PostgREST, users: list[dict[str, str]]) -> Iterator[Dashboard]:
    """The page with all these metrics. It does not poll, so a test knows the cause of a request."""
    with Dashboard(api, {"demoUsers": users, "pollSeconds": 3600, "realtime": False}) as page:
        yield page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = dashboard.ensure_browser()
    # Chromium does not run its sandbox as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        # With scrollbars, as on a user's screen.
        browser = playwright.chromium.launch(executable_path=program, args=arguments, ignore_default_args=["--hide-scrollbars"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a new browser context. The page must not raise an error."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_page(url: str, realtime: FakeRealtime | None = None, **options: Any) -> Page:
        settings = {"locale": "en-PH", "timezone_id": "Asia/Manila", "viewport": {"width": 1280, "height": 860}, "color_scheme": "light"}
        context = browser.new_context(**{**settings, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        if realtime:
            page.route_web_socket("**/realtime/v1/websocket*", realtime)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


# With a real Odoo ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def company(extension_pg: Installation) -> Iterator[Company]:
    with Odoo((MODULE, "ipai_sync")) as odoo, postgres.supabase_cluster(extension_pg) as cluster:
        dashboard.fill_odoo(odoo, stores=12, days=60)
        cluster.psql("create extension ipai_sync")
        postgres.migrate(cluster)
        cluster.psql(
            f"""create server odoo foreign data wrapper ipai_odoo options (url '{odoo.url}', dbname '{odoo.dbname}');
                create user mapping for postgres server odoo options (user '{odoo.admin_user}', password '{odoo.admin_password}')""",
            user="postgres",
        )
        cluster.psql("call ipai.run_sync('sample_metrics')", user="postgres")
        cluster.psql("select ipai.schedule_sync('sample_metrics', '0 3 * * *')", user="postgres")
        with PostgREST(cluster) as api, Dashboard(api, {**dashboard.demo_config(cluster, api), "pollSeconds": 1}) as site:
            yield Company(odoo, cluster, api, site)
