"""Benchmarks of iqiyi_async against what people would write without it; see README.md beside this file.

They are run from a checkout with ``python -m benchmarks`` and are not part of the installed package.
"""
