"""Addresses with ports, as settings list them."""

from ipaddress import ip_address


def read_endpoints(text: str, *, default_port: int) -> list[tuple[str, int]]:
    """Read `127.0.0.1:5353, [::1]:53, 192.0.2.1`; raises ValueError."""
    servers = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        host, port = item, str(default_port)
        if item.startswith("["):
            host, _, rest = item[1:].partition("]")
            port = rest.removeprefix(":") or port
        elif item.count(":") == 1:
            host, _, port = item.partition(":")
        if not port.isdigit() or not 0 < int(port) < 65_536:
            raise ValueError(f"{item!r} is not an address with a port, such as 127.0.0.1:53 or [::1]:53")
        servers.append((str(ip_address(host)), int(port)))
    return servers
