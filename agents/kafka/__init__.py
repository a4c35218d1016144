"""All code that depends on aiokafka's internals: requests it lacks, its private state, the leaders of partitions."""
