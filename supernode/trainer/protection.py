"""What is done to an update before it leaves the trainer, and what is noted of it: the policy's clipping and noise."""

import logging
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fedlora.errors import PrivacyError
from fedlora.metrics import Sample
from fedlora.names import is_name
from fedlora.wire.spec import Vector
from supernode.trainer.gaussian_noise import clipped, noised
from supernode.trainer.journal import Carried
from supernode.trainer.privacy_ledger import PrivacyLedger
from supernode.trainer.settings import Policy

__all__ = ["Protection"]

log = logging.getLogger("fedlora.trainer")

# Figures of a round that are computed from records: with noise on, no epsilon covers them, and none leaves.
OF_RECORDS = {
    *("loss", "first_loss", "last_loss", "tokens", "padded_tokens", "answer_tokens"),
    *("tokens_at_once", "checkpointing", "gpu_seconds", "gpu_joules"),
}


class Protection:
    """The policy's clipping, noise and limits, over all that leaves one trainer.

    Parameters
    ----------
    policy : Policy
        What its owner has set.
    ledger : PrivacyLedger
        What has left.
    """

    def __init__(self, policy: Policy, ledger: PrivacyLedger) -> None:
        self.policy = policy
        self.ledger = ledger

    @property
    def residue(self) -> Carried:
        """Under which name a codec's residue is kept: noise protects nothing to which a bare residue is added."""
        return "noised-residue" if self.policy.noise_multiplier else "residue"

    def check(self, run: str) -> None:
        """Check that one more update may leave, before it is trained.

        Raises
        ------
        PrivacyError
            If it would take the site beyond its policy's limit of updates or of epsilon.
        TrainerError
            If the ledger cannot be read.
        """
        policy, spent = self.policy, self.ledger.spent()
        if 0 < policy.most_updates <= spent.updates:
            raise PrivacyError(
                f"this site has given {spent.updates} updates, {self.ledger.spent(run).updates} of them to run {run}; "
                f"its policy's most-updates is {policy.most_updates}"
            )
        if policy.epsilon_limit:
            after = spent.another(policy.noise_multiplier).epsilon(policy.delta)
            if after > policy.epsilon_limit:
                raise PrivacyError(
                    f"with this update the site's epsilon would be {after:.3f} (delta {policy.delta:g}); its policy's "
                    f"limit is {policy.epsilon_limit:g}, and {spent.updates} updates have left"
                )

    def apply(self, values: Vector, trained: npt.NDArray[np.bool_]) -> Vector:
        """Return an update as it may leave.

        Parameters
        ----------
        values : Vector
            The change that was trained, of the part of the adapter that leaves; shape (size,).
        trained : array of bool, shape (size,)
            Which of them this site trains at all, as rank and recipe say: the others are zero whatever the records
            are, and stay so. A zero among the values says nothing of that.

        Raises
        ------
        TrainerError
            If a value is not finite.
        """
        policy = self.policy
        if not policy.clip_norm:
            return values
        shortened, before = clipped(values[trained], policy.clip_norm)
        log.info("the update's norm is %.4g; it is cut off at %.4g", before, policy.clip_norm)  # for the site's eyes
        ready = np.zeros_like(values)
        if policy.noise_multiplier:
            ready[trained] = noised(shortened, policy.noise_multiplier * policy.clip_norm)
        else:
            ready[trained] = shortened
        return ready

    def spend(self, run: str, epoch: int, round_number: int) -> None:
        """Note that an update leaves; to be called before it does."""
        policy = self.policy
        self.ledger.spend(
            *(run, epoch, round_number), clip_norm=policy.clip_norm, noise_multiplier=policy.noise_multiplier
        )

    def figures(self, figures: Mapping[str, float | None]) -> dict[str, float]:
        """Return those of a round's figures that may leave the site."""
        noise = bool(self.policy.noise_multiplier)
        return self.policy.allowed(
            {name: value for name, value in figures.items() if not (noise and name in OF_RECORDS)}
        )

    def samples(self) -> list[Sample]:
        """Return what was spent, for the site's metrics: of the newest runs, and in all; nothing without noise."""
        policy, spent = self.policy, self.ledger.spent()
        told = [Sample("fedlora_site_updates_total", float(spent.updates))]
        if policy.noise_multiplier or spent.distance:
            told.append(Sample("fedlora_site_epsilon", spent.epsilon(policy.delta)))
            for run in filter(is_name, self.ledger.runs()):
                epsilon = self.ledger.spent(run).epsilon(policy.delta)
                told.append(Sample("fedlora_run_epsilon", epsilon, {"run": run}))
        if policy.epsilon_limit:
            told.append(Sample("fedlora_site_epsilon_limit", policy.epsilon_limit))
        return [sample for sample in told if math.isfinite(sample.value)]
