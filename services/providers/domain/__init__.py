"""What a call to a provider is, and what can become of it: pure, and of no dialect."""
