# SPDX-License-Identifier: BSD-2-Clause
"""kernels.py - Debian's own kernels, unpacked beside the source, for machines to boot.

    k = kernels.get("6.1")      k.version, k.image, k.modules (the tree that holds lib/modules)
    k.initrd(modules, init)     a busybox initrd with these modules, made once

The packages come from the mirror that this system uses already, by apt and checked as apt checks
them, but with a source list, package lists and a download folder of our own: the system's are
not touched. All of it lies in .cache/vm, which git ignores; removing that folder means to fetch
anew. Cloud kernels: they have everything that we test and come in 30 MB.
"""
import fcntl
import glob
import io
import lzma
import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "vm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITE = {"6.1": "bookworm-security", "6.12": "bookworm-backports"}
PACKAGE = "linux-image-cloud-amd64"
UPDATE_S, DOWNLOAD_S = 180, 300  # time limits; seconds on an ordinary line

# drivers of hardware that no machine of ours has, most of the size
USELESS = """sound drivers/gpu drivers/media drivers/infiniband drivers/scsi drivers/usb drivers/staging
 drivers/net/wireless drivers/iio drivers/hwmon drivers/input drivers/mtd drivers/isdn""".split()


class Missing(Exception):
    """What this machine lacks: the tests that want it are skipped and say so."""


def mirror():
    """The address under which this system finds Debian, and that of its security archive."""
    found = []
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        if not path.endswith((".list", ".sources")) or not os.path.isfile(path):
            continue
        for line in pathlib.Path(path).read_text(errors="replace").splitlines():
            if re.match(r"\s*(deb\s|URIs:)", line):
                found += re.findall(r"\bhttps?://[^\s\]]+", line)
    found = [uri.rstrip("/") for uri in found]
    main = next((uri for uri in found if uri.endswith("/debian")), None)
    if not main:
        raise Missing("no Debian mirror in this system's apt sources")
    return main, next((u for u in found if u.endswith("/debian-security")), main + "-security")


def apt(command, *args, limit, cwd=None):
    own = CACHE / "apt"
    options = ["-qq", "-o", f"Dir::Etc::sourcelist={own}/list", "-o", "Dir::Etc::sourceparts=-",
               "-o", f"Dir::State::lists={own}/lists", "-o", f"Dir::Cache={own}/cache",
               "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=2"]
    try:
        done = subprocess.run([command, *options, *args], cwd=cwd, timeout=limit, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired as late:
        raise Missing(f"{command} {args[0]} took longer than {limit} s") from late
    if done.returncode:
        raise Missing(f"{command} {args[0]}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    return done.stdout


def fetch(name, into):
    main, security = mirror()
    own = CACHE / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (own / folder).mkdir(parents=True, exist_ok=True)
    archive = security if SUITE[name].endswith("-security") else main
    (own / "list").write_text(f"deb [signed-by={KEYRING}] {archive} {SUITE[name]} main\n")
    apt("apt-get", "update", limit=UPDATE_S)
    meta = apt("apt-cache", "show", PACKAGE, limit=60)
    found = re.search(r"^Depends: linux-image-(\S+)", meta, re.M)
    if not found:
        raise Missing(f"no {PACKAGE} in {SUITE[name]}")
    version = found.group(1)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    apt("apt-get", "download", f"linux-image-{version}", limit=DOWNLOAD_S, cwd=into)
    for deb in into.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, into / "x"], timeout=120, check=True)
        deb.unlink()
    (into / "x/boot" / f"vmlinuz-{version}").rename(into / "vmlinuz")
    (into / "x/lib").rename(into / "lib")
    shutil.rmtree(into / "x")
    tree = into / "lib/modules" / version / "kernel"
    for folder in USELESS:
        shutil.rmtree(tree / folder, ignore_errors=True)
    subprocess.run(["depmod", "-b", into, version], timeout=120, check=True, capture_output=True)
    (into / "version").write_text(version + "\n")


class Kernel:
    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.version = (folder / "version").read_text().strip()
        self.image = folder / "vmlinuz"
        self.modules = folder / "lib/modules" / self.version

    def needs(self, wanted):
        """Paths of these modules and of what they depend on, in the order in which to load them."""
        path, deps, order = {}, {}, []
        for line in (self.modules / "modules.dep").read_text().splitlines():
            file, _, rest = line.partition(":")
            path[re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(file)).replace("-", "_")] = file
            deps[file] = rest.split()
        built_in = (self.modules / "modules.builtin").read_text().replace("-", "_")
        for module in wanted:
            if module not in path:
                if f"/{module}.ko" not in built_in:
                    raise Missing(f"kernel {self.version} has no module {module}")
                continue
            for file in [*reversed(deps[path[module]]), path[module]]:
                if file not in order:
                    order.append(file)
        return order

    def initrd(self, wanted, init):
        """The archive, as a file: busybox, the modules, and `init` as its first process."""
        busybox = shutil.which("busybox")
        made_of = [pathlib.Path(init), pathlib.Path(__file__), self.folder / "version"]
        out = self.folder / "initrd"
        if out.exists() and all(out.stat().st_mtime > p.stat().st_mtime for p in made_of):
            return out
        archive = Archive()
        for folder in ("bin", "proc", "sys", "dev", "m"):
            archive.add(folder, 0o40755)
        archive.add("bin/busybox", 0o100755, pathlib.Path(busybox).read_bytes())
        archive.add("bin/sh", 0o120777, b"busybox")
        names = []
        for file in self.needs(wanted):
            data = (self.modules / file).read_bytes()
            name = os.path.basename(file)
            if name.endswith(".xz"):
                name, data = name[:-3], lzma.decompress(data)
            names.append(name)
            archive.add("m/" + name, 0o100644, data)
        archive.add("m/order", 0o100644, "".join(n + "\n" for n in names).encode())
        archive.add("init", 0o100755, pathlib.Path(init).read_bytes())
        part = out.with_name(f"initrd.{os.getpid()}")
        part.write_bytes(archive.end())
        part.rename(out)
        return out


class Archive:
    """A cpio archive of the kind that kernels unpack ("newc"), uncompressed: it is never moved."""

    def __init__(self):
        self.out, self.inode = io.BytesIO(), 0

    def add(self, name, mode, data=b""):
        self.inode += 1
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        self.out.write(b"070701" + "".join(f"{f:08x}" for f in fields).encode() + name.encode() + b"\0")
        self.pad()
        self.out.write(data)
        self.pad()

    def pad(self):
        self.out.write(bytes(-self.out.tell() % 4))

    def end(self):
        self.add("TRAILER!!!", 0)
        return self.out.getvalue()


def get(name):
    """Fetches it at most once. Raises Missing where it cannot be had."""
    folder = CACHE / "kernels" / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "version").exists():
            part = folder.with_name(name + ".part")
            fetch(name, part)
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    return Kernel(name, folder)
