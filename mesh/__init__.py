"""The kernel: what every service stands on, and no service in particular."""
