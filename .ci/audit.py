"""Fail on a known vulnerability in the versions that constraints.txt names; say plainly when they could not be looked up."""

from __future__ import annotations

import json
import subprocess
import sys


def main(requirements: str) -> int:
    """0 when none is known or nothing could be asked, 1 when there is one."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "-r",
        requirements,
        "--disable-pip",
        "--no-deps",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    audit = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(audit.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (audit.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"audit: not done, the advisory service cannot be reached from here: {reason}")
        return 0
    unknown = [package for package in packages if "skip_reason" in package]
    vulnerable = [(package, found) for package in packages for found in package.get("vulns", ())]
    for package, found in vulnerable:
        print(
            f"audit: {package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'no version yet'}"
        )
    print(f"audit: {len(packages) - len(unknown)} packages looked up, {len(vulnerable)} known vulnerabilities", end="")
    print(f"; {len(unknown)} are not known to the advisory service from here: NOT audited" if unknown else "")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
