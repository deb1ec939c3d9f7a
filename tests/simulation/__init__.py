"""Whole uploads in virtual time, against a service in the same process, under random faults: thousands a minute.

    python -m tests.simulation --seed 4711        one run again, told step by step
    python -m tests.simulation --runs 10000       many runs

clock     an event loop whose time jumps to the next timer
service   the emulator's rules, without sockets, threads and disk
network   what happens to requests on their way
world     one run: a source, a client or several, faults, crashes
checks    what must hold whatever happened
"""
