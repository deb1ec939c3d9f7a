"""The platform's protocol, pure: no I/O, no clock, no await.

One function per documented operation returns a frozen `Call`: the request, and how to read its answer. Build and
decode stand side by side, so that the whole of it can be tested with literal bytes, out and in, without an event
loop.

    wire      what a call, a request and an answer are; where a secret goes
    fields    an answer's bytes into JSON fields and values: what is tolerated
    answers   an answer's status and code into errors: what a code means where
    hosts     which host may be given what
    oauth     sections 2 and 3: authorize, refresh
    uploads   section 1: request, chunk, finish, cancel, metadata
    videos    sections 4 to 7: status, list, URLs, delete
"""
