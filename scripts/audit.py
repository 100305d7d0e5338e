"""`make audit`: the pinned packages against the known vulnerabilities, as the package index tells them.

Status 0: looked at every one, nothing known. 1: vulnerabilities. 2: not looked at, wholly or in part; with
`--unchecked-is-ok` (machines without the index) that is said and passes.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

PINNED = ("requirements.txt", "requirements-dev.txt")
AUDIT_SECONDS = 600
VULNERABLE, UNCHECKED = 1, 2


def verdict(dependencies: Sequence[Mapping[str, Any]], *, unchecked_is_ok: bool = False) -> tuple[int, str]:
    """The status and what to say. pip-audit itself passes when it could look at nothing at all."""
    lines = [
        f"{one['name']} {one['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no release'}"
        for one in dependencies
        for flaw in one.get("vulns", [])
    ]
    unchecked = sum("skip_reason" in one for one in dependencies)
    if unchecked or not dependencies:
        lines.append(
            f"NOT CHECKED: {unchecked} of {len(dependencies)} packages. The package index that this machine can "
            f"reach says nothing of their vulnerabilities."
        )
    if any(one.get("vulns") for one in dependencies):
        return VULNERABLE, "\n".join(lines)
    if lines:
        return (0 if unchecked_is_ok else UNCHECKED), "\n".join(lines)
    return 0, f"{len(dependencies)} packages looked at: no known vulnerability."


def main() -> int:
    """Ask, tell, and return the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unchecked-is-ok", action="store_true")
    given = parser.parse_args()
    asked = [part for file in PINNED for part in ("-r", file)]
    command = [sys.executable, "-m", "pip_audit", *asked, "--require-hashes", "--disable-pip"]
    done = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off"],
        capture_output=True,
        text=True,
        timeout=AUDIT_SECONDS,
        check=False,
    )
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except ValueError:  # no answer at all
        print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
        dependencies = []
    status, words = verdict(dependencies, unchecked_is_ok=given.unchecked_is_ok)
    print(words)
    return status


if __name__ == "__main__":
    sys.exit(main())
