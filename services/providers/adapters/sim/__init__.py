"""A model that needs no network: the same question always gets the same answer, and faults come on demand.

It speaks OpenAI's chat completions as a script of bytes, pauses and endings, which the built-in provider plays in
memory (`memory`) and the stand-alone server over TCP (`server`). Whoever reads it decodes the same bytes either way.
"""
