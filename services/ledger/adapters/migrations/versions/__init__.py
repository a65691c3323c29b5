"""`vNNNN_what_it_does.py`, whose revision is NNNN; the last one's is `schema.HEAD`."""
