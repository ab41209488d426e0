"""A mail server for tests, on aiosmtpd. It ends when its standard input does.

What it says depends on the recipient: refused@ gets 550, busy@ 451, spam@ 554 and later@ 452 for the message itself, and
twiceN@ 451 the first two times. What it accepts it writes to a file as JSON, one object a line. The first line it prints
is its port.
"""

import argparse
import asyncio
import base64
import collections
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--log", required=True)
parser.add_argument("--certificate")
parser.add_argument("--key")
parser.add_argument("--smtps", action="store_true")
parser.add_argument("--require-starttls", action="store_true")
parser.add_argument("--login")
parser.add_argument("--greeting")
options = parser.parse_args()


class Handler:
    def __init__(self):
        self.attempts = collections.Counter()

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        name = address.partition("@")[0]
        self.attempts[name] += 1
        if name == "refused":
            return "550 5.1.1 There is no such mailbox"
        if name == "busy" or (name.startswith("twice") and self.attempts[name] <= 2):
            return "451 4.2.1 The mailbox is busy"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        name = envelope.rcpt_tos[0].partition("@")[0]
        if name == "spam":
            return "554 5.7.1 This looks like spam"
        if name == "later":
            return "452 4.3.1 The disk is full"
        entry = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "message": base64.b64encode(envelope.original_content).decode(),
            "client": session.peer[1],
            "isEncrypted": session.ssl is not None or options.smtps,
            "user": session.auth_data.decode() if session.authenticated else None,
        }
        with open(options.log, "a") as log:
            log.write(json.dumps(entry) + "\n")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, auth_data):
    name, _, password = options.login.partition(":")
    isRight = auth_data.login == name.encode() and auth_data.password == password.encode()
    return AuthResult(success=isRight, handled=False, auth_data=auth_data.login)


async def serve():
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
    handler = Handler()

    def smtp():
        return SMTP(
            handler,
            hostname="mail.test",
            enable_SMTPUTF8=False,
            tls_context=None if options.smtps else tls,
            require_starttls=options.require_starttls,
            authenticator=authenticate if options.login else None,
            auth_required=options.login is not None,
            auth_require_tls=not options.smtps,
            loop=asyncio.get_running_loop(),
        )

    async def greet(reader, writer):
        writer.write((options.greeting + "\r\n").encode() if options.greeting != "silence" else b"")
        await reader.read()
        writer.close()

    if options.greeting:
        server = await asyncio.start_server(greet, "127.0.0.1", options.port)
    else:
        server = await asyncio.get_running_loop().create_server(
            smtp, "127.0.0.1", options.port, ssl=tls if options.smtps else None
        )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(serve())
