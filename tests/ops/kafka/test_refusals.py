"""A running service says once a minute why Kafka refuses it, and nothing else that aiokafka logs."""

import logging
import ssl

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

from ops.kafka import refusals
from ops.kafka.refusals import Refusals, log_refusals


@pytest.fixture
def logger(monkeypatch):
    logger = logging.getLogger("aiokafka")
    level = logger.level
    log_refusals()
    monkeypatch.setenv("HOLDFAST_KAFKA_SECURITY", "SASL_SSL")
    monkeypatch.setenv("HOLDFAST_KAFKA_USERNAME", "gateway")
    yield logger
    logger.setLevel(level)
    for handler in logging.getLogger().handlers:
        handler.filters = [it for it in handler.filters if not isinstance(it, Refusals)]


def test_a_refusal_is_told_once_a_minute_with_the_variable_to_look_at(logger, caplog, monkeypatch):
    refusal = SaslAuthenticationFailed("invalid credentials")
    for _ in range(3):
        logger.error('Unable connect to "%s:%s": %s', "kafka-1", 9093, refusal)
        logger.error("Unable connect to node with id %s: %s", 7, refusal)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"Kafka {where} does not know user gateway with this password; look at HOLDFAST_KAFKA_USERNAME and "
        "HOLDFAST_KAFKA_PASSWORD_FILE."
        for where in ("at kafka-1:9093", "(broker 7)")
    ]
    monkeypatch.setattr(refusals, "AGAIN_AFTER_S", 0.0)
    logger.error("Unable connect to node with id %s: %s", 7, refusal)
    assert len(caplog.records) == 3


def test_a_certificate_that_does_not_hold_is_told(logger, caplog):
    refusal = ssl.SSLCertVerificationError(1, "failed")
    refusal.verify_code, refusal.verify_message = 10, "certificate has expired"
    logger.error("Unable connect to node with id %s: %s", 7, refusal)
    assert [record.getMessage() for record in caplog.records] == ["the certificate of Kafka (broker 7) has expired."]


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "refused"), KafkaConnectionError("closed"), "text"])
def test_a_broker_that_is_away_is_left_to_the_service(logger, caplog, error):
    logger.error("Unable connect to node with id %s: %s", 7, error)
    logger.error("Unable to update metadata from %s", [7])
    logging.getLogger("aiokafka.consumer.fetcher").error("Failed fetch messages from %s: %s", 7, error)
    assert not caplog.records


@pytest.mark.usefixtures("logger")
def test_what_others_log_is_as_ever(caplog):
    logging.getLogger("aiokafkas").error("not %s", SaslAuthenticationFailed("of aiokafka"))
    assert len(caplog.records) == 1


def test_a_second_start_in_one_process_says_nothing_twice(logger, caplog):
    log_refusals()
    logger.error("Unable connect to node with id %s: %s", 7, SaslAuthenticationFailed("no"))
    assert len(caplog.records) == 1
