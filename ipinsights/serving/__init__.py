"""The endpoint: an ASGI application that scores requests, and the server that runs it."""
