#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Register the memory of a mapped file with pyverbs, write through the registration.

dax_mr.py DEVICE FILE
"""
import ctypes
import mmap
import os
import sys

from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
import pyverbs.enums as e

TEXT = b"through the registration"

fd = os.open(sys.argv[2], os.O_RDWR)
size = os.fstat(fd).st_size
memory = mmap.mmap(fd, size, mmap.MAP_SHARED)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
access = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE
with Context(name=sys.argv[1]) as ctx, PD(ctx) as pd:
    with MR(pd, size, access, address=address) as mr:
        mr.write(TEXT, len(TEXT))
sys.exit(os.pread(fd, len(TEXT), 0) != TEXT)
