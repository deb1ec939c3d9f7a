"""One upload, from a source to a published video. Read `upload` first, then `transfer`.

uploads       all uploads of a client: started, counted, drained
handle        an upload in hand: awaited, watched, paused, cancelled
range_writer  an upload whose bytes are handed in piece by piece, for the web gateway; prefix is how far it is
many          any number of items, a few at a time
upload        one upload's life: begin or go on, describe, send, finish
transfer      all ranges of an upload; range_attempt is one of them, routes their addresses, ranges arithmetic
finish        the end of an upload, said once
progress      how far it is, and what it waits for
reading       where the bytes come from: what callers hand in, files, streams
journal       the claim of an upload (claim, lease), what is written down when (session), where it goes on (resume)
sharing       what all uploads share: workers, bandwidth and its timetable; adaptive says how large ranges are and how
              many travel at once, latency when one is late
"""
