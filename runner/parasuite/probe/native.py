"""A native program without dependencies, for the self-test: it binds one port and exits with the errno.

It is executed from memory (memfd_create(2)), so no file system has to permit that. Only for x86_64.
"""

from __future__ import annotations

import os
import platform
import struct
from typing import NoReturn

_BASE = 0x400000
_HEADERS = 64 + 56


def image(port: int) -> bytes | None:
    """The program, an ELF file: socket, bind to 127.0.0.1:*port*, exit with the errno; None on other machines."""
    if platform.machine() != "x86_64":
        return None
    code = bytes.fromhex(
        "b829000000"  # mov eax, 41       socket
        "bf02000000"  # mov edi, AF_INET
        "be01000000"  # mov esi, SOCK_STREAM
        "31d2"  # xor edx, edx
        "0f05"  # syscall
        "89c7"  # mov edi, eax
        "488d3517000000"  # lea rsi, [rip+23]
        "ba10000000"  # mov edx, 16
        "b831000000"  # mov eax, 49       bind
        "0f05"  # syscall
        "f7d8"  # neg eax
        "89c7"  # mov edi, eax
        "b83c000000"  # mov eax, 60       exit
        "0f05"  # syscall
    )
    address = struct.pack("=H", 2) + struct.pack("!H", port) + bytes([127, 0, 0, 1]) + bytes(8)
    body = code + address
    size = _HEADERS + len(body)
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("=HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    header += struct.pack("=IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + body


def become(program: bytes) -> NoReturn:
    """Replace this process with *program*. Raises OSError if programs in memory may not be executed."""
    fd = os.memfd_create("parasuite-self-test", 0)
    os.write(fd, program)
    os.execve(f"/proc/self/fd/{fd}", ["parasuite-self-test"], {})
