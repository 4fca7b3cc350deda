"""Mail's place in the tests: Debian's own Dovecot and Postfix on loopback, with their files in one folder and a certificate of our making.

Nothing is emulated: IDLE, BYE, SASL, TLS, bounces and folders are those of every small mail host (tried: Dovecot 2.3, Postfix 3.7).
- IMAP: `imap` (in the clear; STARTTLS is offered), `imaps`. `PLAIN`, `LOGIN` and, by the tokens of `tokens`, `XOAUTH2` and `OAUTHBEARER`.
- `imap_bare` speaks in the clear at 127.0.0.2 and offers no STARTTLS, as where somebody took it out on the way.
- Submission, for those who sign in: `smtp` (in the clear, no STARTTLS), `smtp_starttls` (nothing else before it), `smtps`.
- `mx`: where the world's mail comes in, for the three people of test.local alone. It checks and adds no Authentication-Results.
- Mail to anywhere else is taken, and comes back as a bounce at once. Sent and Junk exist, and carry their special-use flags.
The certificate is for localhost and 127.0.0.1, signed by `ca`: a process trusts it with SSL_CERT_FILE={ca}.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import make_msgid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.machine import PATIENCE_SECONDS, free_port

ROBBIE, ALLAN, GRACE = "robbie@test.local", "allan@test.local", "grace@test.local"
PASSWORDS = {ROBBIE: "password-of-robbie", ALLAN: "password-of-allan", GRACE: "password-of-grace"}
OUTSIDER = "outsider@elsewhere.test"
PATH = f"{os.environ['PATH']}:/usr/sbin"
PORTS = ("imap", "imap_bare", "imaps", "smtp", "smtp_starttls", "smtps", "mx", "lmtp", "auth")

DOVECOT = """
base_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/tls/cert.pem
ssl_key = <{folder}/tls/key.pem
local 127.0.0.2 {{
  ssl = no
}}
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 1
imap_idle_notify_interval = 30 secs
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/dovecot/oauth2.conf
}}
passdb {{
  driver = passwd-file
  args = {folder}/dovecot/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%u
}}
namespace inbox {{
  inbox = yes
  mailbox Sent {{
    auto = subscribe
    special_use = \\Sent
  }}
  mailbox Junk {{
    auto = subscribe
    special_use = \\Junk
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
  inet_listener bare {{
    address = 127.0.0.2
    port = {imap_bare}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  inet_listener {{
    port = {auth}
  }}
}}
"""
OAUTH2 = """
tokeninfo_url = http://127.0.0.1:{tokens}/?token=
introspection_mode =
username_attribute = email
"""
POSTFIX = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/state
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
myhostname = mx.test.local
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = test.local
virtual_mailbox_maps = inline:{{ {mailboxes} }}
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
default_transport = lmtp:inet:127.0.0.1:{lmtp}
alias_maps =
alias_database =
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_tls_cert_file = {folder}/tls/cert.pem
smtpd_tls_key_file = {folder}/tls/key.pem
smtpd_peername_lookup = no
"""
# What each port adds. Only those who signed in may submit.
SIGNED_IN = "-o smtpd_sasl_auth_enable=yes -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject"
SMTPD = {
    "mx": "-o smtpd_tls_security_level=may",
    "smtp": SIGNED_IN,
    "smtp_starttls": f"-o smtpd_tls_security_level=encrypt {SIGNED_IN}",
    "smtps": f"-o smtpd_tls_wrappermode=yes {SIGNED_IN}",
}
POSTFIX_SERVICES = """
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
showq unix n - n - - showq
"""
OPENSSL = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
AUTHORITY = {"-subj": "/CN=Authority of the test", "-addext": "keyUsage=critical,keyCertSign", "-keyout": "ca.key", "-out": "ca.pem"}
SERVER = {
    "-CA": "ca.pem",
    "-CAkey": "ca.key",
    "-subj": "/CN=localhost",
    "-addext": "subjectAltName=DNS:localhost,IP:127.0.0.1",
    "-keyout": "key.pem",
    "-out": "cert.pem",
}


def why_no_mail() -> str | None:
    """What is missing here, None where it can be started."""
    missing = [name for name in ("dovecot", "postfix", "openssl") if shutil.which(name, path=PATH) is None]
    if missing:
        return f"needs {' and '.join(missing)}: apt-get install dovecot-imapd dovecot-lmtpd postfix"
    return None if os.geteuid() == 0 else "needs root: Dovecot and Postfix change their users"


@dataclass
class MailServer:
    """A mail host with Robbie, Allan and Grace. Made by `mail_server`."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})
    tokens: dict[str, str] = field(default_factory=dict)
    """Access tokens that are good now, and whose they are."""

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed the server's."""
        return self.folder / "tls/ca.pem"

    @property
    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts it."""
        return ssl.create_default_context(cafile=self.ca)

    # What happens

    async def deliver(self, raw: bytes | EmailMessage, *, sender: str = OUTSIDER, to: Sequence[str] = (ROBBIE,)) -> None:
        """The world sends mail, as it is; *sender* is its envelope's ("": a bounce). It lies in the mailbox when this returns."""
        before = {person: len(self._files(person)) for person in to}
        await asyncio.to_thread(self._send, "mx", raw, sender, to, None)
        for person in to:
            await self.mail(person, count=before[person] + 1)

    async def submit(self, raw: bytes | EmailMessage, *, user: str = ALLAN, to: Sequence[str] = (ROBBIE,)) -> None:
        """One of the three sends mail by the mail host, signed in over TLS."""
        await asyncio.to_thread(self._send, "smtps", raw, user, to, user)

    def mailbox(self, user: str, folder: str = "INBOX") -> list[EmailMessage]:
        """All that lies in a folder, oldest first."""
        while True:
            with contextlib.suppress(FileNotFoundError):  # Dovecot moves a mail when somebody looks at it
                return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in self._files(user, folder)]

    async def mail(self, user: str, folder: str = "INBOX", *, count: int = 1) -> list[EmailMessage]:
        """All that lies in a folder, once that is *count* messages. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self._files(user, folder)) < count:
                await asyncio.sleep(0.02)
        return self.mailbox(user, folder)

    def clear(self) -> None:
        """Everybody's mail is gone, as if there had never been any, also what was on its way; connections are ended, tokens are void."""
        self.bye("*")
        until(lambda: not self._queued())
        self.tokens.clear()
        for user in PASSWORDS:
            shutil.rmtree(self.folder / "mail" / user, ignore_errors=True)

    # What goes wrong

    def bye(self, user: str = ROBBIE) -> None:
        """End every IMAP connection of somebody ("*": of all): each hears BYE, and may come again at once."""
        kick: list[str | Path] = ["doveadm", "-c", self.folder / "dovecot/dovecot.conf", "kick", user]
        subprocess.run(kick, check=False, capture_output=True)  # it fails where there was none

    @contextmanager
    def other_passwords(self) -> Iterator[None]:
        """While inside, nobody's password is good any more."""
        users = self.folder / "dovecot/users"
        before = users.read_text()
        users.write_text(before.replace("password-of", "another-of"))
        until(lambda: not self._knows(ROBBIE))
        try:
            yield
        finally:
            users.write_text(before)
            until(lambda: self._knows(ROBBIE))

    def stop(self) -> None:
        """Stop both servers; connections hear BYE, the mail stays."""
        for name in ("run/master.pid", "queue/pid/master.pid"):
            if (file := self.folder / name).exists():
                end(int(file.read_text()))

    def start(self) -> None:
        """Start both servers; `mail_server` does it the first time."""
        with (self.folder / "start.log").open("ab") as log:
            commands: tuple[list[str | Path], ...] = (
                ["dovecot", "-c", self.folder / "dovecot/dovecot.conf"],
                ["postfix", "-c", self.folder / "postfix", "start"],
            )
            for command in commands:
                subprocess.run(command, env={**os.environ, "PATH": PATH}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        for name in ("imap", "mx"):
            until(lambda name=name: self._greets(name))  # type: ignore[misc]

    def log(self) -> str:
        """What both servers wrote down, for a test that does not understand them."""
        return "".join(file.read_text() for file in self.folder.glob("*.log"))

    # How it is done

    def _files(self, user: str, folder: str = "INBOX") -> list[Path]:
        """The mails in a folder, oldest first; one that was moved while we looked is told of once."""
        maildir = self.folder / "mail" / user / ("" if folder == "INBOX" else f".{folder}")
        found = {file.name.partition(":")[0]: file for part in ("new", "cur") for file in (maildir / part).glob("*")}
        return sorted(found.values(), key=_came)

    def _queued(self) -> bool:
        """Whether Postfix has any mail to deliver still; what it must put off is forgotten."""
        forget: list[str | Path] = ["postsuper", "-c", self.folder / "postfix", "-d", "ALL", "deferred"]
        subprocess.run(forget, env={**os.environ, "PATH": PATH}, check=False, capture_output=True)
        return any(
            file.is_file() for name in ("maildrop", "incoming", "active", "deferred") for file in (self.folder / "queue" / name).rglob("*")
        )

    def _knows(self, user: str) -> bool:
        """Whether somebody's own password lets them in: Dovecot looks at the file once a second."""
        test: list[str | Path] = ["doveadm", "-c", self.folder / "dovecot/dovecot.conf", "auth", "test", user, PASSWORDS[user]]
        return subprocess.run(test, check=False, capture_output=True).returncode == 0

    def prepare(self, tokens_port: int) -> None:
        """Write every file that the two servers read."""
        self.folder.chmod(0o755)  # each of their users walks through it
        for name in ("tls", "dovecot", "postfix", "run", "mail", "queue", "state"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "mail", "mail", "mail")
        shutil.chown(self.folder / "state", "postfix")
        mailboxes = ", ".join(f"{{ {user} = x }}" for user in PASSWORDS)
        words = {"folder": self.folder, "tokens": tokens_port, "mailboxes": mailboxes, **self.ports}
        smtpd = "".join(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd {options}\n" for name, options in SMTPD.items())
        for name, text in {
            "dovecot/dovecot.conf": DOVECOT.format(**words),
            "dovecot/oauth2.conf": OAUTH2.format(**words),
            "dovecot/users": "".join(f"{user}:{{PLAIN}}{password}::::::\n" for user, password in PASSWORDS.items()),
            "postfix/main.cf": POSTFIX.format(**words),
            "postfix/master.cf": smtpd + POSTFIX_SERVICES,
        }.items():
            (self.folder / name).write_text(text)
        self._certify()

    def _certify(self) -> None:
        for arguments in (AUTHORITY, SERVER):
            command = [*OPENSSL, *itertools.chain(*arguments.items())]
            subprocess.run(command, cwd=self.folder / "tls", check=True, capture_output=True)

    def _greets(self, name: str) -> bool:
        """Whether the server at this port says something."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[name]), timeout=PATIENCE_SECONDS) as line:
            return bool(line.recv(1))
        return False

    def _send(self, port: str, raw: bytes | EmailMessage, sender: str, to: Sequence[str], user: str | None) -> None:
        where = ("127.0.0.1", self.ports[port])
        with smtplib.SMTP_SSL(*where, context=self.trust) if port == "smtps" else smtplib.SMTP(*where) as line:
            if user is not None:
                line.login(user, PASSWORDS[user])
            line.sendmail(sender, list(to), raw if isinstance(raw, bytes) else raw.as_bytes(policy=policy.SMTP))


def _came(file: Path) -> list[int]:
    """When a mail was laid there, by its name: seconds, and microseconds that are not padded."""
    return [int(number) for number in re.findall(r"\d+", file.name)[:2]]


def until(is_so: Callable[[], bool]) -> None:
    """Return when something has become true. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not in {PATIENCE_SECONDS} s")
        time.sleep(0.02)


def end(process_id: int) -> None:
    """Ask a daemon and all its children to end, and wait until they have, so that their ports are free."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process_id, signal.SIGTERM)
    until(lambda: not any(_is_of(process_id, process) for process in Path("/proc").glob("[0-9]*/stat")))


def _is_of(group: int, process: Path) -> bool:
    """Whether a process is in this group and alive; one that is dead already, who should bury it may be slow."""
    with contextlib.suppress(OSError):
        state, _, its_group = process.read_text().rpartition(")")[2].split()[:3]
        return int(its_group) == group and state != "Z"
    return False


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Start the mail host."""
    with tempfile.TemporaryDirectory(prefix="robbie-mail-", dir="/tmp") as folder:
        server = MailServer(Path(folder))
        with token_endpoint(server.tokens) as port:
            server.prepare(port)
            try:
                server.start()
                yield server
            finally:
                server.stop()


@contextmanager
def token_endpoint(tokens: dict[str, str]) -> Iterator[int]:
    """The place where Dovecot asks whose an access token is; yields its port."""

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            user = tokens.get(self.path.partition("token=")[2])
            body = f'{{"email": "{user}"}}'.encode() if user else b'{"error": "invalid_token"}'
            self.send_response(200 if user else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as endpoint:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        try:
            yield endpoint.server_port
        finally:
            endpoint.shutdown()


def letter(text: str = "Hello", *, sender: str = f"Allan <{ALLAN}>", **headers: str) -> EmailMessage:
    """A mail of somebody to Robbie."""
    message = EmailMessage(policy=policy.SMTP)
    named = {"from": sender, "to": ROBBIE, "subject": "Lunch", "message-id": make_msgid(domain="test.local")}
    for name, value in {**named, **{key.replace("_", "-"): value for key, value in headers.items()}}.items():
        message[name] = value
    message.set_content(text)
    return message


def vouched(message: EmailMessage, domain: str = "test.local") -> bytes:
    """As our own server would pass it on, had it checked it."""
    return f"Authentication-Results: mx.test.local; dmarc=pass header.from={domain}\r\n".encode() + message.as_bytes()
