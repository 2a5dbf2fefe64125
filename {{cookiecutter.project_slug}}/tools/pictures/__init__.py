"""The pictures of the documents, made of what really runs, by `make pictures`."""
