"""The tests: a package, so that running them from the checkout finds the library beside them."""
