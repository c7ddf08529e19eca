"""A site's policy as its owner reads, checks and changes it: in the files of its trainer and of its supernode."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fedlora import flower
from fedlora.config import examine, key_of, load_toml, read_toml, refuse
from fedlora.errors import ConfigurationError, TrainerError
from fedlora.settings_file import write_settings
from supernode.doctor.findings import Finding, Outcome, check, fail, ok, skipped, warn
from supernode.settings import NodeSettings
from supernode.trainer.accountant import updates_within
from supernode.trainer.privacy_ledger import FILE, PrivacyLedger, Spent
from supernode.trainer.settings import Policy, TrainerSettings
from supernode.trainer_client import TrainerClient

__all__ = ["SitePolicyFiles"]

GPU = "trainer-gpu.toml"  # a rendered site's second file, for the trainer with a GPU
POLICY_KEYS = tuple(key_of(field.name) for field in fields(Policy))
SUPERNODE_KEYS = ("figures", "fab-hashes")  # `figures` in both: each holds back what passes it
ASK_SECONDS = 5.0
ANEW = "start the trainer anew"


@dataclass(frozen=True)
class SitePolicyFiles:
    """The files of a site's folder that hold its policy.

    Attributes
    ----------
    folder : Path
        The site's folder, with ``trainer.toml`` and ``supernode.toml``.
    """

    folder: Path

    @property
    def rendered(self) -> bool:
        """Whether the folder is one for containers, whose files nobody writes anew."""
        return (self.folder / "compose.yaml").exists()

    @property
    def trainers(self) -> list[Path]:
        """The trainer's files."""
        gpu = self.folder / GPU
        return [self.folder / "trainer.toml", *([gpu] if gpu.exists() else [])]

    def trainer(self) -> TrainerSettings:
        """Read ``trainer.toml``."""
        return read_toml(TrainerSettings, self.trainers[0])

    def supernode(self) -> NodeSettings:
        """Read ``supernode.toml``."""
        return read_toml(NodeSettings, self.folder / "supernode.toml")

    def values(self) -> dict[str, Any]:
        """Return what the files say, by key: recipes by name and hash, and the apps that the guard admits."""
        policy, node = self.trainer().policy, self.supernode()
        values = {key: getattr(policy, key.replace("-", "_")) for key in POLICY_KEYS}
        return {
            **values,
            "recipes": {recipe.name: recipe.sha256 for recipe in policy.recipes},
            "apps": [flower.app_bundle().sha256, *node.fab_hashes] if node.guard else "any",
            "sha256": policy.sha256,
        }

    def spent(self) -> Spent | None:
        """Return what the trainer has noted of its updates; None where its ledger is not on this machine, or is none.

        Raises
        ------
        TrainerError
            If the ledger is there and cannot be read.
        """
        state = self.trainer().state
        return PrivacyLedger(state).spent() if (state / FILE).is_file() else None

    def change(self, changes: Mapping[str, str]) -> tuple[str, str]:
        """Write values into the files, if all of them can be obeyed; return the policy's hash before and after.

        Parameters
        ----------
        changes : mapping
            Values by key, as they are typed; those of lists with commas between.

        Raises
        ------
        ConfigurationError
            With everything that is wrong with them; nothing is written then.
        """
        unknown = [key for key in changes if key not in (*POLICY_KEYS, *SUPERNODE_KEYS)]
        if unknown:
            allowed = ", ".join(dict.fromkeys((*POLICY_KEYS, *SUPERNODE_KEYS)))
            raise ConfigurationError(f"{unknown[0]!r} is no key of a site's policy; allowed: {allowed}")
        before = self.trainer().policy.sha256
        written: list[tuple[Path, Mapping[str, Any]]] = []
        for file in self.trainers:
            values = load_toml(file)[1]
            of_policy = {key: value for key, value in changes.items() if key in POLICY_KEYS}
            policy = values["policy"] | {key: _typed(key, text, values["policy"]) for key, text in of_policy.items()}
            written.append((file, _held_to(TrainerSettings, {**values, "policy": policy}, file)))
        of_supernode = {key: _list(text) for key, text in changes.items() if key in SUPERNODE_KEYS}
        if of_supernode:
            file = self.folder / "supernode.toml"
            written.append((file, _held_to(NodeSettings, {**load_toml(file)[1], **of_supernode}, file)))
        for file, content in written:
            write_settings(content, file)
        return before, self.trainer().policy.sha256

    def findings(self) -> list[Finding]:
        """Check the policy: that the files agree, and that the trainer which runs enforces what they say."""
        return [_files(self), _guard(self), _running(self), _noise(self), _limits(self)]


