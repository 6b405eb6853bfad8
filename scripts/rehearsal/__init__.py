"""The rehearsal: a small, complete nation on one machine, in network namespaces of its own."""
