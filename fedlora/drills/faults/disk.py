"""The disk of the checkpoints is full."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from fedlora.drills.faults.fault import Fault
from fedlora.errors import ConfigurationError

__all__ = ["FullDisk"]

TRIES = 10
LARGE = "1g"  # of the memory that is the disk: a bound, not what it takes


class FullDisk(Fault):
    """A disk of its own for the run's checkpoints, too small for any more of them until the fault is over."""

    @property
    def plan(self) -> str:
        """What it is going to do."""
        return (
            f"mount a disk of its own at {self.field.checkpoints(self.run)}, leave it no room, and make room after "
            f"{self.drill.seconds:.0f} s"
        )

    @property
    def folder(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.field.checkpoints(self.run)

    def prepare(self) -> None:
        """Mount it, with room enough for now."""
        self.folder.mkdir(mode=0o700, parents=True)
        _call("mount", "-t", "tmpfs", "-o", f"size={LARGE},mode=700", "fedlora-drill", str(self.folder))

    def begin(self) -> None:
        """Leave it no more room than it uses: a disk of memory is never smaller than what lies on it."""
        for left in reversed(range(TRIES)):
            used = shutil.disk_usage(self.folder).used
            try:
                _call("mount", "-o", f"remount,size={max(used, 4096)}", str(self.folder))
                return
            except ConfigurationError:  # a checkpoint is being written, and it is larger by now
                if not left:
                    raise
                time.sleep(0.2)

    def end(self) -> None:
        """Make room."""
        _call("mount", "-o", f"remount,size={LARGE}", str(self.folder))

    def clean(self) -> None:
        """Bring what lies on it to the folder that it has hidden, which is where it belongs."""
        if not self.folder.is_mount():
            return
        with tempfile.TemporaryDirectory() as kept:
            shutil.copytree(self.folder, kept, dirs_exist_ok=True)
            _call("umount", "--lazy", str(self.folder))
            shutil.copytree(kept, self.folder, dirs_exist_ok=True)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ConfigurationError(f"{' '.join(command)} failed: {done.stderr.strip()}; a drill of disks needs root")
