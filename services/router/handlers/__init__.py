"""The router's use cases, one a file, and the two things they are made of: an operation and its attempts."""
