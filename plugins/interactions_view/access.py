"""Access: Airflow's login and its rights to an organisation's DAGs decide who may see what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, HTTPException, Request

from plugins.runtime.organisations import Organisation, organisations


@dataclass(frozen=True, slots=True)
class Visitor:
    """The organisation that a person looks at, and what Airflow's rights allow them to do there."""

    organisation: Organisation
    others: Sequence[Organisation]
    """Other organisations whose interactions they may see."""
    sees_personal_data: bool
    """Whether they may edit the pipeline's DAG."""
    may_act: bool
    """Whether they may trigger the admin DAG. Airflow checks it again when they do."""


def visitor(request: Request, user: GetUserDep) -> Visitor:
    """Return the visitor and their organisation: the one in the path, else the first they may see.

    A dependency of the whole app.

    Raises:
        HTTPException: 401 without a login, 403 without the right to read the pipeline's DAG, 404 for an unknown
            organisation.
    """
    readable = [organisation for organisation in organisations() if _may_read(organisation, request, user)]
    name = request.path_params.get("organisation")
    found = next((organisation for organisation in readable if name in (None, organisation.name)), None)
    if found is None:
        known = name is None or any(name == organisation.name for organisation in organisations())
        raise HTTPException(403 if known else 404, "Forbidden" if known else "This organisation does not exist.")
    request.state.interactions_of = found
    return Visitor(
        organisation=found,
        others=[organisation for organisation in readable if organisation != found],
        sees_personal_data=_passes("PUT", None, found.dag_id, request, user),
        may_act=_passes("POST", DagAccessEntity.RUN, found.admin_dag_id, request, user),
    )


VisitorDep = Annotated[Visitor, Depends(visitor)]


def _may_read(organisation: Organisation, request: Request, user: BaseUser) -> bool:
    return _passes("GET", None, organisation.dag_id, request, user)


def _passes(method: str, entity: DagAccessEntity | None, dag_id: str, request: Request, user: BaseUser) -> bool:
    try:
        requires_access_dag(method, entity, dag_id)(request, user)  # type: ignore[arg-type]  # Airflow's literal
    except HTTPException:
        return False
    return True
