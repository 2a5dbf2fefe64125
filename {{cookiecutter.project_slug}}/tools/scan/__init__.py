"""Known weaknesses: in the code, in what git keeps, in migrations, in what is depended on."""


class MissingTool(Exception):
    """Not on this machine: a laptop goes on without it, a pipeline does not."""
