"""The doors, each a thin process of its own. None imports another, but the CLI starts them all."""
