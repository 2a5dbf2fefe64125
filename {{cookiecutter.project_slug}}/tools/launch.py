"""The service's own command line, with the agents of this folder beside those of the package."""

from pathlib import Path

from {{ cookiecutter.package_name }} import agents
from {{ cookiecutter.package_name }}.entrypoints.cli import main

agents.__path__.append(str(Path(__file__).parent / "agents"))
main()
