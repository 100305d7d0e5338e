"""What a task read and wrote, for OpenLineage: names of data sets and row counts, never an address or a record.

Airflow asks an operator for it only if its OpenLineage provider is installed, so that one is imported inside.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from plugins.runtime.organisations import Organisation

Rows = Mapping[str, int | None]
"""Rows by data set; None: not counted."""


def describe_lineage(organisation: Organisation, *, read: Rows, written: Rows) -> Any:
    """Return the `OperatorLineage`; data sets are named `<system>.<data set>`, such as "kustomer.conversation"."""
    # Not among our requirements, hence without types.
    extractors = import_module("airflow.providers.openlineage.extractors")
    events = import_module("openlineage.client.event_v2")
    facets = import_module("openlineage.client.facet_v2")
    input_rows = facets.input_statistics_input_dataset.InputStatisticsInputDatasetFacet
    output_rows = facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet

    def name(data_set: str) -> dict[str, str]:
        system, _, name = data_set.partition(".")
        return {"namespace": organisation.name_for(system), "name": name}

    return extractors.OperatorLineage(
        inputs=[
            events.InputDataset(**name(one), inputFacets={"inputStatistics": input_rows(rowCount=rows)})
            for one, rows in read.items()
        ],
        outputs=[
            events.OutputDataset(**name(one), outputFacets={"outputStatistics": output_rows(rowCount=rows)})
            for one, rows in written.items()
        ],
    )
