"""The Faust app: batched transport, inventory agent, transaction client, partition protocol, worker."""
