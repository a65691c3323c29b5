"""Tests run on gRPC as the command line sets it up, which has to happen before grpc is first imported."""

import tollway_cli

assert tollway_cli.__doc__
