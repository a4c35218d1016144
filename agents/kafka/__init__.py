"""The one place that knows aiokafka from inside: requests it lacks, its private state, who leads which partition."""
