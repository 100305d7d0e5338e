"""What Airflow's OpenLineage provider gets from the three operators, in a process that has the provider.

It reads the facts of all operators from stdin, and prints a line of JSON for each.
"""

import json
import sys

from airflow.providers.openlineage.extractors.base import DefaultExtractor
from openlineage.client.serde import Serde

from plugins.pipeline.operators import (
    CheckAgentProfilesOperator,
    ExtractClosedConversationsOperator,
    ReleaseInteractionsOperator,
)
from plugins.runtime.organisations import DEFAULT

OPERATORS = (
    ExtractClosedConversationsOperator(task_id="extract", organisation=DEFAULT),
    CheckAgentProfilesOperator(task_id="check", organisation=DEFAULT),
    ReleaseInteractionsOperator(task_id="release", window={}, organisation=DEFAULT),
)

for operator, facts in zip(OPERATORS, json.load(sys.stdin), strict=True):
    operator.facts = facts
    lineage = DefaultExtractor(operator).extract_on_complete(None)
    sys.stdout.write(f"{Serde.to_json(lineage)}\n")
