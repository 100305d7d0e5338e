"""`make audit`: look up known vulnerabilities of the pinned packages in the package index.

Status 0: all packages checked, none vulnerable. 1: vulnerabilities found. 2: some packages not checked. With
`--unchecked-is-ok` (machines without the index) unchecked packages are reported and pass.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

PINNED = ("requirements.txt", "requirements-dev.txt", "requirements-openlineage.txt")
AUDIT_SECONDS = 600
VULNERABLE, UNCHECKED = 1, 2


def verdict(dependencies: Sequence[Mapping[str, Any]], *, unchecked_is_ok: bool = False) -> tuple[int, str]:
    """Return the status and the message. pip-audit itself passes even if it could check nothing."""
    lines = [
        f"{pin['name']} {pin['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no release'}"
        for pin in dependencies
        for flaw in pin.get("vulns", [])
    ]
    unchecked = sum("skip_reason" in pin for pin in dependencies)
    if unchecked or not dependencies:
        lines.append(
            f"NOT CHECKED: {unchecked} of {len(dependencies)} packages. The package index that this machine "
            f"can reach says nothing about their vulnerabilities."
        )
    if any(pin.get("vulns") for pin in dependencies):
        return VULNERABLE, "\n".join(lines)
    if lines:
        return (0 if unchecked_is_ok else UNCHECKED), "\n".join(lines)
    return 0, f"{len(dependencies)} packages checked: no known vulnerability."


def main() -> int:
    """Run pip-audit, print the result, and return the status."""
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
