"""The use cases, one file each; `calling` is what those that call a provider have in common."""
