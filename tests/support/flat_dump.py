#!/usr/bin/python3
"""thin_dump's XML of an image in the flat form, whichever generation of thin_dump is installed.

    flat_dump.py IMAGE

From 1.0 on thin_dump names subtrees that volumes share (<def>, <ref>), breaks ranges at their edges
and leaves out flags="0". Written out here as 0.9 does: what the two say must be the same.
"""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree


def runs(element, definitions):
    """Mappings as (origin, data, length, time), definitions followed."""
    for child in element:
        if child.tag == "ref":
            yield from runs(definitions[child.get("name")], definitions)
        elif child.tag == "single_mapping":
            yield tuple(int(child.get(n)) for n in ("origin_block", "data_block")) + (
                1, int(child.get("time")))
        else:
            yield tuple(int(child.get(n)) for n in ("origin_begin", "data_begin", "length", "time"))


def joined(pieces):
    last = None
    for origin, data, length, time in pieces:
        if last and (last[0] + last[2], last[1] + last[2], last[3]) == (origin, data, time):
            last = (last[0], last[1], last[2] + length, time)
            continue
        if last:
            yield last
        last = (origin, data, length, time)
    if last:
        yield last


def attributes(element, names):
    return " ".join(f'{n}="{element.get(n, "0" if n == "flags" else None)}"' for n in names
                    if element.get(n) is not None or n == "flags")


def main():
    xml = subprocess.run(["thin_dump", sys.argv[1]], check=True, stdout=subprocess.PIPE).stdout
    root = ElementTree.fromstring(xml)
    print("<superblock", attributes(root, (
        "uuid", "time", "transaction", "flags", "version", "data_block_size", "nr_data_blocks",
        "metadata_snap")) + ">")
    definitions = {d.get("name"): d for d in root.iter("def")}
    for device in root.iter("device"):
        print("  <device", attributes(device, (
            "dev_id", "mapped_blocks", "transaction", "creation_time", "snap_time")) + ">")
        for origin, data, length, time in joined(runs(device, definitions)):
            if length == 1:
                print(f'    <single_mapping origin_block="{origin}" data_block="{data}" '
                      f'time="{time}"/>')
            else:
                print(f'    <range_mapping origin_begin="{origin}" data_begin="{data}" '
                      f'length="{length}" time="{time}"/>')
        print("  </device>")
    print("</superblock>")


main()
