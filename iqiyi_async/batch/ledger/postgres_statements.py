"""The longer statements of a ledger in PostgreSQL, and what several of them have in common."""

from __future__ import annotations

NOW = "clock_timestamp()"
EPOCH = f"extract(epoch FROM {NOW})::double precision"
FENCE = f"greatest(item.fence + 1, (extract(epoch FROM {NOW}) * 1000000)::bigint)"
CLAIMED = "item.n, item.fence, source, metadata, file_type, key, attempts, file_id, size"
#: Of two ways to be due each has its own index, and a lot of its own; both are locked, and the first few taken.
DUE = f"""
    held AS (
        SELECT n FROM iqiyi_batch_item WHERE batch = $1 AND state = 'held' AND expires <= {NOW}
        ORDER BY n LIMIT $2 FOR UPDATE SKIP LOCKED),
    waiting AS (
        SELECT n FROM iqiyi_batch_item WHERE batch = $1 AND state = 'waiting' AND not_before <= {NOW}
        ORDER BY n LIMIT $2 FOR UPDATE SKIP LOCKED),
    due AS (SELECT n FROM held UNION ALL SELECT n FROM waiting LIMIT $2)
"""  # noqa: S608
DUE_UPLOADED = f"""
    due AS (
        SELECT n FROM iqiyi_batch_item WHERE batch = $1 AND state = 'uploaded' AND (owner IS NULL OR expires <= {NOW})
        ORDER BY n LIMIT $2 FOR UPDATE SKIP LOCKED)
"""  # noqa: S608
HELD = "n = $1 AND fence = $2 AND owner IS NOT NULL"
ENTRY = "n, file_id, phase, entry, changed"
ADD = """
INSERT INTO iqiyi_batch_item (batch, identity, source, metadata, file_type, key, manifest, state, error)
SELECT $1, t.identity, t.source, t.metadata, t.file_type, t.key, t.manifest,
       CASE t.problem WHEN '' THEN 'waiting' ELSE 'invalid' END, t.problem
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) WITH ORDINALITY
     AS t (identity, source, metadata, file_type, key, manifest, problem, place)
ORDER BY t.place
ON CONFLICT (batch, identity) DO NOTHING
"""
#: Of what is under way only the source is changed: a URL may have a new signature.
FRESH = "(state = 'waiting' AND entry = '' OR state = 'failed' AND phase IN ('', 'sending'))"
CHANGE = f"""
UPDATE iqiyi_batch_item AS item SET source = t.source,
    metadata = CASE WHEN {FRESH} THEN t.metadata ELSE item.metadata END,
    file_type = CASE WHEN {FRESH} THEN t.file_type ELSE item.file_type END
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS t (identity, source, metadata, file_type)
WHERE batch = $1 AND item.identity = t.identity AND ({FRESH} OR state IN ('waiting', 'held'))
"""  # noqa: S608
END = f"""
UPDATE iqiyi_batch_item SET state = $3::text, attempts = $4,
    not_before = CASE WHEN $5::double precision > 0 THEN {NOW} + $5::double precision * interval '1 second'
                      ELSE '-infinity' END,
    phase = CASE $3::text WHEN 'uploaded' THEN 'finished' ELSE phase END,
    changed = CASE $3::text WHEN 'uploaded' THEN {EPOCH} ELSE changed END,
    file_id = CASE $6::text WHEN '' THEN file_id ELSE $6::text END,
    size = CASE $7::bigint WHEN 0 THEN size ELSE $7::bigint END,
    seconds = CASE $8::double precision WHEN 0 THEN seconds ELSE $8::double precision END, error = $9, hint = $10,
    owner = CASE WHEN $11::boolean THEN owner END, expires = CASE WHEN $11::boolean THEN expires END
WHERE {HELD} RETURNING 1
"""  # noqa: S608
#: One statement, and so one transaction and one round trip.
BEGIN = f"""
WITH begun AS (
    UPDATE iqiyi_batch_item SET file_id = $3, phase = $4, entry = $5, digest = $6, size = $7, changed = {EPOCH}
    WHERE {HELD} RETURNING n),
gone AS (DELETE FROM iqiyi_batch_chunk WHERE n IN (SELECT n FROM begun))
SELECT 1 FROM begun
"""  # noqa: S608
PUT_CHUNKS = """
INSERT INTO iqiyi_batch_chunk (n, file_id, first, last, md5, attempts) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (n, file_id, first) DO UPDATE SET last = EXCLUDED.last, md5 = EXCLUDED.md5, attempts = EXCLUDED.attempts
"""
RECORD = f"""
INSERT INTO iqiyi_batch_chunk (n, file_id, first, last, md5, attempts)
SELECT n, $3, $4, $5, $6, $7 FROM iqiyi_batch_item WHERE {HELD}
ON CONFLICT (n, file_id, first) DO UPDATE SET last = EXCLUDED.last, md5 = EXCLUDED.md5, attempts = EXCLUDED.attempts
RETURNING 1
"""  # noqa: S608
