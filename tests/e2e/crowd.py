"""Connections that send one byte a second, in a process of their own: crowd.py HOST PORT COUNT KEY

Every other one trickles the body of a request, the rest a header. Those that the server gave up are opened anew. Prints a line when all are
there, then works until its standard input ends.
"""

import select
import socket
import sys
import time


def request(kind, key):
    if kind:
        return f"POST /v1/tokenize HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n".encode()
    return b"GET /hea"


def main():
    host, port, count, key = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    clients = [None] * count
    announced = False
    due = 0.0
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        due = time.monotonic() + 1
        for i in range(count):
            try:
                if clients[i] is None:
                    clients[i] = socket.create_connection((host, port), timeout=30)
                    clients[i].sendall(request(i % 2, key))
                else:
                    clients[i].sendall(b" " if i % 2 else b"a")
            except OSError:
                clients[i].close() if clients[i] else None
                clients[i] = None
        if not announced:
            announced = True
            print("there", flush=True)


main()
