"""Going through the pages of a list that changes meanwhile, so that no entry is missed and none is given twice.

A page may be short although more follow (videos that are not approved are left out; a service may give fewer than it
was asked for), and the count may be missing or mean the page. So a list ends at an empty page, or where a count that is
believed ends: when as many entries were seen, and as many places were looked at. Where that count fell, entries have
moved to pages that were read already, and those are read again. Without such a count, or where entries came in
meanwhile and hide how many have gone, the whole list is read again until it brings nothing new.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from .models import Video, VideoPage

#: So many pages in a row without anything new end a list whose service repeats itself.
STALE_PAGES = 3
#: So many pages at most are looked at in search of ids.
MOST_PAGES = 100


async def pages(look: Callable[[int], Awaitable[VideoPage]]) -> AsyncIterator[Video]:
    """Every entry of a list, once.

    Args:
        look: gets a page by its number, from 1.
    """
    seen: set[str] = set()
    page, furthest, most, last, stale, longest = 1, 0, 0, 0, 0, 1
    lowest: int | None = None
    believed = news = news_this_time = unsure = again = False
    while True:
        found = await look(page)
        before = len(seen)
        # Entries that come up once more were moved by others that came in; so does a count that rises.
        if found.total > last > 0 or (page > furthest and any(video.file_id in seen for video in found.videos)):
            unsure = True
        if found.videos and not found.total:
            unsure = True
        for video in found.videos:
            if video.file_id not in seen:
                seen.add(video.file_id)
                yield video
        new = len(seen) > before
        news, news_this_time = news or new, news_this_time or new
        # A page that is read again is expected to bring nothing new.
        stale = 0 if new else stale + (page > furthest)
        furthest = max(furthest, page)
        longest = max(longest, len(found.videos))
        most = max(most, found.total)
        # A count that is greater than its page can't mean the page.
        believed = believed or found.total > len(found.videos)
        fell, last = last - found.total, found.total
        if believed and fell > 0 and page > 1 and (news or lowest is None or found.total < lowest):
            back = -(-fell // longest)
            page, news, lowest = max(1, page - back), False, found.total
            continue
        more = believed and page * longest < found.total
        whole = believed and not more and (again or len(seen) >= most)
        if whole or not found.videos or stale >= STALE_PAGES:
            if (believed and not unsure) or page == 1 or not news_this_time:
                return
            # No count tells whether entries have moved meanwhile: again, until there is nothing new.
            page, news_this_time, stale, unsure, again = 1, False, 0, False, True
            continue
        page += 1


async def pages_of_some(look: Callable[[int], Awaitable[VideoPage]], file_ids: tuple[str, ...]) -> AsyncIterator[Video]:
    """The entries of some ids, each once, as far as the list has them.

    A service may choose the ids before it cuts the list into pages, or after, or not at all: then a page without any
    of them comes before pages that have some.

    Args:
        look: gets a page by its number, from 1.
        file_ids: which; no more than one request takes.
    """
    wanted = frozenset(file_ids)
    missing, seen = set(wanted), set[str]()
    page = stale = longest = 0
    while missing and page < MOST_PAGES:
        page += 1
        found = await look(page)
        before = len(seen)
        for video in found.videos:
            seen.add(video.file_id)
            if video.file_id in missing:
                missing.remove(video.file_id)
                yield video
        stale = stale + 1 if found.videos and len(seen) == before else 0
        longest = max(longest, len(found.videos))
        # Where others are given too, the pages show how long they are; else the service may have left others out.
        unit = found.page_size if seen <= wanted else longest
        nothing_yet = len(missing) == len(wanted)
        more = page * unit < found.total
        if stale >= STALE_PAGES or (not found.videos and not (more and nothing_yet)):
            return
