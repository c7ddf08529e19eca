"""Shards are streams: what a command needs in memory grows by a few bytes a record, not by the size of the data."""

import subprocess
import sys

ANSWER = "word " * 400
SMALL, LARGE = 3_000, 30_000  # records of about 2 KB
BYTES_A_RECORD = {  # what is said where they are spent: repeats; and for a partition where each is and who gets it
    "import": 108,
    "validate": 0,
    "partition": 108 + 18,
}
# What the program needed at most since it was executed; what rusage says includes the process that it was forked from.
PROGRAM = """
import atexit, sys
from fedlora.cli.main import main
def tell():
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(peak.split()[1], file=sys.stderr)
atexit.register(tell)
main()
"""


def write(file, count):
    with file.open("w") as stream:
        stream.write("instruction,output\n")
        stream.writelines(f"question {number},{ANSWER}{number}\n" for number in range(count))


def peak(*arguments):
    """Run a command to its end; return the most memory that it had, in bytes."""
    command = [sys.executable, "-c", PROGRAM, "shard", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stderr) * 1024


def test_ten_times_the_data_take_no_more_memory(tmp_path, figure):
    peaks, size = {}, 0
    for count in (SMALL, LARGE):
        source, made = tmp_path / f"source-{count}.csv", tmp_path / f"shard-{count}"
        write(source, count)
        peaks[count] = {
            "import": peak("import", source, made, "--domain", "medical"),
            "validate": peak("validate", made),
            "partition": peak("partition", made, tmp_path / f"parts-{count}", "--parts", 3),
        }
        size = (made / "records.jsonl").stat().st_size
    assert size > 60e6
    for command, allowed in BYTES_A_RECORD.items():
        small, large = peaks[SMALL][command], peaks[LARGE][command]
        figure(f"shard {command}: {large / 1e6:.1f} MB for {size / 1e6:.0f} MB, {small / 1e6:.1f} MB for a tenth of it")
        assert large <= 1.2 * small + allowed * LARGE, command
        assert large < size
