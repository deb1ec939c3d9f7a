"""Where the bytes of an upload come from. Read `base` first: what every source promises.

sources      what callers hand in, made a source
file_source  files; file_access is what threads do with them, open_files the bound of those that are open
streams      streams, gathered in memory that all of them share (memory)
gathering    bytes that are handed in piece by piece, by the web gateway
resources    what the sources of all uploads share: threads, open files, memory
"""
