"""Scripts that print the figures the project promises: `python tests/figures/NAME.py`."""
