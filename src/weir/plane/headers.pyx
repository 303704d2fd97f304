"""The fields of a message as Python functions see them: read where the head stands, written through its edits."""

cimport cython
from libc.stdint cimport uint32_t

from weir.plane.answer cimport checked_value, good_name
from weir.plane.edits cimport Edits
from weir.plane.head cimport Field, Head


@cython.freelist(16)
cdef class Headers:
    """The fields of a message, in order; names in any case.

    `headers["name"]` is the value, of several lines joined by ", " (RFC 9110 section 5.3); `get_all()` is for fields
    that cannot be joined (Set-Cookie). Changes hold for what is forwarded. KeyError for a field that there is not,
    ValueError for a name or a value that cannot be one, or a field that only weir writes (framing, Connection, Via,
    X-Forwarded-*). RuntimeError when the message has gone on, or its exchange is over.
    """

    def __getitem__(self, str name not None):
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __setitem__(self, str name not None, str value not None):
        cdef tuple checked = self._checked(name)
        self.message.edits().set_field(<bytes>checked[0], <bytes>checked[1], checked_value(value))

    def __delitem__(self, str name not None):
        cdef tuple checked = self._checked(name)
        if name not in self:
            raise KeyError(name)
        self.message.edits().remove_field(<bytes>checked[1])

    def __contains__(self, name):
        return bool(self.get_all(name))

    def __iter__(self):
        return iter(dict.fromkeys([name.lower() for name, _ in self.items()]))

    def __len__(self):
        return len({name.lower() for name, _ in self.items()})

    def __repr__(self):
        return f"Headers({self.items()!r})"

    def get(self, str name not None, default=None):
        """The value, as `headers[name]`; `default` if there is none."""
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def get_all(self, str name not None) -> list[str]:
        """The values of all lines of that name, in order."""
        wanted = name.lower()
        return [value for key, value in self._lines() if key.lower() == wanted]

    def items(self) -> list[tuple[str, str]]:
        """(name, value) of every line, in order, as they are forwarded."""
        return self._lines()

    def add(self, str name not None, str value not None) -> None:
        """One more line, behind the others."""
        self.message.edits().add_field(<bytes>self._checked(name)[0], checked_value(value))

    def remove(self, str name not None) -> None:
        """Takes every line of that name out; nothing happens if there is none."""
        self.message.edits().remove_field(<bytes>self._checked(name)[1])

    cdef tuple _checked(self, str name):
        """The name of a field that hooks may write: as it is, and in lower case."""
        cdef dict good = self.message.good_names()
        known = good.get(name)
        return <tuple>known if known is not None else good_name(name, self.message.reserved(), good)

    cdef list _lines(self):
        cdef const char* p = NULL
        cdef const Head* head = self.message.parsed(&p)
        cdef Edits edits = self.message.edits_if_any()
        cdef const Field* field
        cdef uint32_t i
        cdef bytes name
        lines = []
        for i in range(head.field_count):
            field = &head.fields[i]
            if field.drop:
                continue
            name = p[field.name:field.name + field.name_length]
            if edits is not None and edits.drops and edits.drops_name(name.lower()):
                continue
            lines.append((name.decode("latin-1"), p[field.value:field.value + field.value_length].decode("latin-1")))
        if edits is not None and edits.lines:
            for line in bytes(edits.lines).decode("latin-1").removesuffix("\r\n").split("\r\n"):
                key, _, value = line.partition(": ")
                lines.append((key, value))
        return lines
