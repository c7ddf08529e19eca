"""The exceptions of fedlora and their exit codes.

::

    FedloraError                    1
    |- ConfigurationError          10   a setting or option that cannot be obeyed
    |- ShardError                  11   a data file that cannot be trained on
    |- BaseModelError              12   a base model that is missing or unusable
    |- AdapterError                13   an adapter that is missing, damaged or does not fit
    |- BundleError                 14   a bundle for an air gap that cannot be made, or is damaged
    |- CredentialError             20   a key or certificate
    |- AuditError                  21   an audit log that cannot be written, or is not what was written
    |- BackupError                 22   a backup that cannot be made or restored
    |- ProcessDiedError            30   a part that was started and ended by itself
    |- NotReadyError               31   a part that did not get ready in time
    |- PortInUseError              32   an address somebody else listens on
    |- ControlError                33   the SuperLink refused or did not answer
    |- AlreadyUpError              34   a federation whose processes run already
    |- MetricsError                35   metrics that do not come, or are something else
    |- TrainerError                40   the trainer of a site
    |  `- PolicyError              41   a request that the site's policy does not allow
    |     `- PrivacyError          45   an update beyond what the site's policy lets leave in all
    |- WithdrawalError             43   a site that is paused or has left, or is not, against what is asked of it
    |- UnfitSiteError              44   a site that a check says cannot take part
    |- WireError                   50   a message that does not fit its header
    |  `- UpdateNormError          51   an update that is longer than the run takes
    |- RunError                    60   a run that failed
    |  |- ParticipationError       61   too few sites answered
    |  |- SpecMismatchError        62   the sites do not train the same adapter
    |  |- CheckpointError          63   a checkpoint that cannot be written or read
    |  |- ReplacedError            64   an attempt that a newer one has replaced
    |  |- BudgetError              65   a run that would go beyond its budget
    |  |- StoppedError             66   a run that somebody has stopped
    |  `- AggregationError         67   updates of which no adapter can be made
    `- EvaluationError             70   a score that could not be computed
       `- EntryError               71   an entry of the leaderboard that is not what was signed

Exit codes are stable: 10-19 input, 20-29 identity, 30-39 processes, 40-49 site, 50-59 wire, 60-69 run, 70-79
evaluation. A retired number is never used again. 2 is a wrong command line, 130 is Ctrl-C.
"""

from typing import ClassVar

__all__ = [
    "AdapterError",
    "AggregationError",
    "AlreadyUpError",
    "AuditError",
    "BackupError",
    "BaseModelError",
    "BudgetError",
    "BundleError",
    "CheckpointError",
    "ConfigurationError",
    "ControlError",
    "CredentialError",
    "EntryError",
    "EvaluationError",
    "FedloraError",
    "MetricsError",
    "NotReadyError",
    "ParticipationError",
    "PolicyError",
    "PortInUseError",
    "PrivacyError",
    "ProcessDiedError",
    "ReplacedError",
    "RunError",
    "ShardError",
    "SpecMismatchError",
    "StoppedError",
    "TrainerError",
    "UnfitSiteError",
    "UpdateNormError",
    "WireError",
    "WithdrawalError",
    "by_name",
]


class FedloraError(Exception):
    """Root of every error that fedlora raises on purpose."""

    exit_code: ClassVar[int] = 1
    hint: ClassVar[str] = "an error of fedlora"


class ConfigurationError(FedloraError):
    """A setting or an option that cannot be obeyed."""

    exit_code = 10
    hint = "a setting cannot be obeyed"


class ShardError(FedloraError):
    """A data file that cannot be trained on; names file, line and field."""

    exit_code = 11
    hint = "a data file cannot be used"


class BaseModelError(FedloraError):
    """A base model that is missing or cannot be used."""

    exit_code = 12
    hint = "the base model is missing or unusable"


class AdapterError(FedloraError):
    """An adapter's folder that is missing or damaged, or does not fit what it is held against."""

    exit_code = 13
    hint = "an adapter is missing, damaged or does not fit"


class BundleError(FedloraError):
    """A bundle for machines without a network that cannot be made, or is not what was made."""

    exit_code = 14
    hint = "a bundle for an air gap cannot be made, or is damaged"


class CredentialError(FedloraError):
    """A key or certificate that is missing, does not match or must not be overwritten."""

    exit_code = 20
    hint = "a key or certificate is wrong"


