"""One file for each thing outside the process. Only `bootstrap` knows their classes."""
