"""What every server does around every call: telemetry, errors, draining."""
