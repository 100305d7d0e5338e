"""Registers the page in Airflow: an app at `/interactions`, a navigation entry, and a tab on each DAG.

It also registers the order in which tasks start. Every process of Airflow imports this file when it starts,
including each task. The app itself is imported at its first request.
"""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from plugins.runtime.priority import BackfillLast


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Return the page's ASGI app, imported at the first request."""
    from plugins.interactions_view.app import app as page

    await page(scope, receive, send)


class InteractionsView(AirflowPlugin):
    """The plugin. Its addresses are relative, because the UI resolves them below its own base path."""

    name = "interactions_view"
    priority_weight_strategies = [BackfillLast]  # noqa: RUF012 - the same
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
