"""A name server for a check, at an address of loopback that is its own."""

import socket
import struct
import threading

A = 1
NO_SUCH_NAME = 3


class Server:
    """Answers what `names` has, and that there is no other name. `asked` is what it was asked for."""

    # Port 53 of an address that nobody else has taken.
    address = "127.0.53.7"

    def __enter__(self):
        self.names, self.asked = {}, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.address, 53))
        self.thread = threading.Thread(target=self.answer_all)
        self.thread.start()
        return self

    def __exit__(self, *_):
        # Shutting down wakes whoever waits on it, though it is not connected.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join()
        self.socket.close()

    def answer_all(self):
        while True:
            query, peer = self.socket.recvfrom(512)
            if not query:
                return
            self.socket.sendto(self.answer(query), peer)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        name, (kind,) = ".".join(labels), struct.unpack_from("!H", query, at + 1)
        self.asked.append(name)
        address = self.names.get(name)
        records = b""
        if address and kind == A:
            records = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4) + socket.inet_aton(address)
        flags = 0x8180 | (0 if address else NO_SUCH_NAME)
        head = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if records else 0, 0, 0)
        return head + query[12 : at + 5] + records
