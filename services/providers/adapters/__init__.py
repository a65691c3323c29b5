"""How the world outside is spoken to: dialects, transports and credentials, each apart from the others.

A new dialect is one module here with the face of `ports.Dialect` (`openai` is the example; a folder once it outgrows a
screenful), a line in `bootstrap`, and a folder of fixtures under `tests/providers/fixtures/`.
"""
