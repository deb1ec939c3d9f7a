"""One upload, from a source to a published video. Read `upload` first, then `transfer`.

uploads          all uploads of a client: started, counted, drained
handle           an upload in hand: awaited, watched, paused, cancelled
range_writer     an upload whose bytes are handed in piece by piece, for the web gateway; prefix is how far it is
many             any number of items, a few at a time
upload           one upload's life: begin or go on, describe, send, finish
resume           what an earlier run has left, and whether the bytes are a video already
transfer         all ranges of an upload; range_attempt is one of them, routes their addresses, ranges arithmetic
finish           the end of an upload, said once
journal_session  the lease, and what is written into the journal when
progress         how far it is, and what it waits for
workers          the workers that all uploads share; bandwidth says how fast they may be
adaptive         how large ranges are and how many travel at once; latency says when one is late
reading          where the bytes come from: what callers hand in, files, streams
"""
