"""Prints what Python makes of a mailbox file: a JSON array with one object for each message."""

import email
import email.policy
import json
import mailbox
import sys


def describe(raw):
    first, _, rest = raw.partition(b"\n")
    message = email.message_from_bytes(rest, policy=email.policy.default)
    defects = [repr(defect) for defect in message.defects]
    for value in message.values():
        defects += [repr(defect) for defect in getattr(value, "defects", [])]
    return {
        "separator": first.decode("ascii"),
        "headers": [[name, str(value)] for name, value in message.items()],
        "to": [address.addr_spec for address in message["To"].addresses],
        "date": message["Date"].datetime.isoformat(),
        "text": message.get_content(),
        "longestLine": max(len(line) for line in rest.split(b"\n")),
        "isASCII": rest.isascii(),
        "defects": defects,
    }


box = mailbox.mbox(sys.argv[1])
json.dump([describe(box.get_bytes(key, from_=True)) for key in box.keys()], sys.stdout)
