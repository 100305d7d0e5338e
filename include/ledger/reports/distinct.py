"""The values of an indexed column, found by stepping along the index: one step for each, however many rows."""

from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, func, select


def each_value(column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> CTE:
    """Return the values as `value`, in order; the conditions are those of a partial index. The last one is NULL."""
    first = select(func.min(column).label("value")).where(*conditions).cte("each_value", recursive=True)
    following = select(func.min(column)).where(*conditions, column > first.c.value).scalar_subquery()
    return first.union_all(select(following).where(first.c.value.is_not(None)))


def list_values(connection: Connection, column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> list[Any]:
    """List the values, in order."""
    each = each_value(column, *conditions).c.value
    return list(connection.execute(select(each).where(each.is_not(None))).scalars())
