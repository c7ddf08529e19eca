"""The kinds of fault, by the name that drills call them by; a module each."""

from fedlora.drills.faults.certificate import ExpiredCertificate
from fedlora.drills.faults.disk import FullDisk
from fedlora.drills.faults.fault import Fault
from fedlora.drills.faults.hang import Hang
from fedlora.drills.faults.kill import Kill
from fedlora.drills.faults.link import Cut, Loss, Slowness
from fedlora.drills.faults.pause import Pause

__all__ = ["FAULTS", "Fault"]

FAULTS: dict[str, type[Fault]] = {
    "kill": Kill,
    "hang": Hang,
    "pause": Pause,
    "cut": Cut,
    "slow": Slowness,
    "lose": Loss,
    "disk": FullDisk,
    "certificate": ExpiredCertificate,
}
