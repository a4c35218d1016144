"""Commands go in as JSON lines, results and stock changes come out, and a SKU's stock can be asked for."""

import json
import signal
import subprocess
import sys
import uuid

import pytest

from ops.send import Answers, LineRefused, checked, unchecked


@pytest.fixture
def sku():
    return f"SKU {uuid.uuid4().hex[:12]}"


def lines(*commands):
    return "".join(json.dumps(command) + "\n" for command in commands)


def adjust(sku, delta, **fields):
    given = {"command_id": uuid.uuid4().hex, "type": "adjust", "sku": sku, "warehouse": "leeds", "reason": "receipt"}
    return {**given, "delta": delta, **fields}


def reserve(sku, quantity, **fields):
    given = {"command_id": uuid.uuid4().hex, "type": "reserve", "sku": sku, "reservation_id": uuid.uuid4().hex}
    return {**given, "quantity": quantity, **fields}


def results_of(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_send_waits_and_prints_the_results_in_the_order_of_the_lines(holdfast, answering, sku):
    skus = [f"{sku} {number}" for number in range(20)]
    commands = [command for each in skus for command in (adjust(each, 10), reserve(each, 3))]
    result = holdfast("send", "--wait", "--bootstrap", answering, given=lines(*commands))
    assert result.exit_code == 0
    assert [each["command_id"] for each in results_of(result)] == [command["command_id"] for command in commands]
    assert {each["status"] for each in results_of(result)} == {"accepted"}
    assert "40 sent" in result.stderr


def test_the_same_line_twice_gets_two_results_of_which_one_is_replayed(holdfast, answering, sku):
    command = adjust(sku, 10)
    result = holdfast("send", "--wait", "--bootstrap", answering, given=lines(command, command))
    assert [each["replayed"] for each in results_of(result)] == [False, True]


def test_a_rejected_command_is_an_answer_like_any_other(holdfast, answering, sku):
    result = holdfast("send", "--wait", "--bootstrap", answering, given=lines(adjust(sku, 1), reserve(sku, 2)))
    assert result.exit_code == 0
    assert results_of(result)[1]["code"] == "insufficient_stock"


def test_lines_that_are_no_command_are_named_and_not_sent(holdfast, answering, sku):
    wrong = adjust(sku, 0)
    given = "not json\n\n" + lines(wrong, {"type": "tick"}, adjust(sku, 4))
    result = holdfast("send", "--wait", "--bootstrap", answering, given=given)
    assert result.exit_code == 1
    assert "line 1: not a command: malformed" in result.stderr
    assert (
        "line 3: not a command: invalid_field (field delta): delta must not be 0. All fields: docs/contract.md"
        in result.stderr
    )
    assert "line 4: a tick" in result.stderr
    assert len(results_of(result)) == 1
    assert "1 sent, 3 refused" in result.stderr


def test_unchecked_lines_are_sent_and_refused_by_the_ledger(holdfast, answering, sku):
    given = lines(adjust(sku, 0)) + "not json\n"
    result = holdfast("send", "--no-check", "--wait", "--bootstrap", answering, given=given)
    assert result.exit_code == 0
    assert [(each["code"], each["field"]) for each in results_of(result)] == [("invalid_field", "delta")]
    assert "2 sent" in result.stderr
    assert (
        "line 1: sent as it is, but not a command: invalid_field (field delta): delta must not be 0." in result.stderr
    )


def test_without_a_worker_waiting_ends_with_advice(holdfast, bootstrap, sku):
    result = holdfast("send", "--wait", "--timeout", "1", "--bootstrap", bootstrap, given=lines(adjust(sku, 1)))
    assert result.exit_code == 2
    assert "Does a worker run" in result.stderr


def test_stock_shows_every_row(holdfast, answering, sku):
    commands = (adjust(sku, 10), adjust(sku, 5, warehouse="york"), reserve(sku, 3, reservation_id="cart-77"))
    holdfast("send", "--wait", "--bootstrap", answering, given=lines(*commands))
    result = holdfast("stock", sku, "--bootstrap", answering, "--json")
    assert result.exit_code == 0
    available = {row["warehouse"]: row["available"] for row in json.loads(result.stdout)["stock"]}
    assert available == {"leeds": 7, "york": 5}
    table = holdfast("stock", sku, "--reservation", "cart-77", "--bootstrap", answering).stdout
    assert [line.split()[0] for line in table.splitlines()[2:5]] == ["leeds", "york", "total"]
    assert "3 in leeds" in table


def test_stock_and_tail_show_what_channels_hold_under_their_caps(holdfast, answering, sku):
    commands = [
        {"type": "set_policy", "command_id": "p", "channel": "web", "cap": 9},
        {"type": "adjust", "command_id": "a", "warehouse": "leeds", "delta": 5, "reason": "receipt"},
        {"type": "reserve", "command_id": "r", "reservation_id": "cart", "quantity": 3, "channel": "web"},
    ]
    lines = "\n".join(json.dumps(command | {"sku": sku}) for command in commands)
    assert holdfast("send", "--wait", "--bootstrap", answering, given=lines).exit_code == 0
    table = holdfast("stock", sku, "--bootstrap", answering).stdout
    assert [line.split() for line in table.splitlines() if "web" in line] == [["web", "3", "0"]]
    pretty = holdfast("tail", "stock-changes", "--from-beginning", "--sku", sku, "-n", 3, "--bootstrap", answering)
    assert f"{sku}/ " in pretty.stdout
    assert "-> web holds 3" in pretty.stdout


def test_stock_of_an_unknown_sku_exits_with_1(holdfast, answering, sku):
    result = holdfast("stock", sku, "--bootstrap", answering)
    assert result.exit_code == 1
    assert f"SKU '{sku}' is unknown" in result.stderr


def test_a_reservation_that_is_unknown_exits_with_1(holdfast, answering, sku):
    holdfast("send", "--wait", "--bootstrap", answering, given=lines(adjust(sku, 1)))
    result = holdfast("stock", sku, "--reservation", "no-such", "--bootstrap", answering)
    assert result.exit_code == 1
    assert "reservation 'no-such'" in result.stderr


def test_a_sku_that_cannot_be_one_is_refused_before_it_is_sent(holdfast, bootstrap):
    result = holdfast("stock", "x" * 65, "--bootstrap", bootstrap)
    assert result.exit_code == 2
    assert "sku cannot be" in result.stderr


def test_tail_prints_what_was_published(holdfast, answering, sku):
    command = adjust(sku, 10, reference="po-1")
    holdfast("send", "--wait", "--bootstrap", answering, given=lines(command, adjust(f"{sku} other", 1)))
    found = holdfast("tail", "results", "--from-beginning", "--sku", sku, "-n", 1, "--json", "--bootstrap", answering)
    assert json.loads(found.stdout)["command_id"] == command["command_id"]
    pretty = holdfast("tail", "stock-changes", "--from-beginning", "--sku", sku, "-n", 1, "--bootstrap", answering)
    assert "on_hand +10" in pretty.stdout
    assert "10 available of 10" in pretty.stdout
    assert "po-1" in pretty.stdout
    readable = holdfast("tail", "results", "--from-beginning", "--sku", sku, "-n", 1, "--bootstrap", answering)
    assert "leeds: 10 available of 10" in readable.stdout


def test_answers_are_put_into_the_order_of_the_lines():
    printed = []
    answers = Answers(printed.append)
    for command_id in ("a", "b", "a"):
        answers.expect(command_id, "X")

    def receive(command_id, seq):
        return answers.receive_result(json.dumps({"command_id": command_id, "sku": "X", "seq": seq}).encode())

    assert not receive("b", 1)
    assert not receive("stranger", 2)
    assert receive("a", 3)
    assert receive("a", 4)
    assert [json.loads(line)["seq"] for line in printed] == [3, 1, 4]
    assert len(answers) == 0


def test_an_unchecked_line_that_tells_no_sku_is_sent_without_key():
    assert unchecked(b"junk").sku is None
    assert unchecked(b'{"command_id":"a b","sku":"X"}').sku is None
    assert unchecked(b'{"command_id":"a","sku":"X","type":1}').sku == "X"


def test_a_checked_line_is_sent_as_it_stands():
    value = b'{ "type":"query", "command_id":"a", "sku":"X" }'
    assert checked(value).value == value
    with pytest.raises(LineRefused):
        checked(b"[]")


def test_tail_ends_when_nobody_reads_it_any_more(holdfast, answering, sku):
    holdfast("send", "--wait", "--bootstrap", answering, given=lines(adjust(sku, 10)))
    command = [sys.executable, "-m", "ops.cli", "tail", "results", "--from-beginning", "--bootstrap", answering]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        tail.stdout.readline()
        tail.stdout.close()
        assert tail.wait(20) == 0
        assert tail.stderr.read() == b""


def test_send_answers_each_line_while_the_input_goes_on(answering, sku):
    command = [sys.executable, "-m", "ops.cli", "send", "--wait", "--bootstrap", answering]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as send:
        for _ in range(2):
            given = adjust(sku, 1)
            send.stdin.write(lines(given).encode())
            send.stdin.flush()
            assert json.loads(send.stdout.readline())["command_id"] == given["command_id"]
        send.send_signal(signal.SIGINT)
        assert send.wait(20) == 130
        assert send.stderr.read() == b""
