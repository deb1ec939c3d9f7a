"""The words: errors, values, options and their checks."""
