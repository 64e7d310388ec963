# SPDX-License-Identifier: BSD-2-Clause
"""`make install` puts down what runs from there, and `make uninstall` takes it back."""
import re
import subprocess

import pytest

import sluice


def script(verb, dest, prefix):
    subprocess.run(["tools/install.sh", verb, str(sluice.BUILD), str(dest), prefix], cwd=sluice.ROOT,
                   check=True, capture_output=True, timeout=60)


def files(dest):
    return sorted(str(p.relative_to(dest)) for p in dest.rglob("*") if p.is_file())


@pytest.mark.parametrize("prefix,conf", [("/usr/local", "etc/sluice/sluice.conf"),
                                         ("/usr", "etc/sluice/sluice.conf"),
                                         ("/opt/sluice", "opt/sluice/etc/sluice/sluice.conf")])
def test_what_is_installed_runs_and_can_be_taken_back(tmp_path, prefix, conf):
    script("install", tmp_path, prefix)
    sluiced = tmp_path / prefix[1:] / "sbin/sluiced"
    done = subprocess.run([sluiced, "-t", "-c", tmp_path / conf], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    unit = (tmp_path / prefix[1:] / "lib/systemd/system/sluiced.service").read_text()
    assert f"ExecStart={prefix}/sbin/sluiced -c /{conf}\n" in unit and "@" not in unit
    if conf.startswith("etc/"):  # then it is the file that sluiced reads by itself
        told = subprocess.run([sluiced, "--help"], capture_output=True, text=True, timeout=60).stdout
        assert re.search(r"default: (\S+)\)", told)[1] == f"/{conf}"
    docs = tmp_path / prefix[1:] / "share/doc/sluice"
    for named in re.findall(r"\]\(tools/(?:doc|conf)/(\S+)\)", (docs / "README.md").read_text()):
        assert (docs / named).exists(), f"the README that is installed speaks of {named}"
    (tmp_path / conf).write_text("mine")
    script("install", tmp_path, prefix)
    assert (tmp_path / conf).read_text() == "mine"
    script("uninstall", tmp_path, prefix)
    assert files(tmp_path) == [conf]
