"""Tests of the benchmark itself: a figure is worth as much as the thing that measured it."""
