"""How the world outside is spoken to: dialects, transports and credentials, each apart from the others."""
