"""What the pipelines do, the same for GitHub and GitLab: build, deploy, ask, record, tell."""


class Refused(Exception):
    """Nothing was done: one line that names the thing, its value, and what to do."""
