# SPDX-License-Identifier: BSD-2-Clause
"""What the tree owes its readers: a license in every file, a line of help for every target."""
import os
import re
import subprocess

import sluice

NOT_OURS = re.compile(r"^(build.*|\.git|\.deps|\.cache|node_modules|__pycache__|\.pytest_cache|.*\.in)$")


def files():
    for top, folders, names in os.walk(sluice.ROOT):
        folders[:] = [f for f in folders if not NOT_OURS.match(f)]
        for name in names:
            if not NOT_OURS.match(name) and not name.startswith("LICENSE") and not name.endswith((".md", ".gitignore", ".pyc")):
                yield os.path.relpath(os.path.join(top, name), sluice.ROOT)


def test_every_file_names_its_license():
    lacking = []
    for path in files():
        with open(sluice.ROOT / path, errors="replace") as f:
            head = "".join(f.readline() for _ in range(4))
        want = "(GPL-2.0-only OR BSD-2-Clause)" if path.startswith("bpf/") else "BSD-2-Clause"
        if f"SPDX-License-Identifier: {want}" not in head:
            lacking.append(path)
    assert lacking == []


def test_make_help_explains_every_target():
    text = (sluice.ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (\S+)", text, re.M)) - {"FORCE", "install-deps"}
    told = subprocess.run(["make", "help"], cwd=sluice.ROOT, capture_output=True, text=True, timeout=60).stdout
    for target in targets:
        assert re.search(rf"^  {target} +\S", told, re.M), target
    for variable in re.findall(r"^#: (\w+)=", text, re.M):
        assert re.search(rf"^  {variable}=\S+ +\S", told, re.M), variable


def test_every_command_has_its_man_page():
    pages = {p.name for p in (sluice.ROOT / "tools/man").iterdir()}
    shown = subprocess.run([str(sluice.BUILD / "sluicectl"), "--complete"], capture_output=True, text=True,
                           timeout=10).stdout.split()
    assert len(shown) >= 7
    assert {f"sluicectl-{o}.8" for o in shown} | {"sluicectl.8", "sluiced.8", "sluice.conf.5", "sluice-bench.1"} == pages
