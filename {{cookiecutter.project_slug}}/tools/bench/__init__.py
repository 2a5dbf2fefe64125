"""`make bench`: every figure that is claimed of this service, measured here against its bound."""
