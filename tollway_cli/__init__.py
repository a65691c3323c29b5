"""The command line."""

import os

# Without its event engine, gRPC reads and writes sockets in the thread that waits for completions, instead of handing
# everything from thread to thread. It reads this once, while it is imported: hence here, before anything imports it.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
# Processes that are forked here become other programs at once; gRPC has nothing to prepare, and would say so each time.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
