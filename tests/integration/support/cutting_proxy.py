"""A TCP proxy that can cut a connection around one message, as a failing network would."""

import contextlib
import select
import socket
import threading


class CuttingProxy:
    """Use as `with CuttingProxy(host, port) as proxy:`; connect to 127.0.0.1:proxy.port. It passes
    everything on, until it is told to cut the next connection that sends a certain text."""

    def __init__(self, host, port):
        self.target = (host, port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.cuts = []  # (text, is the message let through)
        self.done = 0  # cuts

    def __enter__(self):
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def cut(self, text, let_through):
        """The next message with this text: its connection ends. `let_through`: the server gets it,
        and has answered, but the answer is lost; else the server never sees it."""
        with self.lock:
            self.cuts.append((text, let_through))

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _take_cut(self, data):
        with self.lock:
            for cut in self.cuts:
                if cut[0] in data:
                    self.cuts.remove(cut)
                    return cut
        return None

    def _carry(self, client):
        with client, contextlib.suppress(OSError):
            with socket.create_connection(self.target) as server:
                while True:
                    for side in select.select([client, server], [], [])[0]:
                        data = side.recv(65536)
                        if not data:
                            return
                        cut = self._take_cut(data) if side is client else None
                        if cut and not cut[1]:
                            self.done += 1
                            return
                        (server if side is client else client).sendall(data)
                        if cut:
                            server.recv(65536)
                            self.done += 1
                            return
