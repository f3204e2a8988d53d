"""Aliases given to versions on evidence, also by several programs at the same time."""

from __future__ import annotations

import getpass
import time
import uuid
from datetime import UTC, datetime

from neanias_ml.errors import ModelError, ResourceError, UsageError
from neanias_ml.evaluation.report import EvaluationReport
from neanias_ml.registry.promotion_log import (
    Kind,
    PromotionEvent,
    Timeline,
    events_of,
    objection,
    replay,
)
from neanias_ml.registry.references import parse_version, require_alias, require_name
from neanias_ml.registry.store import RegistryStore

SETTLING_TIME = 10.0
"""Seconds for which an alias of a server may differ from the log before it counts as set by another program: a
promotion writes its event first and the alias next."""
MOST_ROUNDS = 100
LONGEST_REASON = 1000
OUTSIDE = "set or removed outside neanias_ml"


def promote(store: RegistryStore, name: str, version: int | str, alias: str, *, force: str | None = None) -> Timeline:
    """Give an alias to a version.

    Parameters
    ----------
    store
        The registry.
    name, version
        Model and number of the version.
    alias
        ``champion`` goes to a version only whose evaluation is better than the present champion's on the same data;
        any other alias to every version with an evaluation.
    force
        Reason for passing over the evidence; it is kept.

    Returns
    -------
    Timeline
        What has happened to the alias up to now.

    Raises
    ------
    ModelError
        ``PromotionRefused`` with the numbers, ``ModelUnknown``, ``VersionUnknown``, ``ReportAltered``.
    UsageError
        ``ModelName``, ``ModelVersion``, ``ModelAlias``, ``ReasonMissing`` or ``ReasonTooLong``.
    ResourceError
        If the registry does not answer, or ``RegistryBusy``.
    """
    require_name(name)
    require_alias(alias)
    if force is not None and not force.strip():
        raise UsageError("ReasonMissing", "say why the evidence is passed over: --force REASON")
    if force is not None and len(force) > LONGEST_REASON:
        raise UsageError("ReasonTooLong", f"a reason has {LONGEST_REASON} characters at most, not {len(force)}")
    number = parse_version(version)
    with store.exclusive():
        evidence = store.report(store.version(name, number))
        timeline = _settled(store, name, alias)
        event = _new_event(timeline, alias, number, "promote", evidence=evidence, reason=force)
        refusal = objection(event, timeline.holder)
        if refusal is not None:
            raise _refused(name, event, refusal)
        if timeline.version == number and force is None:
            return timeline
        timeline = _write(store, name, event)
    refusal = timeline.refusal_of(event)
    if refusal is not None:
        raise _refused(name, event, f"another promotion came first: {refusal}")
    return timeline


def demote(store: RegistryStore, name: str, alias: str, *, reason: str | None = None) -> int:
    """Take an alias away from the version that has it; returns the number of the version.

    Raises
    ------
    ModelError
        ``AliasUnknown`` if no version has it, ``ModelUnknown``.
    UsageError
        ``ModelName`` or ``ModelAlias``.
    ResourceError
        If the registry does not answer, or ``RegistryBusy``.
    """
    require_name(name)
    require_alias(alias)
    with store.exclusive():
        timeline = _settled(store, name, alias)
        held = timeline.version
        if held is None:
            raise ModelError("AliasUnknown", f"no version of {name} has the alias {alias!r}, so none can lose it")
        _write(store, name, _new_event(timeline, alias, held, "remove", reason=reason))
    return held


def timelines(store: RegistryStore, name: str) -> dict[str, Timeline]:
    """What has happened to every alias of a model."""
    events = events_of(store.versions(name, aliases={}))
    aliases = sorted({event.alias for event in events})
    return {alias: replay(event for event in events if event.alias == alias) for alias in aliases}


