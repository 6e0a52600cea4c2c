#!/usr/bin/env python3
# Makes zlib.txt: streams of the C library as clients send them. A line is a
# piece of output in hex and how many octets have to be there once it has
# arrived ("-" where the library does not promise it); a line with a name
# begins a stream.
import zlib, random

random.seed(4978)
words = b"UID FETCH STORE SEARCH NOOP IDLE DONE SELECT INBOX FLAGS BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)] (UID".split(b" ")

def command(n):
    return b"a%d " % n + b" ".join(random.choice(words) for _ in range(random.randint(1, 12))) + b"\r\n"

modes = {"partial": (zlib.Z_PARTIAL_FLUSH, True), "sync": (zlib.Z_SYNC_FLUSH, True), "full": (zlib.Z_FULL_FLUSH, True),
         "block": (zlib.Z_BLOCK, False), "none": (zlib.Z_NO_FLUSH, False)}
kinds = {"": (6, zlib.Z_DEFAULT_STRATEGY, 8, -15), "stored": (0, zlib.Z_DEFAULT_STRATEGY, 8, -15),
         "fast": (1, zlib.Z_DEFAULT_STRATEGY, 1, -15), "best": (9, zlib.Z_DEFAULT_STRATEGY, 9, -15),
         "fixed": (6, zlib.Z_FIXED, 8, -15), "huffman": (6, zlib.Z_HUFFMAN_ONLY, 8, -15),
         "rle": (6, zlib.Z_RLE, 8, -15), "narrow": (6, zlib.Z_DEFAULT_STRATEGY, 8, -9)}
out = open("zlib.txt", "w")
for mode, (flush, promised) in modes.items():
    for kind, (level, strategy, mem, bits) in kinds.items():
        if kind == "stored" and mode == "partial":
            continue
        z = zlib.compressobj(level, zlib.DEFLATED, bits, mem, strategy)
        out.write("%s-%s\n" % (mode, kind or "usual"))
        total = 0
        plain = b""
        for n in range(6):
            p = command(n) if n != 3 else b"".join(command(m) for m in range(12))
            plain += p
            b = z.compress(p) + (z.flush(flush) if flush != zlib.Z_NO_FLUSH else b"")
            total += len(p)
            out.write("%s %s\n" % (b.hex() or "-", total if promised else "-"))
        b = z.flush(zlib.Z_FINISH)
        out.write("%s %d\n" % (b.hex(), total))
        out.write("= %s\n" % plain.hex())