class AuditError(FedloraError):
    """An audit log that cannot be written or read, or is not as it was written."""

    exit_code = 21
    hint = "an audit log cannot be written, or is not what was written"


class BackupError(FedloraError):
    """A backup that cannot be made, is not what was made, or would be restored over something."""

    exit_code = 22
    hint = "a backup cannot be made or restored"


class ProcessDiedError(FedloraError):
    """A part that was started has ended by itself; carries the end of its log."""

    exit_code = 30
    hint = "a part that was started has died"


class NotReadyError(FedloraError):
    """A part that was started did not get ready in time."""

    exit_code = 31
    hint = "a part did not get ready in time"


class PortInUseError(FedloraError):
    """An address that somebody else already listens on."""

    exit_code = 32
    hint = "a port is in use"


class ControlError(FedloraError):
    """The SuperLink's Control API refused a request or did not answer."""

    exit_code = 33
    hint = "the SuperLink refused or did not answer"


class AlreadyUpError(FedloraError):
    """A federation whose processes run already."""

    exit_code = 34
    hint = "the federation is up already"


class MetricsError(FedloraError):
    """An exporter that did not answer, or answered with something else than fedlora's metrics."""

    exit_code = 35
    hint = "metrics do not come"


class TrainerError(FedloraError):
    """A site's trainer could not do what it was asked."""

    exit_code = 40
    hint = "a site's trainer failed"


class PolicyError(TrainerError):
    """A request that the site's policy does not allow."""

    exit_code = 41
    hint = "a site's policy does not allow the request"


class PrivacyError(PolicyError):
    """An update with which a site would tell more of its shard than its policy's limits let leave in all."""

    exit_code = 45
    hint = "a site has given all that its policy lets leave"


class WithdrawalError(FedloraError):
    """A site that is paused or has left, or is not, against what is asked of it."""

    exit_code = 43  # 42 is that of a supernode whose Flower ended by itself
    hint = "the site is paused or has left, or is not"


class UnfitSiteError(FedloraError):
    """A site of which a check says that it cannot take part as it is."""

    exit_code = 44
    hint = "a check of the site has failed"


class WireError(FedloraError):
    """A message that does not fit its header or the run it claims to belong to."""

    exit_code = 50
    hint = "a message does not fit its header"


class UpdateNormError(WireError):
    """An update whose Euclidean norm is above what the run takes."""

    exit_code = 51
    hint = "an update is longer than the run takes"


class RunError(FedloraError):
    """A run that failed."""

    exit_code = 60
    hint = "the run failed"


class ParticipationError(RunError):
    """Too few sites answered for the round to count."""

    exit_code = 61
    hint = "too few sites took part"


class SpecMismatchError(RunError):
    """The sites of a run do not train the same adapter on the same base model."""

    exit_code = 62
    hint = "the sites do not train the same adapter"


class CheckpointError(RunError):
    """A checkpoint that cannot be written, or is damaged."""

    exit_code = 63
    hint = "a checkpoint cannot be written or read"


class ReplacedError(RunError):
    """An attempt that goes on although a newer one has begun."""

    exit_code = 64
    hint = "a newer attempt of the run has begun"


class BudgetError(RunError):
    """A run that would go beyond its budget."""

    exit_code = 65
    hint = "the run's budget does not suffice"


class StoppedError(RunError):
    """A run that somebody has stopped."""

    exit_code = 66
    hint = "somebody has stopped the run"


class AggregationError(RunError):
    """Updates of which no adapter can be made."""

    exit_code = 67
    hint = "no adapter can be made of the updates"


class EvaluationError(FedloraError):
    """A score that could not be computed."""

    exit_code = 70
    hint = "a score could not be computed"


class EntryError(EvaluationError):
    """An entry of the leaderboard that cannot be made, or is not what was signed."""

    exit_code = 71
    hint = "an entry of the leaderboard cannot be made, or is not what was signed"


def by_name() -> dict[str, type[FedloraError]]:
    """Return every error class of the tree by its name, the root included."""
    found: dict[str, type[FedloraError]] = {}
    todo: list[type[FedloraError]] = [FedloraError]
    while todo:
        error = todo.pop()
        found[error.__name__] = error
        todo.extend(error.__subclasses__())
    return found
