"""A relay that adds a bearer token to each request and leaves every other byte as it is, both ways."""

import socket
import threading


class Bearer:
    """`with Bearer(port, target, token):` listens on `port` of this machine, before what listens on `target`."""

    def __init__(self, port: int, target: int, token: str):
        self.port, self.target = port, target
        self.line = f"Authorization: Bearer {token}\r\n".encode()

    def __enter__(self) -> "Bearer":
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            for end in client, server:
                # An event must not wait for the acknowledgement of the one before.
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            answers.start()
            self._pass_requests_on(client, server)
            answers.join()

    def _pass_requests_on(self, client: socket.socket, server: socket.socket) -> None:
        """One request after another, for each begins with a head that the token belongs in."""
        try:
            with client.makefile("rb") as requests:
                while first := requests.readline():
                    head = [first]
                    while (line := requests.readline()).strip():
                        head.append(line)
                    server.sendall(b"".join(head) + self.line + line)
                    fields = {name.lower(): value for name, _, value in (entry.partition(b":") for entry in head[1:])}
                    assert b"transfer-encoding" not in fields, "the suite says how long its bodies are"
                    server.sendall(requests.read(int(fields.get(b"content-length", 0))))
        except OSError:
            pass
        _close(server)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while read := source.recv(65536):
            target.sendall(read)
    except OSError:
        pass
    _close(target)


def _close(end: socket.socket) -> None:
    """Closes both ways: a side that is gone is gone for the other."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
