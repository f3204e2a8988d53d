"""Metrics that wait: in the spool, which survives kills, and in the sender, which survives servers."""

from __future__ import annotations

import threading

import pytest

from neanias_ml.registry.tracking_metrics import BATCH, MetricSender
from neanias_ml.registry.tracking_spool import MetricPoint, Spool, metric_point, metric_record

WAIT = 60  # seconds after which a test gives up

POINTS = [MetricPoint(f"m{number % 3}", number / 3, 1000 + number, number) for number in range(25)]


def test_records_come_back_in_order_and_the_file_goes(tmp_path):
    spool = Spool(tmp_path / "unsent.jsonl")
    values = [*POINTS, MetricPoint("a", float("nan"), 1, 1), MetricPoint("a", float("-inf"), 1, 2)]
    spool.append(metric_record("r", point) for point in values[:10])
    spool.append(metric_record("r", point) for point in values[10:])
    taken = []
    assert spool.drain(taken.extend, batch=7) == len(values)
    assert str([metric_point(record) for record in taken]) == str(values)  # as texts, because nan != nan
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_taken_is_dropped(tmp_path):
    spool = Spool(tmp_path / "unsent.jsonl")
    spool.append(metric_record("r", point) for point in POINTS)
    taken = []

    def take(records):
        if len(taken) >= 20:
            raise ConnectionError
        taken.extend(records)

    with pytest.raises(ConnectionError):
        spool.drain(take, batch=10)
    rest = []
    assert spool.drain(rest.extend, batch=10) == 5
    assert [metric_point(record) for record in taken + rest] == POINTS


def test_what_is_written_while_the_spool_is_sent_is_kept(tmp_path):
    spool = Spool(tmp_path / "unsent.jsonl")
    spool.append(metric_record("r", point) for point in POINTS[:5])
    spool.drain(lambda records: spool.append([metric_record("late", POINTS[7])]), batch=100)
    rest = []
    spool.drain(rest.extend, batch=100)
    assert rest == [metric_record("late", POINTS[7])]


def test_two_that_send_at_once_drop_nothing_that_came_later(tmp_path):
    spool = Spool(tmp_path / "unsent.jsonl")
    spool.append([metric_record("r", POINTS[0])])

    def meanwhile(_):
        spool.drain(lambda _: None, batch=100)
        spool.append([metric_record("r", POINTS[1])])

    spool.drain(meanwhile, batch=100)
    rest = []
    spool.drain(rest.extend, batch=100)
    assert rest == [metric_record("r", POINTS[1])]


def test_a_line_cut_off_by_a_kill_costs_only_itself(tmp_path):
    spool = Spool(tmp_path / "unsent.jsonl")
    spool.append([metric_record("r", POINTS[0])])
    with spool.path.open("a") as stream:
        stream.write('{"run": "r", "met')
    spool.append([metric_record("r", POINTS[1])])
    taken = []
    assert spool.drain(taken.extend, batch=100) == 2
    assert [metric_point(record) for record in taken] == POINTS[:2]
    assert not spool.path.exists()


class Store:
    """Takes metrics, or refuses them, as told."""

    def __init__(self) -> None:
        self.points: list[MetricPoint] = []
        self.sizes: list[int] = []
        self.down = False
        self.refused = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def send(self, points):
        self.open.wait(WAIT)
        if self.down:
            self.refused.set()
            raise ConnectionError("down")
        self.points += points
        self.sizes.append(len(points))


def steps_of(points):
    return [point.step for point in points]


def test_metrics_arrive_once_in_order_and_in_batches():
    store = Store()
    sender = MetricSender(store.send, run_id="r", spool=None)
    for step in range(3500):
        sender.add({"loss": 1.0}, step=step)
    assert sender.close(WAIT) == 0
    assert steps_of(store.points) == list(range(3500))
    assert max(store.sizes) == BATCH
    assert len(store.sizes) <= 5


def test_a_hanging_server_blocks_nobody_and_loses_nothing(tmp_path):
    store = Store()
    store.open.clear()
    spool = Spool(tmp_path / "unsent.jsonl")
    sender = MetricSender(store.send, run_id="r", spool=spool)
    for step in range(2500):
        sender.add({"loss": 1.0}, step=step)  # would never return if it waited for the server
    assert not sender.flush(0.1)
    assert sender.close(0.1) == 2500
    store.open.set()
    kept = []
    spool.drain(kept.extend, batch=10_000)
    assert steps_of(map(metric_point, kept)) == list(range(2500))


def test_an_outage_is_survived_and_told_once(capsys):
    store = Store()
    sender = MetricSender(store.send, run_id="r", spool=None, send_every=0.01, first_retry=0.01)
    store.down = True
    sender.add({"loss": 1.0}, step=0)
    assert store.refused.wait(WAIT)
    store.refused.clear()
    sender.add({"loss": 1.0}, step=1)
    assert store.refused.wait(WAIT)
    store.down = False
    sender.add({"loss": 1.0}, step=2)
    while not sender.flush(WAIT):  # an attempt from before may fail once more
        pass
    assert steps_of(store.points) == [0, 1, 2]
    assert sender.close(WAIT) == 0
    assert capsys.readouterr().err.count("warning: down") == 1


def test_memory_is_bounded_and_the_surplus_is_sent_after_recovery(tmp_path):
    store, spool = Store(), Spool(tmp_path / "unsent.jsonl")

    def recovered():
        spool.drain(lambda records: store.send([metric_point(record) for record in records]), batch=BATCH)

    sender = MetricSender(store.send, run_id="r", spool=spool, recovered=recovered, kept=100)
    store.down = True
    for step in range(1500):
        sender.add({"loss": 1.0}, step=step)
    assert not sender.flush(WAIT)
    assert len(spool.path.read_text().splitlines()) >= 1000
    store.down = False
    assert sender.flush(WAIT)
    assert sender.close(WAIT) == 0
    assert sorted(steps_of(store.points)) == list(range(1500))
    assert not spool.path.exists()


def test_without_a_spool_what_is_lost_is_counted():
    store = Store()
    store.down = True
    sender = MetricSender(store.send, run_id="r", spool=None)
    sender.add({"a": 1.0, "b": 2.0}, step=0)
    assert sender.close(WAIT) == 2
    assert sender.lost == 2
