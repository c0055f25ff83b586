#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""copy --eject and list in a guest with USB and SCSI disks: what nobody has on a loop device."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import device as d  # noqa: E402
import guest  # noqa: E402

MODULES = ["xhci-pci", "usb-storage", "sd_mod", "virtio_pci", "virtio_scsi"]
SIZE = 16 * d.MIB
# A name that the kernel gives by the order it finds them in: each is looked for by its serial number.
FUNCTIONS = """
disk_of() { for b in /sys/block/sd*; do
	[ "$(bmaptool list --json /dev/${b##*/} | grep -c "\\"serial\\": \\"$1\\"")" = 1 ] && echo ${b##*/}
done; }
head -c 65536 /bin/busybox >/tmp/image
"""


def usb(bed, name, port, removable):
    backing = bed.path(name)
    with open(backing, "wb") as f:
        f.truncate(SIZE)
    return ["-drive", "if=none,id=%s,format=raw,file=%s" % (name, backing),
            "-device", "usb-storage,bus=x.0,port=%s,drive=%s,serial=%s,removable=%s" % (
                port, name, name, removable)]


def with_script(bed, script, devices, disks):
    code, out = guest.run(bed, FUNCTIONS + script, ["-device", "qemu-xhci,id=x"] + devices, MODULES, disks)
    d.expect(code == 0, "exit %d of the script (4: a disk that was switched off is there): %s" % (
        code, out[-3000:]))
    return out


def a_stick_is_ejected_and_a_disk_switched_off(bed):
    out = with_script(bed, """
stick=$(disk_of STICK); disk=$(disk_of DISK)
echo "JSON $(bmaptool list --json /dev/$stick | tr -d '\\n')"
echo "JSON $(bmaptool list --json /dev/$disk | tr -d '\\n')"
bmaptool copy --nobmap --eject /tmp/image /dev/$stick /dev/$disk || exit 3
sleep 3
[ ! -e /sys/block/$disk ] || exit 4
bmaptool list /dev/$stick
""", usb(bed, "STICK", "1", "on") + usb(bed, "DISK", "2", "off"), 2)
    found = [json.loads(line[5:])["devices"][0] for line in out.splitlines() if line.startswith("JSON ")]
    d.expect([x["usb_path"] for x in found] == ["1-1", "1-2"] or
             [x["usb_path"] for x in found] == ["2-1", "2-2"], "ports: %s" % found)
    for x in found:
        d.expect(x["transport"] == "usb" and x["vendor"] == "QEMU" and x["model"] == "QEMU HARDDISK",
                 "facts: %s" % x)
        d.expect(x["refusal"] is None and x["size_bytes"] == SIZE, "facts: %s" % x)
    d.expect([x["removable"] for x in found] == [True, False], "removable: %s" % found)
    d.expect(re.search(r"info: /dev/sd.: ejected", out), "not ejected: %s" % out)
    d.expect(re.search(r"info: /dev/sd.: switched off \(USB device \d-2\)", out), "still on: %s" % out)
    d.expect("is a medium in it?" in out, "the stick has its medium: %s" % out)


def a_scsi_disk_is_only_flushed_and_a_removable_one_ejected(bed):
    devices = ["-device", "virtio-scsi-pci,id=s"]
    for name, removable in (("FIXED", "off"), ("CARTRIDGE", "on")):
        backing = bed.path(name)
        with open(backing, "wb") as f:
            f.truncate(SIZE)
        devices += ["-drive", "if=none,id=%s,format=raw,file=%s" % (name, backing), "-device",
                    "scsi-hd,bus=s.0,drive=%s,serial=%s,removable=%s" % (name, name, removable)]
    out = with_script(bed, """
fixed=$(disk_of FIXED); cartridge=$(disk_of CARTRIDGE)
bmaptool list
bmaptool copy --nobmap --eject /tmp/image /dev/$fixed /dev/$cartridge /dev/null || exit 3
sleep 3
bmaptool list --all
""", devices, 2)
    d.expect(re.search(r"/dev/sd.: this kind of device is not ejected", out), "fixed: %s" % out)
    d.expect(re.search(r"/dev/sd.: ejected", out), "cartridge: %s" % out)
    d.expect("/dev/null: no block device, not ejected" in out, "null: %s" % out)
    d.expect(re.search(r"scsi .*QEMU QEMU HARDDISK +FIXED", out), "facts: %s" % out)
    d.expect(re.search(r"CARTRIDGE .*is a medium in it", out), "the medium is in: %s" % out)


CASES = [
    a_stick_is_ejected_and_a_disk_switched_off,
    a_scsi_disk_is_only_flushed_and_a_removable_one_ejected,
]

if __name__ == "__main__":
    sys.exit(d.main(CASES))
