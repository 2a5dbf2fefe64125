"""The web process: routes in, use cases out."""
