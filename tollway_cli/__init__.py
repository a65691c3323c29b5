"""The command line."""

import os

# Without its event engine, gRPC reads and writes sockets in the thread that waits for completions, instead of handing
# everything from thread to thread. It reads this once, while it is imported: hence here, before anything imports it.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
