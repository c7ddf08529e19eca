"""Fuzz for as long as wanted: ``make fuzz SECONDS=60``, the seconds of each target."""

import argparse
import logging
import sys
import warnings
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from fuzz.fuzzing import fuzz
from fuzz.targets import TARGETS
from fuzz.trainer import target as trainer

MOST_SHOWN = 400  # bytes of an input that failed


def main() -> int:
    """Print a table's row for each target, and each finding; return 1 if there is one."""
    parser = argparse.ArgumentParser(description="Fuzz whatever reads what somebody else has written.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", choices=[*TARGETS, "trainer"], default=[*TARGETS, "trainer"])
    options = parser.parse_args()
    logging.getLogger("fedlora").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    found = 0
    print("| target | inputs | seconds | taken | refused in so many words | findings |\n|---|---|---|---|---|---|")
    for name in options.targets:
        target = trainer() if name == "trainer" else TARGETS[name]
        report = fuzz(target, seconds=options.seconds, seed=options.seed)
        words, findings = len(report.refusals), len(report.findings)
        print(
            f"| {name} | {report.inputs:,} | {report.seconds:.0f} | {report.taken:,} | {words} | {findings} |",
            flush=True,
        )
        for what, data in report.findings.items():
            print(f"{name}: {what}\n  {len(data)} bytes: {data[:MOST_SHOWN]!r}", file=sys.stderr, flush=True)
        found += findings
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
