"""Keys for tests, and independent verifiers of what they sign: dkimpy, and opendkim."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dkim

from app.domains.dkim import Signer, SigningKey
from app.domains.key_material import make_key, read_key, record_name, record_text
from app.domains.models import Algorithm, DkimKey
from tests.conftest import SECRET


@dataclass
class Published:
    """Keys of domains, and their records as a DNS would give them."""

    records: dict[str, str] = field(default_factory=dict)

    def key(self, algorithm: Algorithm, *, domain: str = "example.com", selector: str | None = None) -> SigningKey:
        """Make a key and publish it."""
        pair = make_key(algorithm, secret=SECRET)
        selector = selector or algorithm.value
        self.records[record_name(selector, domain)] = record_text(algorithm, pair.public_key)
        return SigningKey(domain, selector, read_key(pair.private_key, secret=SECRET))

    def publish(self, domain: str, key: DkimKey) -> None:
        """Publish a key that the service has made."""
        self.records[record_name(key.selector, domain)] = record_text(key.algorithm, key.public_key)

    def txt(self, name: bytes, timeout: int = 5) -> bytes | None:
        """Answer as dkimpy asks."""
        found = self.records.get(name.decode().rstrip("."))
        return found.encode() if found else None

    def verify(self, message: bytes) -> list[bool]:
        """Return what dkimpy says of each signature, from the top."""
        count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.rfc822_parse(message)[0])
        return [self._verifies(message, index) for index in range(count)]

    def _verifies(self, message: bytes, index: int) -> bool:
        try:
            return dkim.DKIM(message).verify(index, dnsfunc=self.txt)
        except dkim.ValidationError:
            return False

    def opendkim(self, program: str, messages: Sequence[bytes], directory: Path) -> list[str]:
        """Return what opendkim says of the first signature of each message."""
        (directory / "dns").write_text("".join(f"{name} {text}\n" for name, text in self.records.items()))
        conf = directory / "conf"
        conf.write_text(f"Mode v\nTestDNSData {directory / 'dns'}\nSyslog no\nInternalHosts /dev/null\n")
        files = [directory / f"{number}.eml" for number in range(len(messages))]
        for file, message in zip(files, messages, strict=True):
            file.write_bytes(message)
        command = [program, "-x", str(conf), "-t", ",".join(map(str, files))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return [line.rpartition(") ")[2].partition(":")[0] for line in (done.stdout + done.stderr).splitlines()]


def signed_by(*keys: SigningKey):
    """What puts signatures in front of a message."""
    signer = Signer(keys)
    return lambda message: signer.sign(message) + message
