"""Speaking to model providers."""
