"""What may be booked, at which price, and in which order: pure functions."""
