"""Tests of the stores: the public contracts, and what each store does on its own account."""
