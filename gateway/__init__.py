"""HTTP beside Kafka: requests become commands, results become answers, availability comes from a local view."""
