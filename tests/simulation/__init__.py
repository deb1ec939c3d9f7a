"""Whole uploads in virtual time, against a service in the same process, under random faults: thousands a minute.

    python -m tests.simulation --seed 4711        one run again, told step by step
    python -m tests.simulation --runs 10000       many runs

clock     an event loop whose time jumps to the next timer
service   the emulator's rules, without sockets, threads and disk
network   what happens to requests on their way
script    what a seed leads to
world     one run: a client after the other, and what must hold whatever happened
outage    how many requests a client makes when nothing gets through
"""