def _settled(store: RegistryStore, name: str, alias: str) -> Timeline:
    """The timeline of an alias that stands as its log says and whose holder's evidence is today's.

    A promotion under way ends by itself; what another program has done to the alias is taken into the log.
    """
    unchanged_since, last = time.monotonic(), None
    while True:
        timeline, actual = _state(store, name, alias)
        if actual == timeline.version:
            return _with_present_evidence(store, name, timeline)
        if (actual, len(timeline.records)) != last:
            last, unchanged_since = (actual, len(timeline.records)), time.monotonic()
        if store.is_exclusive or time.monotonic() - unchanged_since > SETTLING_TIME:
            _adopt(store, name, alias, timeline, actual)
        else:
            time.sleep(0.2)


def _adopt(store: RegistryStore, name: str, alias: str, timeline: Timeline, actual: int | None) -> None:
    """Write down an alias that was set, or removed, by another program."""
    if actual is not None:
        evidence = store.report(store.version(name, actual))
        event = _new_event(timeline, alias, actual, "promote", evidence=evidence, reason=OUTSIDE)
    elif timeline.version is not None:
        event = _new_event(timeline, alias, timeline.version, "remove", reason=OUTSIDE)
    else:
        return
    _append(store, name, event)


def _with_present_evidence(store: RegistryStore, name: str, timeline: Timeline) -> Timeline:
    """Take a report into the log that was attached to the holder after it had got the alias."""
    holder = timeline.holder
    if holder is None:
        return timeline
    evidence = store.report(store.version(name, holder.version))
    if evidence is None or _essentials(evidence) == _essentials(holder.evidence):
        return timeline
    _append(store, name, _new_event(timeline, holder.alias, holder.version, "evaluate", evidence=evidence))
    return _state(store, name, holder.alias)[0]


def _essentials(report: EvaluationReport | None) -> tuple[object, ...] | None:
    if report is None:
        return None
    return report.network, report.bundle_digest, report.data_digest, report.split, report.primary, report.score


def _write(store: RegistryStore, name: str, event: PromotionEvent) -> Timeline:
    """Write an event, then let the alias follow the log until both agree.

    The log is read again after every time the alias was set. So the last program to set it has seen all events that
    were written before, and no alias stays that the log does not bear out.
    """
    _append(store, name, event)
    for _ in range(MOST_ROUNDS):
        timeline, actual = _state(store, name, event.alias)
        if actual == timeline.version:
            return timeline
        store.set_alias(name, event.alias, timeline.version)
    raise ResourceError(
        "RegistryBusy", f"the alias {event.alias!r} of {name} is being changed all the time; try again later"
    )


def _append(store: RegistryStore, name: str, event: PromotionEvent) -> None:
    store.set_tags(name, event.version, dict([event.to_tag()]))


def _state(store: RegistryStore, name: str, alias: str) -> tuple[Timeline, int | None]:
    """The log first and the alias next; see `_write`."""
    timeline = replay(events_of(store.versions(name, aliases={}), alias))
    return timeline, store.aliases(name).get(alias)


def _new_event(
    timeline: Timeline,
    alias: str,
    version: int,
    kind: Kind,
    *,
    evidence: EvaluationReport | None = None,
    reason: str | None = None,
) -> PromotionEvent:
    return PromotionEvent(
        alias=alias,
        version=version,
        kind=kind,
        order=timeline.next_order,
        time=datetime.now(UTC).isoformat(timespec="microseconds"),
        user=_user(),
        evidence=evidence,
        reason=reason,
        identity=uuid.uuid4().hex[:12],
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for the user
        return "unknown"


def _refused(name: str, event: PromotionEvent, refusal: str) -> ModelError:
    lacking = "evaluate it and attach the report (models register FOLDER --name NAME --evaluation FILE), or "
    advice = f"{lacking if event.evidence is None else ''}pass over the evidence with --force REASON"
    return ModelError(
        "PromotionRefused", f"version {event.version} of {name} does not become {event.alias}: {refusal}; {advice}"
    )
