#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The shared library shows what the public headers declare and nothing else, and each header compiles
alone, as C and as C++. usage: public_api.py LIBRARY INCLUDE_FOLDER C_COMPILER..."""
import glob
import os
import re
import shutil
import subprocess
import sys

library, include, cc = sys.argv[1], sys.argv[2], sys.argv[3:]
failed = []


def compile_alone(command, language, header):
    source = "#include <bmap/%s>\n#include <bmap/%s>\nint main(void) { return 0; }\n" % (header, header)
    done = subprocess.run(command + ["-x", language, "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                                     "-I", include, "-"], input=source, capture_output=True, text=True)
    if done.returncode:
        failed.append("%s as %s:\n%s" % (header, language, done.stderr))


headers = sorted(os.path.basename(h) for h in glob.glob(os.path.join(include, "bmap", "*.h")))
cxx = next((x for x in ("g++", "clang++") if shutil.which(x)), None)
declared = set()
for header in headers:
    compile_alone(cc, "c", header)
    if cxx:
        compile_alone([cxx], "c++", header)
    with open(os.path.join(include, "bmap", header)) as f:
        declared |= set(re.findall(r"^BMAP_API [^(;]*?\b(bmap_\w+)\(", f.read(), re.M))
if not cxx:
    print("no C++ compiler: headers were not tried as C++")

nm = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True)
shown = {line.split()[-1].split("@")[0] for line in nm.stdout.splitlines() if " A " not in line}
shown = {x for x in shown if not re.match(r"(__)?(asan|tsan|ubsan|odr_asan)", x)}
for name in sorted(shown - declared):
    failed.append("the library shows %s, which no public header declares" % name)
for name in sorted(declared - shown):
    failed.append("a public header declares %s, which the library does not show" % name)
if not declared:
    failed.append("no declarations were found in %s" % include)
print("\n".join(failed) or "%d headers, %d functions" % (len(headers), len(declared)))
sys.exit(bool(failed))
