"""The in-process channel: calls between services of one process, with neither sockets nor serialisation."""
