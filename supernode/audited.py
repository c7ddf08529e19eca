"""What a site's audit log has of the messages that were answered: names, numbers and hashes, no text but refusals'."""

from fedlora.audit import Audit, Event
from fedlora.wire.flower_message import Answer, Request

__all__ = ["TRAINERS_POLICY", "note_answer"]

TRAINERS_POLICY = "the trainer's policy"
TRAIN, OPEN, REPORT = "train", "query.configure", "query.report"


def note_answer(audit: Audit, flower_run: int, kind: str, request: Request, answer: Answer) -> None:
    """Note what came of a message of the type `kind`: a round that was trained, a run that was opened, a refusal.

    A failure is no refusal, and is left to the site's log: its text is not the kit's.
    """
    if isinstance(policy := answer.fields.get("policy_sha256"), str):
        audit.note_change(Event.POLICY_CHANGED, TRAINERS_POLICY, policy)
    names = ("run", "epoch", "round", "recipe_sha256")
    of = {name: request.fields[name] for name in names if isinstance(request.fields.get(name), str | int)}
    about = {"flower_run": str(flower_run), **of}
    if answer.status == "refused" and kind != REPORT:
        what = Event.ROUND_REFUSED if kind == TRAIN else Event.RUN_REFUSED
        audit.note_if_possible(what, **about, reason=answer.reason)
    elif answer.status == "ok" and kind == OPEN:
        audit.note_if_possible(Event.RUN_OPENED, **about)
    elif answer.status == "ok" and kind == TRAIN and answer.payload is not None:
        header = answer.payload.header
        audit.note_if_possible(
            Event.ROUND_TRAINED, **about, records=header.examples, update_sha256=header.payload_sha256
        )
