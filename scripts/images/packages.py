"""The image's packages: fetched for the machine that will run them, and without what the app never loads.

The Dockerfile runs this file alone, with the Python of its base: nothing but the standard library and pip. Wheels are
chosen by platform (https://pip.pypa.io/en/stable/cli/pip_download/), never built, so an image for arm64 is made on
amd64 without an emulator.
"""

from __future__ import annotations

import argparse
import compileall
import platform
import py_compile
import shutil
import struct
import subprocess
import sys
from pathlib import Path

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
NEWEST_GLIBC = 36  # Debian 12's is 2.36: what asks for a newer one would not load
# AWS services that the app or its credentials speak to; of four hundred others botocore has the data, too.
SERVICES = ("dynamodb", "s3", "sesv2", "sso", "sso-oidc", "sts")
# What is left out, by the folder or the files that it is, and why nobody misses it.
LEFT_OUT = {
    "botocore/data/*/": "descriptions of services that nobody calls",
    "boto3/data": "resources: the app has clients alone",
    "boto3/examples": "documentation",
    "PIL": "pictures: statements have none, and fpdf2 starts without",
    "pillow.libs": "the same",
    "pillow-*.dist-info": "the same",
    "fontTools/**/*.so": "the same modules stand there in Python; a statement asks for a font's table of characters",
    "fontTools/cu2qu": "makers of fonts: a statement takes a few letters out of one",
    "fontTools/merge": "the same",
    "fontTools/mtiLib": "the same",
    "fontTools/qu2cu": "the same",
    "fontTools/ufoLib": "the same",
    "fontTools/voltLib": "the same",
    "stripe/params": "types of arguments, for type checkers",
    "stripe/events": "Stripe's second kind of events, which it sends to who asks for them",
    "stripe/test_helpers": "clocks of Stripe's sandbox",
    "stripe/climate": "what else Stripe sells: nothing of it is asked for or told to us",
    "stripe/issuing": "the same",
    "stripe/terminal": "the same",
    "stripe/treasury": "the same",
    "wtforms/locale": "its own words in other languages: forms here have ours",
    "dns": "whether an address has a mail server is not asked: checks of addresses stay offline",
    "dnspython-*.dist-info": "the same",
    "pycparser": "cffi reads C with it, at build time",
    "pycparser-*.dist-info": "the same",
    "pyasn1_modules/rfc[!5]*": "certificates' relations: passkeys of Android ask for rfc5280 alone",
    "pyasn1_modules/rfc5[!2]*": "the same",
    "bin": "commands: each is run as python -m",
    "share": "manual pages",
    "**/tests": "tests of packages",
    "**/*.pyi": "for type checkers",
    "**/*.c": "what a library was compiled from",
    "**/*.h": "the same",
    "**/RECORD": "what pip would need to take a package away again",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True, help="the locked packages, with their hashes")
    parser.add_argument("--to", type=Path, required=True, help="the folder to put them into")
    parser.add_argument("--arch", default="", choices=["", *MACHINES], help="of the machine that will run them")
    parser.add_argument("--python", default="", help="its Python, like 3.11 (this one's)")
    parser.add_argument("--whole", action="store_true", help="leave nothing out")
    given = parser.parse_args()
    arch = given.arch or this_arch()
    if status := subprocess.run(pip_install(given.lock, given.to, arch, given.python)).returncode:
        print(f"The packages of {given.lock} could not be installed for {arch}: pip's lines above say why.")
        return status
    before = size(given.to)
    if not given.whole:
        prune(given.to)
    if not compile_all(given.to, keep_sources=given.whole):
        print("A module could not be compiled: its name stands above.")
        return 1
    print(f"{arch}: {size(given.to) / 1e6:.1f} MB of packages; fetched were {before / 1e6:.1f} MB.")
    return 0


def this_arch() -> str:
    names = {machine: arch for arch, machine in MACHINES.items()}
    return names.get(platform.machine(), "amd64")


def pip_install(lock: Path, to: Path, arch: str, python: str) -> list[str]:
    """The command that installs the wheels of `arch` and no others; it runs nothing of theirs."""
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"),
        *("--require-hashes", "--no-deps", "--no-compile", "--target", str(to), "--requirement", str(lock)),
        *wheels_for(arch, python or f"{sys.version_info[0]}.{sys.version_info[1]}"),
    ]


def wheels_for(arch: str, python: str) -> list[str]:
    """pip's options for one machine; the whole list of platforms, since pip takes each at its word."""
    machine = MACHINES[arch]
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 4, -1)]
    names += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    abi = "cp" + python.replace(".", "")
    options = [option for name in names for option in ("--platform", name)]
    return ["--only-binary=:all:", "--implementation=cp", "--python-version", python, *options, *abis(abi)]


def abis(own: str) -> list[str]:
    return [option for name in (own, "abi3", "none") for option in ("--abi", name)]


def prune(folder: Path) -> None:
    """Remove what LEFT_OUT names, and what a library carries for debuggers alone. A second time changes nothing."""
    for pattern in LEFT_OUT:
        for path in [path for path in folder.glob(pattern.rstrip("/")) if not is_kept(folder, path)]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for library in folder.rglob("*.so*"):
        stripped(library)


def is_kept(folder: Path, path: Path) -> bool:
    """Of botocore's data the services that are called, and the files that belong to all of them."""
    return path.parent == folder / "botocore" / "data" and (path.name in SERVICES or path.is_file())


def stripped(library: Path) -> None:
    """Cut a library after the last byte that is loaded: behind it stand symbols and lines for debuggers.

    By the program headers (https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html), so for any machine;
    binutils' strip knows its own alone. A new file takes the old one's place.
    """
    content = library.read_bytes()
    if content[:6] != b"\x7fELF\x02\x01":  # 64 bits, little-endian: amd64 and arm64
        return
    (headers,) = struct.unpack_from("<Q", content, 32)
    entry_size, entries = struct.unpack_from("<HH", content, 54)
    end = headers + entry_size * entries
    for at in range(headers, end, entry_size):
        offset, _, _, in_file = struct.unpack_from("<QQQQ", content, at + 8)
        end = max(end, offset + in_file)
    if end >= len(content):
        return
    kept = bytearray(content[:end])
    struct.pack_into("<Q", kept, 40, 0)  # no section headers: they described what is gone, too
    struct.pack_into("<HH", kept, 60, 0, 0)
    fresh = library.with_name(library.name + ".new")
    fresh.write_bytes(kept)
    fresh.chmod(library.stat().st_mode)
    fresh.replace(library)


def compile_all(folder: Path, *, keep_sources: bool) -> bool:
    """Bytecode that is never compared with its source: a layer of an image keeps no times.

    Without its sources a module of a library is half as large; a trace still has its file, its line and its function.
    """
    never = py_compile.PycInvalidationMode.UNCHECKED_HASH
    done = compileall.compile_dir(folder, quiet=1, legacy=not keep_sources, invalidation_mode=never)
    for source in folder.rglob("*.py") if not keep_sources else ():
        if source.with_suffix(".pyc").exists():
            source.unlink()
    return bool(done)


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    sys.exit(main())
