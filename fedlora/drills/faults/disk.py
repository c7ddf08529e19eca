"""The disk of the checkpoints is full."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from fedlora.drills.faults.fault import Fault
from fedlora.drills.field import Checkpoints
from fedlora.errors import ConfigurationError

__all__ = ["FullDisk"]

TRIES = 10
LARGE = "1g"  # of the memory that is the disk: a bound, not what it takes


class FullDisk(Fault):
    """A disk of its own for the run's checkpoints, too small for any more of them until the fault is over."""

    where: Checkpoints | None = None

    @property
    def plan(self) -> str:
        """What it is going to do."""
        return (
            f"mount a disk of its own at {self.field.checkpoints(self.run).name}, leave it no room, and make room "
            f"after {self.drill.seconds:.0f} s"
        )

    @property
    def folder(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.held.folder

    @property
    def held(self) -> Checkpoints:
        """Where the run's checkpoints go, which `prepare` has found."""
        assert self.where is not None
        return self.where

    def prepare(self) -> None:
        """Mount it, with room enough for now."""
        self.where = self.field.checkpoints(self.run)
        self.folder.mkdir(mode=0o700, parents=True)
        owner = self.held.owner
        for folder in (self.folder.parent, self.folder):
            os.chown(folder, owner, owner)
        user = f",uid={owner},gid={owner}" if owner >= 0 else ""
        self._call("mount", "-t", "tmpfs", "-o", f"size={LARGE},mode=700{user}", "fedlora-drill", self.held.name)

    def begin(self) -> None:
        """Leave it no more room than it uses: a disk of memory is never smaller than what lies on it."""
        for left in reversed(range(TRIES)):
            used = shutil.disk_usage(self.folder).used
            try:
                self._call("mount", "-o", f"remount,size={max(used, 4096)}", self.held.name)
                return
            except ConfigurationError:  # a checkpoint is being written, and it is larger by now
                if not left:
                    raise
                time.sleep(0.2)

    def end(self) -> None:
        """Make room."""
        self._call("mount", "-o", f"remount,size={LARGE}", self.held.name)

    def clean(self) -> None:
        """Bring what lies on it to the folder that it has hidden, which is where it belongs."""
        if self.where is None or not self.folder.is_mount():
            return
        with tempfile.TemporaryDirectory() as kept:
            shutil.copytree(self.folder, kept, dirs_exist_ok=True)
            self._call("umount", "--lazy", self.held.name)
            shutil.copytree(kept, self.folder, dirs_exist_ok=True)
        for entry in self.folder.rglob("*"):
            os.chown(entry, self.held.owner, self.held.owner)

    def _call(self, *command: str) -> None:
        done = subprocess.run([*self.held.enter, *command], capture_output=True, text=True)
        if done.returncode != 0:
            raise ConfigurationError(f"{' '.join(command)} failed: {done.stderr.strip()}; a drill of disks needs root")
