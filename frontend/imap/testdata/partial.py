#!/usr/bin/env python3
# Makes partial.txt: commands as a client sends them that flushes with
# Z_PARTIAL_FLUSH, a line of hex each.
import zlib

z = zlib.compressobj(6, zlib.DEFLATED, -15)
with open("partial.txt", "w") as out:
    for c in [b"p1 NOOP\r\n", b"p2 SELECT INBOX\r\n", b"p3 UID FETCH 1:* (UID FLAGS)\r\n",
              b"p4 APPEND INBOX {14+}\r\nSubject: x\r\n\r\n\r\n", b"p5 IDLE\r\n", b"DONE\r\n", b"p7 LOGOUT\r\n"]:
        out.write((z.compress(c) + z.flush(zlib.Z_PARTIAL_FLUSH)).hex() + "\n")
