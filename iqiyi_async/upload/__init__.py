"""One upload, from a source to a published video.

plan       which ranges are still to be sent: arithmetic only
source     where the bytes come from, and whether they are still the same
pool       the lanes that all uploads of a client share
progress   how far it is
journal    what survives a crash
finish     the end of an upload, once and only once
engine     one upload's life
"""
