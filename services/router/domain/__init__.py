"""What the router decides, touching nothing: where to ask, how often, when to stop, and what counts as an answer."""
