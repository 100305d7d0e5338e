"""Who may see what: Airflow's login and its rights to the pipeline's DAG decide."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, HTTPException, Request

from plugins.interactions_view.organisations import THE_ONE

Check = Callable[[Request, BaseUser], None]

may_read = requires_access_dag("GET", param_dag_id=THE_ONE.dag_id)
"""Raises 401 without a login, 403 without the right to read the pipeline's DAG; a dependency of the whole app."""

_may_edit = requires_access_dag("PUT", param_dag_id=THE_ONE.dag_id)
_may_act = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=THE_ONE.admin_dag_id)


@dataclass(frozen=True, slots=True)
class Visitor:
    """What the person who looks may do, by the rights that Airflow gives them."""

    sees_personal_data: bool
    """May edit the pipeline's DAG."""
    may_act: bool
    """May trigger the DAG through which people change the ledger. Airflow asks again when they do."""


def _visitor(request: Request, user: GetUserDep) -> Visitor:
    return Visitor(_passes(_may_edit, request, user), _passes(_may_act, request, user))


def _passes(check: Check, request: Request, user: BaseUser) -> bool:
    try:
        check(request, user)
    except HTTPException:
        return False
    return True


VisitorDep = Annotated[Visitor, Depends(_visitor)]
