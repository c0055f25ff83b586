# SPDX-License-Identifier: MIT
"""A machine of the test's own in QEMU: a kernel of Debian, a memory file system with busybox and
bmaptool in it, and devices that nobody has here. It needs no rights, and harms no disk.

The kernel comes from BMAP_LAB_KERNEL, a folder into which a linux-image package was unpacked
(dpkg -x), else from this machine."""
import glob
import os
import re
import shutil
import subprocess

import device as d

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /tmp
while read -r module; do insmod "$module"; done </modules
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	[ "$(ls -d /sys/block/sd* 2>/dev/null | wc -l)" -ge "$(cat /disks)" ] && break
	sleep 0.5
done
# Not on the console, which is a terminal.
sh /script >/tmp/out 2>&1 </dev/null
code=$?
echo
cat /tmp/out
echo "GUEST-EXIT $code"
poweroff -f
"""


def kernel():
    """(vmlinuz, the folder of its modules)"""
    for root in filter(None, (os.environ.get("BMAP_LAB_KERNEL"), "/")):
        for image in sorted(glob.glob(os.path.join(root, "boot", "vmlinuz-*")), reverse=True):
            modules = os.path.join(root, "lib", "modules", os.path.basename(image)[len("vmlinuz-"):])
            if os.path.isdir(modules):
                return image, modules
    raise d.Skip("no kernel for a guest: unpack a linux-image package and name the folder in "
                 "BMAP_LAB_KERNEL")


def modules_with_needs(folder, names):
    """Paths of the modules, each behind those that it needs. What is built in has none."""
    paths = {}
    for path in glob.glob(os.path.join(folder, "kernel", "**", "*.ko*"), recursive=True):
        paths[re.sub(r"\.ko(\..*)?$", "", os.path.basename(path)).replace("-", "_")] = path
    found = []

    def add(name):
        path = paths.get(name.replace("-", "_"))
        if not path or path in found:
            return
        done = d.check_run("modinfo", "-F", "depends", path)
        for need in filter(None, done.out.strip().split(",")):
            add(need)
        found.append(path)

    for name in names:
        add(name)
    return found


def libraries(program):
    for line in d.check_run("ldd", program).out.splitlines():
        m = re.search(r"(/\S+) \(0x", line)
        if m:
            yield m.group(1)


def run(bed, script, devices, modules, disks, timeout=120):
    """Runs the shell script in the guest; (its exit code, what it printed). disks: how many sdX there
    are to wait for. Programs in it: busybox's and bmaptool."""
    d.require_program("qemu-system-x86_64", "busybox", "cpio", "modinfo")
    if d.sanitized():
        raise d.Skip("a guest has no sanitizer's libraries")
    image, folder = kernel()
    root = bed.path("root")
    for name in ("bin", "dev", "proc", "sys", "tmp"):
        os.makedirs(os.path.join(root, name))

    def put(source, target):
        target = root + target
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)

    put(shutil.which("busybox"), "/bin/busybox")
    put(d.BMAPTOOL, "/bin/bmaptool")
    for path in libraries(d.BMAPTOOL):
        put(path, path)
    order = modules_with_needs(folder, modules)
    for path in order:
        put(path, "/lib/" + os.path.basename(path))
    for name, text in (("init", INIT), ("script", script), ("disks", "%d\n" % disks),
                       ("modules", "".join("/lib/%s\n" % os.path.basename(p) for p in order))):
        with open(os.path.join(root, name), "w") as f:
            f.write(text)
    os.chmod(os.path.join(root, "init"), 0o755)
    d.check_run("sh", "-c", "cd '%s' && find . | cpio -o -H newc --quiet >'%s'" % (
        root, bed.path("initrd")))
    # Not KVM: where it is itself a guest's, it may be offered and hang.
    try:
        done = subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-nographic", "-nodefaults", "-no-reboot",
             "-serial", "stdio", "-kernel", image, "-initrd", bed.path("initrd"),
             "-append", "console=ttyS0 quiet loglevel=0 panic=-1"] + devices,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired as e:
        raise d.Fail("the guest did not end: %s" % (e.stdout or b"").decode(errors="replace")[-3000:])
    m = re.search(r"GUEST-EXIT (\d+)", done.stdout)
    d.expect(m, "the guest did not end as it should: %s %s" % (done.stdout[-3000:], done.stderr[-500:]))
    return int(m.group(1)), done.stdout.replace("\r", "")
