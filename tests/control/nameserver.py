"""A name server for tests: answers over UDP what the test has written down."""

from __future__ import annotations

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer:
    """`records` are, by name and type, a TTL and values as in a zone file: {("app.test.", "A"): (5, ["127.0.0.1"])}.

    What is not there does not exist (NXDOMAIN), or has no such record if the name has another. `asked` counts.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.silent = False
        # Questions that are not answered, and those that are answered with an error (SERVFAIL).
        self.ignored: set[tuple[str, str]] = set()
        self.broken: set[tuple[str, str]] = set()
        self.asked = 0
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.port: int = self._sock.getsockname()[1]
        self.text = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, client = self._sock.recvfrom(4096)
            if not data:
                return
            self.asked += 1
            question = dns.message.from_wire(data)
            if not self.silent and asked_for(question) not in self.ignored:
                self._sock.sendto(self.answer(question).to_wire(), client)

    def answer(self, question: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        asked = question.question[0]
        name, kind = asked_for(question)
        ttl, values = self.records.get((name, kind), (0, []))
        if (name, kind) in self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif values:
            answer.answer.append(dns.rrset.from_text(asked.name, ttl, "IN", kind, *values))
        elif not any(known == name for known, _kind in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._sock.close()
        assert not self._thread.is_alive()


def asked_for(question: dns.message.Message) -> tuple[str, str]:
    asked = question.question[0]
    return asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)
