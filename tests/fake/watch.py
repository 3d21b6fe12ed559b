# SPDX-License-Identifier: MIT
"""One watch: the lines it sends, until its time is over or the server ends it."""
import objects


class HalfLine(Exception):
    """The stream breaks off within this line."""


class Watch:
    def __init__(self, store, request, selects, bookmark_s, faults):
        self.store, self.request, self.selects, self.faults = store, request, selects, faults
        self.resource = request.resource
        self.bookmark_s = bookmark_s
        self.with_bookmarks = _is_true(request.query.get("allowWatchBookmarks"))
        self.with_initial = _is_true(request.query.get("sendInitialEvents"))
        self.timeout_s = float(request.query.get("timeoutSeconds") or 1800)
        self.since = parse_version(request.query.get("resourceVersion"))
        self._ends_with = None  # what end() wants, once it does
        self._is_ended = False

    def end(self, line=None):
        """Ends the stream, after what has happened, and one more event if given."""
        with self.store.lock:
            self._is_ended, self._ends_with = True, line
            self.store.changed.notify_all()

    def lines(self, now):
        """The events, as text, each without its newline. now() gives seconds."""
        deadline_s, bookmark_s = now() + self.timeout_s, now() + self.bookmark_s
        last, first = self._begin()
        yield from first
        while last is not None:
            changes, last, is_ended = self._next(last, min(deadline_s, bookmark_s), now)
            for change in changes:
                if fault := self.faults.of_watch(self.request):
                    if fault.kind == "watch-half":
                        raise HalfLine(_event(*change))
                    yield from [gone_line(self.store)] if fault.kind == "watch-410" else []
                    return
                yield _event(*change)
            if is_ended:
                yield from [self._ends_with] if self._ends_with else []
                return
            is_over = now() >= deadline_s
            if not changes and (is_over or now() >= bookmark_s):
                yield from [self._bookmark(last)] if self.with_bookmarks else []
                bookmark_s = now() + self.bookmark_s
            if is_over:
                return

    def _next(self, last, until_s, now):
        """(what happened since last and is selected, the version now, is this the end)."""
        with self.store.lock:
            if self.store.version == last and not self._is_ended:
                self.store.changed.wait(max(until_s - now(), 0))
            seen = [c.seen_by(self.selects) for c in self._changes_after(last)]
            return [s for s in seen if s], self.store.version, self._is_ended

    def _begin(self):
        """The version to go on from (None to stop) and what is sent first."""
        with self.store.lock:
            if self.since:
                if self.since < self.store.compacted:
                    return None, [self._too_old()]
                return self.since, []
            first = [_event("ADDED", d) for d in self.store.list(self.resource) if self.selects(d)]
            if self.with_initial:
                first.append(self._bookmark(self.store.version,
                                            {"k8s.io/initial-events-end": "true"}))
            return self.store.version, first

    def _changes_after(self, version):
        found = []
        for change in reversed(self.store.history):
            if change.version <= version:
                break
            if change.resource == self.resource:
                found.append(change)
        return found[::-1]

    def _too_old(self):
        return _error(f"too old resource version: {self.since} ({self.store.compacted})")

    def _bookmark(self, version, annotations=None):
        metadata = {"resourceVersion": str(version)}
        if annotations:
            metadata["annotations"] = annotations
        kind = {"pods": "Pod", "nodes": "Node", "events": "Event"}[self.resource]
        document = {"kind": kind, "apiVersion": "v1", "metadata": metadata}
        if kind == "Pod":
            document.update(spec={"containers": None}, status={})
        return _event("BOOKMARK", document)


def gone_line(store):
    return _error(f"too old resource version: 1 ({store.compacted})")


def parse_version(text):
    """0 for none; the answer to a bad one is a 500 without a reason, as recorded."""
    if not text:
        return 0
    if not text.isdecimal():
        raise objects.failure(500, None, f'resourceVersion: Invalid value: "{text}": '
                              f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def _error(message):
    return _event("ERROR", objects.failure(410, "Expired", message).body)


def _event(kind, document):
    return objects.compact({"type": kind, "object": document})


def _is_true(text):
    return text in ("1", "true")
