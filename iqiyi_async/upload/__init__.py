"""One upload, from a source to a published video.

engine     one upload's life
sending    all its ranges, in parallel; flight is one of them under way, chunk is one of them sent once
finish     the end of an upload, once and only once
journal    what survives a crash; proof tells whether the source is still the same
progress   how far it is
pool       the lanes that all uploads of a client share
pace       how long ranges take, and when one is late; tuning decides how large and how many they are
plan       which ranges are still to be sent: arithmetic only
inputs     what callers hand in, as a source: files, streams
byhand     one range, for those who make the journey themselves
"""
