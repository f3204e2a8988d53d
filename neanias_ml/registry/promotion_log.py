"""The log of promotions, from which alone follows which version an alias belongs to.

MLflow sets an alias without looking at what it was, so two programs that promote at the same time could end with the
worse model. Each promotion is therefore first written down as an event, a tag of its own that nobody changes any more;
`replay` makes the same of the same events in every program, and aliases are set to what it says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from neanias_ml.errors import ResourceError
from neanias_ml.evaluation.report import EvaluationReport, Metric
from neanias_ml.registry.versions import RegisteredVersion

CHAMPION = "champion"
"""The alias that goes to a better model only."""
TAG_PREFIX = "promotion/"

Kind = Literal["promote", "remove", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class PromotionEvent:
    """Something that happened to an alias.

    Attributes
    ----------
    alias, version
        Alias and number of the version that the event is about.
    kind
        ``promote`` (the version asks for the alias), ``remove`` (it gives it back), ``evaluate`` (it was evaluated
        once more while it held the alias).
    order
        One more than that of every event known when this one was written.
    time
        Time in UTC, ISO 8601.
    user
        Who did it.
    evidence
        Essentials of the evaluation report; None without one.
    reason
        Why the evidence was passed over; None if it was not.
    identity
        Random letters that tell events apart.
    """

    alias: str
    version: int
    kind: Kind
    order: int
    time: str
    user: str
    identity: str
    evidence: EvaluationReport | None = None
    reason: str | None = None

    def to_tag(self) -> tuple[str, str]:
        """Key and value of the tag of the version."""
        report = self.evidence
        document = {
            "kind": self.kind,
            "time": self.time,
            "user": self.user,
            "reason": self.reason,
            "evidence": None
            if report is None
            else {
                "network": report.network,
                "bundle_digest": report.bundle_digest,
                "data_digest": report.data_digest,
                "split": report.split,
                "primary": report.primary,
                "score": report.score,
            },
        }
        return f"{TAG_PREFIX}{self.alias}/{self.order:06d}-{self.identity}", json.dumps(document, allow_nan=False)


@dataclass(frozen=True)
class PromotionRecord:
    """An event and what came of it: the version that held the alias before, and why the event was refused, if so."""

    event: PromotionEvent
    previous: int | None
    refusal: str | None = None


@dataclass(frozen=True)
class Timeline:
    """What the events of one alias come to.

    Attributes
    ----------
    holder
        The event by which the present version has the alias; None if no version has it.
    records
        All events in their order.
    """

    holder: PromotionEvent | None
    records: tuple[PromotionRecord, ...]

    @property
    def version(self) -> int | None:
        """Number of the version that has the alias."""
        return None if self.holder is None else self.holder.version

    @property
    def next_order(self) -> int:
        """Order of the next event."""
        return 1 + max((record.event.order for record in self.records), default=0)

    def refusal_of(self, event: PromotionEvent) -> str | None:
        """Why an event was refused; None if it was not."""
        return next((r.refusal for r in self.records if r.event.identity == event.identity), None)


def replay(events: Iterable[PromotionEvent]) -> Timeline:
    """Go through the events of one alias in their order."""
    holder: PromotionEvent | None = None
    records = []
    for event in sorted(events, key=lambda event: (event.order, event.time, event.version, event.identity)):
        previous = None if holder is None else holder.version
        refusal = None
        if event.kind == "promote":
            refusal = objection(event, holder)
            holder = event if refusal is None else holder
        elif previous == event.version and holder is not None:
            holder = None if event.kind == "remove" else replace(holder, evidence=event.evidence)
        records.append(PromotionRecord(event, previous, refusal))
    return Timeline(holder, tuple(records))


def objection(event: PromotionEvent, holder: PromotionEvent | None) -> str | None:
    """What speaks against a version that asks for an alias, as a clause; None if nothing does."""
    if event.reason is not None:
        return None
    if event.evidence is None:
        return f"version {event.version} has no evaluation report"
    if event.alias != CHAMPION or holder is None or holder.version == event.version:
        return None
    if holder.evidence is None:
        return f"the {event.alias}, version {holder.version}, has no evaluation report to compare with"
    return _not_better(event.evidence, holder.evidence, than=f"the {event.alias}, version {holder.version}")


def _not_better(own: EvaluationReport, other: EvaluationReport, *, than: str) -> str | None:
    differences = own.differences(other)
    if differences:
        return f"its evaluation cannot be compared with that of {than}: " + "; ".join(differences)
    if own.score > other.score:
        return None
    relation = "only equals the" if own.score == other.score else "is not above the"
    return f"its {own.primary} of {own.score:.6g} {relation} {other.score:.6g} of {than}"


def events_of(versions: Iterable[RegisteredVersion], alias: str | None = None) -> list[PromotionEvent]:
    """Events among the tags of versions, of one alias or of all.

    Raises
    ------
    ResourceError
        ``PromotionRecordDamaged`` if a tag was changed by hand.
    """
    return [
        _event(version, key, value)
        for version in versions
        for key, value in version.tags.items()
        if key.startswith(TAG_PREFIX if alias is None else f"{TAG_PREFIX}{alias}/")
    ]


def _event(version: RegisteredVersion, key: str, value: str) -> PromotionEvent:
    try:
        _, alias, stamp = key.split("/")
        order, _, identity = stamp.partition("-")
        document = json.loads(value)
        found = document["evidence"]
        evidence = None
        if found is not None:
            metrics = {found["primary"]: Metric(value=found.pop("score"))}
            evidence = EvaluationReport(metrics=metrics, **found)
        return PromotionEvent(
            alias=alias,
            version=version.number,
            kind=document["kind"],
            order=int(order),
            time=str(document["time"]),
            user=str(document["user"]),
            evidence=evidence,
            reason=document["reason"],
            identity=identity,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResourceError(
            "PromotionRecordDamaged",
            f"the tag {key} of {version.reference} is no record of a promotion ({error}); remove the tag at the "
            "registry and promote the version again",
        ) from error
