# Reads a mailbox message by message and goes on where it was when the
# connection breaks; then changes it.
import imaplib, json, os, ssl, sys, time

told = json.load(open(sys.argv[1]))
breaks = 0
validity = None


def connect():
    global validity
    c = imaplib.IMAP4_SSL(told["host"], int(told["port"]), ssl_context=ssl.create_default_context(cafile=told["ca"]), timeout=240)
    c.login(told["user"], told["password"])
    ok, _ = c.select("INBOX")
    assert ok == "OK", ok
    now = c.response("UIDVALIDITY")[1][0]
    assert validity in (None, now), (validity, now)
    validity = now
    return c


def persist(work):
    """Does work, over as many connections as it takes."""
    global breaks, c
    end = time.monotonic() + 240
    while True:
        try:
            if c is None:
                c = connect()
            return work(c)
        except (imaplib.IMAP4.abort, OSError) as e:
            c = None
            breaks += 1
            assert time.monotonic() < end, e
            time.sleep(0.2)


def fetch(uid):
    def work(c):
        ok, data = c.uid("FETCH", uid, "(UID BODY.PEEK[])")
        assert ok == "OK" and isinstance(data[0], tuple), (ok, data)
        return data[0][1]
    return work


def good(answer):
    assert answer[0] == "OK", answer
    return answer[1]


c = None
uids = persist(lambda c: good(c.uid("SEARCH", "ALL")))[0].split()
for uid in uids:
    with open(os.path.join(told["out"], uid.decode() + ".eml"), "wb") as f:
        f.write(persist(fetch(uid)))
after = breaks

# Nothing is done twice: from here on a break is an error.
good(c.append("INBOX", r"(\Flagged)", imaplib.Time2Internaldate(time.time()), told["append"].encode()))
good(c.uid("STORE", uids[0], "+FLAGS.SILENT", r"(\Seen $Forwarded)"))
good(c.create("Copied"))
good(c.uid("COPY", uids[1], "Copied"))
good(c.uid("STORE", uids[2], "+FLAGS", r"(\Deleted)"))
good(c.expunge())
good(c.uid("MOVE", uids[3], "Copied"))
found = good(c.uid("SEARCH", "FLAGGED", "SUBJECT", '"from imaplib"'))[0].split()
assert len(found) == 1, found
good(c.close())
c.logout()
print(json.dumps({"breaks": after, "validity": int(validity)}))
