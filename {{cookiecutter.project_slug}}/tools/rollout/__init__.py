"""Releases, rollbacks and lanes on Kubernetes: plans as data, and kubectl to carry them out."""

from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as it is in JSON."""


class Refused(Exception):
    """Nothing was done: one line that names the thing, its value, and what to do."""
