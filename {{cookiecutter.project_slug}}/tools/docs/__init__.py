"""The pages of the project: made a site by `make docs`, and walked by the tests as they stand."""
