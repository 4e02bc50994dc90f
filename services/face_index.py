"""Who is nearest: all that one owner registered with one model as a matrix in memory, searched whole.

An index is loaded once and then follows the database by its version, so it is right whoever writes: each
search asks for one row first. Products in float32 find who may be nearest, distances in float64 who is.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services import face_store
from services.database import Database
from services.face_store import Changes

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, Any]

BYTES_A_NUMBER = 4
MOST_BYTES = 2**30
LEAST_ROOM = 64
# A sum of n products in float32 is off by n half units in the last place at most; twice, and as much again.
SLACK_UNITS = 4


@dataclass(frozen=True, slots=True)
class Nearest:
    """Who is nearest to a face, and how far their embeddings are apart."""

    face_id: str
    distance: float


@dataclass(slots=True)
class _Rows:
    """Embeddings, the squares of their lengths, their versions, and whose they are; *count* rows are filled."""

    matrix: "Matrix"
    squares: "Matrix"
    versions: "Matrix"
    face_ids: list[str]
    count: int

    def shown(self) -> "_Rows":
        """The rows as they are now: later ones go where nobody who has this reads."""
        filled = slice(self.count)
        return _Rows(self.matrix[filled], self.squares[filled], self.versions[filled], self.face_ids, self.count)

    def append(self, photos: list[tuple[int, str, bytes]]) -> None:
        import numpy as np

        rows = slice(self.count, self.count + len(photos))
        added = np.frombuffer(b"".join(embedding for _, _, embedding in photos), "<f4").reshape(len(photos), -1)
        self.matrix[rows] = added
        self.squares[rows] = np.einsum("ij,ij->i", added, added, dtype=np.float64)
        self.versions[rows] = [version for version, _, _ in photos]
        self.face_ids += [face_id for _, face_id, _ in photos]
        self.count += len(photos)

    def without(self, gone: list[int]) -> "_Rows":
        """The rows but for those versions, in arrays of their own: a search may still read the old ones."""
        import numpy as np

        left = np.flatnonzero(~np.isin(self.versions[: self.count], gone))
        face_ids = [self.face_ids[row] for row in left.tolist()]
        return _Rows(self.matrix[left], self.squares[left], self.versions[left], face_ids, len(left))

    def with_room(self, more: int) -> "_Rows":
        """These rows with room for *more*: the first load takes what it needs, later ones double what there is."""
        if self.count + more <= len(self.matrix):
            return self
        room = max(self.count + more, 2 * self.count, LEAST_ROOM)
        grown = _empty(room, self.matrix.shape[1])
        filled = slice(self.count)
        grown.matrix[filled], grown.squares[filled] = self.matrix[filled], self.squares[filled]
        grown.versions[filled], grown.face_ids, grown.count = self.versions[filled], self.face_ids, self.count
        return grown


def _empty(room: int, width: int) -> _Rows:
    import numpy as np

    return _Rows(np.empty((room, width), np.float32), np.empty(room, np.float32), np.empty(room, np.int64), [], 0)


class _Index:
    """The embeddings of one owner and one model. `refreshed()` may be called from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = self._removals = 0
        self._rows: _Rows | None = None

    @property
    def size_bytes(self) -> int:
        rows = self._rows
        return rows.matrix.nbytes + rows.squares.nbytes + rows.versions.nbytes if rows else 0

    def refreshed(self, owner: str, model: str, database: Database) -> _Rows | None:
        """What the database has now; None when that is nothing."""
        with self._lock:
            changes = face_store.changes(owner, model, self._version, self._removals, database=database)
            if changes:
                self._follow(changes)
            return self._rows.shown() if self._rows and self._rows.count else None

    def _follow(self, changes: Changes) -> None:
        if changes.anew:
            self._rows = None
        if self._rows and changes.gone:
            self._rows = self._rows.without(changes.gone)
        if changes.photos:
            rows = self._rows or _empty(0, len(changes.photos[0][2]) // BYTES_A_NUMBER)
            self._rows = rows.with_room(len(changes.photos))
            self._rows.append(changes.photos)
        self._version, self._removals = changes.version, changes.removals


class FaceIndexes:
    """Every index that is in memory; the longest unused leave when they take more than *most_bytes* together."""

    def __init__(self, database: Database, *, most_bytes: int = MOST_BYTES) -> None:
        self._database = database
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._indexes: OrderedDict[tuple[str, str], _Index] = OrderedDict()

    def nearest(self, owner: str, model: str, embeddings: list[bytes]) -> list[Nearest | None]:
        """Who of *owner*'s persons is nearest to each of *embeddings*; None when nobody is registered.

        Exact, and as new as the database at the call. Safe from many threads and beside other processes.
        """
        import numpy as np

        shown = self._index(owner, model).refreshed(owner, model, self._database)
        self._make_room()
        if shown is None:
            return [None] * len(embeddings)
        # One after another: a product with eight at once took twice as long as eight with one.
        return [_search(shown, np.frombuffer(embedding, "<f4")) for embedding in embeddings]

    @property
    def size_bytes(self) -> int:
        """How much memory the indexes take."""
        return sum(index.size_bytes for index in list(self._indexes.values()))

    def _index(self, owner: str, model: str) -> _Index:
        with self._lock:
            index = self._indexes.setdefault((owner, model), _Index())
            self._indexes.move_to_end((owner, model))
            return index

    def _make_room(self) -> None:
        with self._lock:
            while len(self._indexes) > 1 and self.size_bytes > self._most_bytes:
                self._indexes.popitem(last=False)


def _search(shown: _Rows, asked: "Matrix") -> Nearest:
    import numpy as np

    # The square of what is asked adds the same to each distance, so it is left out.
    squared = shown.squares - 2 * (shown.matrix @ asked)
    longest = float(np.sqrt(shown.squares.max()))
    scale = longest * (longest + 2 * float(np.linalg.norm(asked)))
    slack = SLACK_UNITS * len(asked) * float(np.finfo(np.float32).eps) * scale
    near = np.flatnonzero(squared <= squared.min() + slack)
    distances = np.linalg.norm(shown.matrix[near].astype(np.float64) - asked.astype(np.float64), axis=1)
    best = int(distances.argmin())
    return Nearest(shown.face_ids[int(near[best])], float(distances[best]))
