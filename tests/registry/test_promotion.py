"""Aliases on evidence: the log by itself, and at a registry that is a database file."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neanias_ml.errors import NeaniasError
from neanias_ml.registry.promotion_log import PromotionEvent, events_of, replay
from tests.registry.makers import make_report, make_run


def refused(action, *arguments, **keywords):
    with pytest.raises(NeaniasError) as caught:
        action(*arguments, **keywords)
    return caught.value


def ask(version, score, *, order=1, alias="champion", kind="promote", reason=None, **report):
    evidence = None if score is None else make_report(f"{version:064d}", score, **report)
    return PromotionEvent(
        alias=alias, version=version, kind=kind, order=order, time=f"2026-01-01T00:00:{order:02d}", user="someone",
        evidence=evidence, reason=reason, identity=f"{version}-{order}-{kind}",
    )  # fmt: skip


@given(st.lists(st.integers(0, 100), min_size=1, max_size=12, unique=True), st.data())
def test_the_best_of_comparable_versions_wins_in_whatever_order_they_ask(scores, data):
    orders = data.draw(st.lists(st.integers(1, 5), min_size=len(scores), max_size=len(scores)))
    events = [ask(n + 1, score / 100, order=order) for n, (score, order) in enumerate(zip(scores, orders, strict=True))]
    timeline = replay(data.draw(st.permutations(events)))
    assert timeline.version == 1 + scores.index(max(scores))
    assert timeline == replay(events) and len(timeline.records) == len(events)
    holders = [record for record in timeline.records if record.refusal is None]
    for earlier, later in itertools.pairwise(holders):
        assert later.previous == earlier.event.version
        assert later.event.evidence.score > earlier.event.evidence.score


def test_force_beats_evidence_from_then_on():
    events = [ask(1, 0.8), ask(2, 0.5, order=2, reason="faster"), ask(3, 0.6, order=3)]
    assert replay(events[:2]).version == 2
    assert replay(events).version == 3


def test_removal_and_a_second_evaluation():
    timeline = replay([ask(1, 0.8), ask(1, None, order=2, kind="remove"), ask(2, 0.3, order=3)])
    assert timeline.version == 2 and timeline.records[-1].previous is None
    again = [ask(1, 0.8), ask(1, 0.4, order=2, kind="evaluate", data="new"), ask(2, 0.5, order=3, data="new")]
    assert replay(again).version == 2
    assert replay([ask(1, 0.8), ask(2, None, order=2, kind="remove")]).version == 1


@given(
    st.floats(0, 1), st.text(max_size=40), st.text(max_size=40) | st.none(), st.sampled_from(["champion", "a-b_c"])
)  # fmt: skip
def test_an_event_is_read_from_its_tag_as_written(score, user, reason, alias):
    from datetime import UTC, datetime

    from neanias_ml.registry.versions import RegisteredVersion

    event = PromotionEvent(
        alias=alias, version=4, kind="promote", order=17, time="2026-01-01T00:00:00", user=user, reason=reason,
        evidence=make_report("b" * 64, score), identity="0123456789ab",
    )  # fmt: skip
    key, value = event.to_tag()
    version = RegisteredVersion("net", 4, "run", "file:///x", datetime.now(UTC), tags={key: value, "network": "x"})
    assert events_of([version]) == events_of([version], alias) == [event]
    assert events_of([version], alias[:-1]) == []
    damaged = RegisteredVersion("net", 4, "run", "file:///x", datetime.now(UTC), tags={key: value[:-1]})
    assert refused(events_of, [damaged]).code == "PromotionRecordDamaged"


@pytest.fixture
def net(registry, tmp_path):
    """Registers version after version of one model."""
    numbers = itertools.count(1)

    def add(score=None, **report):
        seed = next(numbers)
        bundle, _ = make_run(tmp_path / f"run{seed}", seed=seed, score=score, **report)
        return registry.register(bundle, "net").version.number

    return add


def test_the_champion_is_beaten_by_a_better_version_only(registry, net):
    for score in (0.5, 0.7, 0.6, 0.7):
        net(score)
    assert registry.promote("net", 1, "champion").version == 1
    assert registry.promote("net", 2, "champion").version == 2
    error = refused(registry.promote, "net", 3, "champion")
    assert error.qualified_code == "ModelError:PromotionRefused"
    assert "f1 of 0.6 is not above the 0.7 of the champion, version 2" in error.message
    assert "0.7 only equals the 0.7" in refused(registry.promote, "net", 4, "champion").message
    assert registry.store.aliases("net") == {"champion": 2}
    registry.promote("net", 2, "champion")
    history = registry.show("net").promotions
    assert [(r.previous, r.event.version, r.refusal) for r in history] == [(None, 1, None), (1, 2, None)]


def test_missing_and_incomparable_evidence_is_refused_until_forced(registry, net):
    net(0.5)
    net()
    net(0.9, data="e" * 64)
    assert "has no evaluation report" in refused(registry.promote, "net", 2, "candidate").message
    registry.promote("net", 3, "candidate")
    registry.promote("net", 1, "champion")
    assert "data digest" in refused(registry.promote, "net", 3, "champion").message
    assert refused(registry.promote, "net", 2, "champion", force=" ").code == "ReasonMissing"
    assert registry.promote("net", 2, "champion", force="the only one on this telescope").version == 2
    assert "version 2, has no evaluation report" in refused(registry.promote, "net", 1, "champion").message
    record = registry.show("net").promotions[-1]
    assert (record.previous, record.event.version) == (1, 2)
    assert record.event.reason == "the only one on this telescope" and record.event.user
    assert registry.store.aliases("net") == {"champion": 2, "candidate": 3}
    assert registry.show("net").versions[2].aliases == ("candidate",)


def test_a_champion_evaluated_again_is_compared_by_its_present_report(registry, net, tmp_path):
    net(0.9)
    net(0.4, data="e" * 64)
    registry.promote("net", 1, "champion")
    digest = registry.store.version("net", 1).digest
    report = make_report(digest, 0.3, data="e" * 64).write(tmp_path / "new.json")
    registry.register(tmp_path / "run1" / "bundle", "net", evaluation=report)
    assert registry.promote("net", 2, "champion").version == 2
    assert [record.event.kind for record in registry.show("net").promotions] == ["promote", "evaluate", "promote"]


def test_an_alias_is_taken_away(registry, net):
    net(0.5)
    assert refused(registry.demote, "net", "champion").code == "AliasUnknown"
    registry.promote("net", 1, "champion")
    assert registry.demote("net", "champion", reason="leaked data") == 1
    assert registry.store.aliases("net") == {}
    assert registry.show("net").promotions[-1].event.reason == "leaked data"


def test_what_other_programs_do_to_an_alias_is_taken_into_the_log(registry, net):
    for score in (0.5, 0.7, 0.6, 0.8):
        net(score)
    registry.promote("net", 2, "champion")
    registry.store.client.set_registered_model_alias("net", "champion", "1")
    assert registry.promote("net", 3, "champion").version == 3
    registry.store.client.delete_registered_model_alias("net", "champion")
    assert registry.promote("net", 1, "champion").version == 1
    registry.store.client.delete_model_version("net", "1")
    assert registry.promote("net", 4, "champion").version == 4
    assert registry.store.aliases("net") == {"champion": 4}
    reasons = [record.event.reason for record in registry.show("net").promotions]
    assert sum(reason is not None and "outside" in reason for reason in reasons) >= 1


@pytest.mark.parametrize(
    ("name", "version", "alias", "code"),
    [
        ("nett", 1, "champion", "ModelUnknown"),
        ("net", 5, "champion", "VersionUnknown"),
        ("net", 1, "latest", "ModelAlias"),
        ("net", 1, "v2", "ModelAlias"),
        ("net", "one", "champion", "ModelVersion"),
        ("n/t", 1, "champion", "ModelName"),
    ],
)
def test_what_cannot_be_promoted(registry, net, name, version, alias, code):
    net(0.5)
    error = refused(registry.promote, name, version, alias)
    assert error.code == code
    if code == "ModelUnknown":
        assert "there is net" in error.message
