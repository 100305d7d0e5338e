"""Tells Airflow about the page: an app below `/interactions`, an entry of the navigation, a tab of each DAG.

Every process of Airflow imports this file when it starts, each task included; the app itself is imported only where
it is asked for something.
"""

from typing import Any

from airflow.plugins_manager import AirflowPlugin


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The page's ASGI app, imported at the first request."""
    from plugins.interactions_view.app import app as page

    await page(scope, receive, send)


class InteractionsView(AirflowPlugin):
    """The page. Its addresses are relative: the UI resolves them below its own base path."""

    name = "interactions_view"
    fastapi_apps = [{"app": app, "url_prefix": "/interactions", "name": "Interactions"}]  # noqa: RUF012 - Airflow's names
    external_views = [  # noqa: RUF012 - the same
        {
            "name": "Interactions",
            "href": "interactions/",
            "destination": "nav",
            "url_route": "interactions",
            "nav_top_level": True,
            "icon": "interactions/static/nav-light.svg",
            "icon_dark_mode": "interactions/static/nav-dark.svg",
        },
        {
            "name": "Interactions",
            "href": "interactions/dag/{DAG_ID}",
            "destination": "dag",
            "url_route": "interactions-of-dag",
            "icon": "interactions/static/nav-light.svg",
            "icon_dark_mode": "interactions/static/nav-dark.svg",
        },
    ]
