"""The Kafka that Holdfast brings along, its topics, and what `doctor` finds out about a cluster."""
