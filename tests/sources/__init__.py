"""Tests of the sources that are not on disk."""
