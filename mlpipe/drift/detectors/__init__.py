"""One test, one file: a function and its descriptor."""
