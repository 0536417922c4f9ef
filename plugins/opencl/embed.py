#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py OUT.c IN...: the texts of IN, one after another, as the C string tqo_source."""
import sys

text = b''.join(open(name, 'rb').read() for name in sys.argv[2:]) + b'\0'
with open(sys.argv[1], 'w') as out:
    out.write('extern const char tqo_source[];\nconst char tqo_source[] = {')
    for i, byte in enumerate(text):
        out.write(('\n' if i % 24 == 0 else '') + '%d,' % byte)
    out.write('\n};\n')
