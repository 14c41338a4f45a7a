#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every accepted setting has a test in which its effect changes something.

    effects.py ROOT [--missing]

The keys are those of docs/reference/<page>.md, which another test keeps equal to the settings tables; the tests are
named in tests/settings/<page>.txt, a line a key:

    # what a line of this file looks like
    sending_queue.queue_size    tests/queue/edge_test.c:a_full_queue_refuses
    min_gc_interval             no effect

`no effect` is for the keys that say so of themselves: the program logs a line for each (tests/config/schema_test.c).
Planned keys are refused and blocks have no effect of their own: neither has a line. A named function has to exist, to
be run, and to name the key, in its text or in the comment above it. --missing prints the keys that have no line yet.
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
pages = root / "docs/reference"
row = re.compile(r"^\| `([^`]+)` \| ([^|]*) \| [^|]* \|")
bad = []


def keys_of(page):
    """{key: has an effect}"""
    keys = {}
    for line in page.read_text().splitlines():
        m = row.match(line)
        if not m or line.startswith("| exporter"):
            continue
        if m[2] in ("block", "list of blocks", "") or "*Planned, refused.*" in line:
            continue
        if re.match(r"^\| `[^`]+` \| [0-9]", line):  # a table of defaults
            continue
        keys[m[1]] = "*Accepted, no effect.*" not in line
    return keys


def test_text(text, function):
    """The function's text with the comment above it; None when there is none that is run."""
    python = re.search(rf"(?:^#.*\n)*^def {function}\(.*\n(?:(?:[ \t].*)?\n)*", text, re.M)
    if python:
        return python[0] if len(re.findall(rf"\b{function}\b", text)) > 1 else None
    if not re.search(rf"cmocka_unit_test\w*\(\s*{function}\b", text):
        return None
    found = re.search(rf"(?:/\*(?:[^*]|\*(?!/))*\*/\n)?^static void {function}\(void \*\*.*?^}}", text, re.M | re.S)
    return found[0] if found else None


def check_test(where, key, test):
    path, _, function = test.partition(":")
    file = root / path
    if not file.is_file():
        bad.append(f"{where}: {path} is not there")
        return
    word = key.split(".")[-1].removesuffix("[]")
    text = test_text(file.read_text(), function) if function else None
    if text is None:
        bad.append(f"{where}: {path} runs no test {function or '(none named)'}")
    elif not re.search(rf"\b{re.escape(word)}(\b|_ns\b)", text.replace("\\n", " ")):
        bad.append(f"{where}: {path}:{function} never says {word}")


def check_page(page, listing):
    keys = keys_of(page)
    seen = set()
    for n, line in enumerate(listing.read_text().splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where, key, tests = f"{listing.relative_to(root)}:{n}", words[0], words[1:]
        if key not in keys:
            bad.append(f"{where}: {page.stem} has no setting {key}")
        elif key in seen:
            bad.append(f"{where}: {key} stands here twice")
        elif tests == ["no", "effect"]:
            if keys[key]:
                bad.append(f"{where}: the reference says that {key} has an effect")
        elif not keys[key]:
            bad.append(f"{where}: the reference says that {key} has no effect: write `no effect`")
        elif not tests:
            bad.append(f"{where}: no test")
        else:
            for test in tests:
                check_test(where, key, test)
        seen.add(key)
    missing = [k for k in keys if k not in seen]
    if "--missing" in sys.argv:
        print(*(f"{page.stem} {k}" for k in missing), sep="\n")
    elif missing:
        bad.append(f"{listing.relative_to(root)}: no line for {', '.join(missing)}")
    return len(keys) - len(missing)


n_keys = n_pages = 0
for page in sorted(pages.glob("*.md")):
    listing = root / "tests/settings" / f"{page.stem}.txt"
    if listing.is_file():
        n_keys += check_page(page, listing)
        n_pages += 1
    elif keys_of(page):
        bad.append(f"{listing.relative_to(root)} is not there, and {page.relative_to(root)} has settings")
for listing in sorted((root / "tests/settings").glob("*.txt")):
    if not (pages / f"{listing.stem}.md").is_file():
        bad.append(f"{listing.relative_to(root)}: no page docs/reference/{listing.stem}.md")
print(*bad, sep="\n", end="\n" if bad else "")
print(f"{n_keys} settings of {n_pages} pages have a test or no effect")
sys.exit(1 if bad else 0)
