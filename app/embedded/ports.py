"""Free ports on the loopback, and whether something listens there."""

import random
import socket

# Below the range that Linux gives to outgoing connections (32768-60999), so that none of those takes the port between
# our look and the server's bind.
_PORTS = range(20000, 32000)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing uses."""
    for port in random.sample(_PORTS, k=len(_PORTS)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no TCP port of 127.0.0.1 between {_PORTS.start} and {_PORTS.stop - 1} is free")


def listening(port: int) -> bool:
    """Tell whether something accepts connections on 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
