"""What the benchmarks compute by themselves: the load, percentiles, medians, gaps."""

import asyncio
import math
import time
from collections import Counter

import pytest

from bench import changelog, load, open_loop
from bench.http_caller import HttpCaller
from bench.open_loop import Pace, Trial, VoidError, check_own_p50, summary
from bench.prober import Probes
from bench.report import median, ratio
from ops import collector
from schemas.codec import decode_command
from tables.core.rows import KINDS, encode_row

SKUS = load.sku_names(50)


def test_the_load_is_the_same_every_time():
    assert list(load.mix(SKUS, 500)) == list(load.mix(SKUS, 500))


def test_the_mix_is_60_reserve_30_commit_10_release():
    kinds = Counter(request.fields["type"] for request in load.mix(SKUS, 20_000))
    assert kinds["reserve"] == pytest.approx(12_000, rel=0.03)
    assert kinds["commit"] == pytest.approx(6_000, rel=0.03)
    assert kinds["release"] == pytest.approx(2_000, rel=0.06)


def test_each_commit_or_release_ends_an_earlier_reservation_that_nothing_else_ends():
    held = {}
    for request in load.mix(SKUS, 5_000):
        reservation_id = request.fields["reservation_id"]
        if request.fields["type"] == "reserve":
            held[reservation_id] = request.sku
        else:
            assert held.pop(reservation_id) == request.sku


def test_a_reservation_is_left_alone_until_it_is_mature():
    made = {}
    for number, request in enumerate(load.mix(SKUS, 2_000, maturity=100)):
        reservation_id = request.fields["reservation_id"]
        assert number - made.setdefault(reservation_id, number) in {0, *range(100, 2_000)}


def test_every_command_of_a_load_is_one_that_the_ledger_reads():
    for request in [*load.adjusts(SKUS, ["main"]), *load.mix(SKUS, 500)]:
        assert decode_command(request.value).sku == request.sku


def test_the_rows_of_a_changelog_are_rows_of_the_ledger():
    rows = [*changelog.stock_rows(100), *changelog.mixed_rows(100)]
    assert len(rows) == 200
    assert len({key for _, key, _ in rows}) == 200
    for sku, key, row in rows:
        assert key[1:].startswith(f"{sku}\0".encode())
        assert KINDS[key[0]].decode(encode_row(row)) == row


def test_percentiles_are_values_that_were_measured():
    assert summary([milliseconds / 1000 for milliseconds in range(1, 1001)]) == {
        "p50_ms": 500.0,
        "p99_ms": 990.0,
        "p999_ms": 999.0,
        "requests": 1000,
        "unanswered": 0,
    }


def test_a_request_without_an_answer_is_later_than_all_others():
    found = summary([0.001, 0.002, math.inf])
    assert (found["p50_ms"], found["p99_ms"], found["unanswered"]) == (2.0, None, 1)


async def test_latency_counts_from_the_intended_time_however_late_the_sending():
    pace = Pace(rate=1_000, seconds=0.1, warm_up_s=0.02)
    sent = []

    def send(number):
        sent.append(number)
        trial.answered(number)

    trial = Trial(pace, send)
    taken = await trial.run()
    assert sent == list(range(120))
    assert len(taken) == 100
    assert all(seconds >= 0 for seconds in taken)


def answer_nothing(_number):
    return


async def test_the_beat_begins_at_the_very_origin_that_latencies_count_from(monkeypatch):
    # However long the work before the start takes, no request may count as late for it.
    begun = []
    monkeypatch.setattr(open_loop.Metronome, "start", lambda _self, first_at: begun.append(first_at))
    monkeypatch.setattr(open_loop.Metronome, "stop", lambda _self: None)
    monkeypatch.setattr(collector.gc, "collect", lambda: time.sleep(0.2))
    trial = Trial(Pace(rate=10, seconds=0.1, warm_up_s=0.1), answer_nothing)
    monkeypatch.setattr(open_loop, "_LATE_S", 0.0)
    before = open_loop.clock()
    running = asyncio.create_task(trial.run())
    await running
    assert begun == [trial._started]
    assert begun[0] >= before + 0.2 + 0.1


async def test_a_target_that_answers_at_once_shows_a_latency_of_nothing(monkeypatch):
    # With a clock that stands at the moment a request is due.
    trial = Trial(Pace(rate=200, seconds=0.1, warm_up_s=0.0), answer_nothing)
    for number in range(20):
        monkeypatch.setattr(open_loop, "clock", lambda number=number: trial._started + number / 200)
        trial.answered(number)
    assert max(map(abs, trial._taken)) < 1e-9


async def test_a_load_generator_that_is_late_by_itself_voids_the_run(monkeypatch):
    async def late(_rate):
        return 1.5

    monkeypatch.setattr(open_loop, "own_p50_ms", late)
    with pytest.raises(VoidError, match=r"1\.5 ms late by itself"):
        await check_own_p50(200)


async def test_the_http_caller_reads_statuses_and_counts_every_answer():
    async def serve(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
            # In two pieces: an answer may arrive in parts.
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Le")
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(b"ngth: 2\r\n\r\n{}")

    def serve_until_closed(reader, writer):
        task = asyncio.ensure_future(serve(reader, writer))
        task.add_done_callback(lambda done: (done.cancelled() or done.exception(), writer.close()))

    server = await asyncio.start_server(serve_until_closed, "127.0.0.1", 0)
    caller = HttpCaller(*server.sockets[0].getsockname())
    await caller.start()
    pace = Pace(rate=500, seconds=0.1, warm_up_s=0.02)
    taken, statuses = await caller.run(pace, list(load.mix(SKUS, pace.count)))
    await caller.stop()
    server.close()
    await server.wait_closed()
    assert statuses == {201: pace.count}
    assert not any(map(math.isinf, taken))


def test_the_longest_silence_is_found_between_answers_or_up_to_now():
    probes = Probes("sku", sent_at=[0.0, 1.0, 2.0, 3.0], answered_at={0: 0.1, 1: 1.1, 2: 6.1, 3: 6.2})
    assert probes.silence(0.5, 8.0) == (1.1, 6.1)
    assert probes.silence(0.5, 20.0) == (6.2, 20.0)


def test_a_probe_without_an_answer_has_waited_until_now():
    probes = Probes("sku", sent_at=[0.0, 1.0, 2.0], answered_at={0: 0.1, 1: 1.25})
    assert probes.took_s(0.5, 8.0) == [0.25, 6.0]


def test_medians_and_ratios_are_rounded():
    assert median([1.0, 5.0, 2.00049]) == 2.0
    assert ratio(1, 3) == 0.333
    assert ratio(1, 0) is None
