"""State that replicas share: one port, and a store behind it for one process, one machine, or many."""
