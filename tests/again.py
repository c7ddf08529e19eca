"""Runs the tests that failed beside others once more, one after the other and alone.

    python tests/again.py FILE

FILE has the names of the failed tests, a line each (``pytest --failures FILE`` writes it). On a busy machine a test
that waits for processes can fail for want of a core; what fails alone, too, has failed. More than five are not tried
again.
What passed alone is named at the end: each is a fault, of the test or of the product, that wants mending.
"""

import subprocess
import sys
from pathlib import Path

MOST = 5


def main(file: Path) -> int:
    failed = file.read_text().splitlines()
    if not 0 < len(failed) <= MOST:
        print(f"{len(failed)} tests failed; none is tried again")
        return 1
    print(f"once more, alone: {', '.join(failed)}", flush=True)
    outcome = subprocess.run([sys.executable, "-m", "pytest", "--durations", "0", *failed], check=False).returncode
    if outcome == 0:
        print("\n".join(f"UNSTEADY: {name} failed beside other tests and passed alone" for name in failed))
    return outcome


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
