"""The embedded Kafka, the topics, and the checks of `doctor`."""