def _held_to(schema: type, values: dict[str, Any], file: Path) -> dict[str, Any]:
    problems = examine(schema, values, file.parent)[1]
    if problems:
        raise refuse(f"{file}, as it would be,", problems)
    return values


def _list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _typed(key: str, text: str, policy: Mapping[str, Any]) -> Any:
    """Return a value as TOML has it; recipes by their names, of those that are listed already."""
    if key == "recipes":
        listed = {f"{recipe['domain']}/{recipe['preset']}": recipe for recipe in policy["recipes"]}
        for name in (names := _list(text)):
            if name not in listed:
                raise ConfigurationError(f"recipe {name!r} is not in the trainer's file: {', '.join(listed)}")
        return [listed[name] for name in names]
    if key in ("figures", "codecs"):
        return _list(text)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # which its type does not admit, and the error says so


@check("files")
def _files(site: SitePolicyFiles) -> tuple[Outcome, str, str]:
    policies = {file.name: read_toml(TrainerSettings, file).policy for file in site.trainers}
    first = policies["trainer.toml"]
    different = [name for name, policy in policies.items() if policy != first]
    if different:
        return fail(f"{different[0]} has another policy than trainer.toml", "write the same into both")
    if set(first.figures) != set(site.supernode().figures):
        return fail(
            f"figures are {_listed(first.figures)} in trainer.toml and {_listed(site.supernode().figures)} in "
            "supernode.toml",
            "write the same into both: fedlora node policy set SITE figures=...",
        )
    return ok(f"policy {first.sha256[:12]}, {len(first.recipes)} recipe(s), figures {_listed(first.figures)}")


@check("apps")
def _guard(site: SitePolicyFiles) -> tuple[Outcome, str, str]:
    node = site.supernode()
    if not node.guard:
        return fail("guard is off in supernode.toml: runs of any app are answered", "remove that line")
    own = flower.app_bundle().sha256[:12]
    if not node.fab_hashes:
        return ok(f"the kit's own alone, {own}")
    return warn(
        f"the kit's own, {own}, and {', '.join(one[:12] for one in node.fab_hashes)}",
        "their runs are answered as well, by this installation's code; none but those of a kit's version are needed",
    )


@check("trainer", advice="look at the trainer's log")
def _running(site: SitePolicyFiles) -> tuple[Outcome, str, str]:
    settings = site.trainer()
    if not settings.socket.is_socket():
        return skipped("no trainer runs here, or in a container; it reads its policy when it starts")
    client = TrainerClient(settings.socket)
    try:
        enforced = client.describe(settings.policy.recipes[0].sha256, seconds=ASK_SECONDS).policy_sha256
    except TrainerError as error:
        return fail(f"the trainer at {settings.socket} does not say: {error}", "start it anew, if the policy changed")
    if enforced != settings.policy.sha256:
        return fail(f"the trainer enforces {enforced[:12]}, and the file says {settings.policy.sha256[:12]}", ANEW)
    return ok(f"the trainer enforces {enforced[:12]}")


@check("noise")
def _noise(site: SitePolicyFiles) -> tuple[Outcome, str, str]:
    policy, spent = site.trainer().policy, site.spent()
    bare = f"; {spent.bare} updates have left without noise" if spent and spent.bare else ""
    if not policy.noise_multiplier:
        return warn(f"updates leave without noise{bare}", "what single ones tell has no bound; see docs/privacy.md")
    said = f"{policy.noise_multiplier:g} x {policy.clip_norm:g}"
    if not policy.epsilon_limit:
        return warn(f"{said}, and no limit of epsilon{bare}", "set epsilon-limit")
    return ok(f"{said}, epsilon at most {policy.epsilon_limit:g} with delta {policy.delta:g}{bare}")


@check("limits", advice="the ledger is the trainer's; ask as its user, or on its machine")
def _limits(site: SitePolicyFiles) -> tuple[Outcome, str, str]:
    policy, spent = site.trainer().policy, site.spent()
    if spent is None:
        return skipped("the trainer's ledger is not here, or no update has left")
    parts, left = [f"{spent.updates} updates have left"], []
    if policy.most_updates:
        parts.append(f"of {policy.most_updates}")
        left.append(policy.most_updates - spent.updates)
    if policy.epsilon_limit:
        most = updates_within(policy.epsilon_limit, policy.delta, policy.noise_multiplier)
        epsilon = spent.epsilon(policy.delta)
        parts.append(f"epsilon {epsilon:.3f} of {policy.epsilon_limit:g}, which allows {most} updates of this noise")
        after = spent.another(policy.noise_multiplier).epsilon(policy.delta)
        left.append(0 if after > policy.epsilon_limit else 1)
    if left and min(left) <= 0:
        return fail(", ".join(parts), "the trainer refuses every further one; raise the limit, or leave it there")
    return ok(", ".join(parts))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
