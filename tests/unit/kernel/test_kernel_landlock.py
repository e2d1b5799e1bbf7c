"""Landlock: which rights each ABI handles, which paths are granted, and that a layer holds for real."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from kernel_helpers import child

from reptarium.sandbox.kernel import landlock, paths
from reptarium.sandbox.kernel.paths import Grant, grants

READ = (1 << 2) | (1 << 3)
needs_landlock = pytest.mark.usefixtures("kernel_layer")


class TestFeatures:
    @pytest.mark.parametrize(
        ("abi", "rights", "size", "net", "scoped", "flags"),
        [
            (1, 13, 8, 0, 0, (0, 0)),
            (2, 14, 8, 0, 0, (0, 0)),
            (3, 15, 8, 0, 0, (0, 0)),
            (4, 15, 16, 3, 0, (0, 0)),
            (5, 16, 16, 3, 0, (0, 0)),
            (6, 16, 24, 3, 3, (0, 0)),
            (7, 16, 24, 3, 3, (4, 1)),
            (8, 16, 24, 3, 3, (12, 1)),
            (9, 17, 24, 3, 3, (12, 1)),
            (10, 17, 24, 15, 3, (12, 1)),
            (23, 17, 24, 15, 3, (12, 1)),
        ],
    )
    def test_masks(self, abi: int, rights: int, size: int, net: int, scoped: int, flags: tuple[int, int]) -> None:
        """Each ABI handles exactly the rights that it knows, in a struct as long as it knows."""
        found = landlock.features(abi)
        assert found.handled_fs == 2**rights - 1
        assert (found.handled_net, found.scoped) == (net, scoped)
        assert (found.zygote_flags, found.worker_flags) == flags
        assert len(found.attribute) == size
        assert struct.unpack_from("=Q", found.attribute)[0] == found.handled_fs

    def test_what_is_missing_is_told(self) -> None:
        """An old ABI names what it can't handle; the newest misses nothing."""
        assert "TCP" in landlock.features(3).missing
        assert landlock.features(6).missing == ()
        assert len(landlock.features(1).missing) == 5

    def test_no_abi_zero(self) -> None:
        """There is no ABI 0."""
        with pytest.raises(ValueError, match="start at 1"):
            landlock.features(0)


class TestPaths:
    def test_own_code_is_left_out(self, tmp_path: Path) -> None:
        """A directory that holds something barred is granted as a listing, its other entries each by
        itself.
        """
        for name in ("site/pool/cli.py", "site/numpy/core.py", "site/six.py", "other/x.py"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "site" / "sly").symlink_to(tmp_path / "site" / "pool")
        found = grants([str(tmp_path)], [str(tmp_path / "site" / "pool")])
        assert set(found) == {
            Grant(str(tmp_path), "listing"),
            Grant(str(tmp_path / "other"), "tree"),
            Grant(str(tmp_path / "site"), "listing"),
            Grant(str(tmp_path / "site/numpy"), "tree"),
            Grant(str(tmp_path / "site/six.py"), "file"),
        }

    def test_roots_do_not_overlap(self) -> None:
        """No root lies below another, none is the root directory, all are real."""
        found = paths.readable()
        for root in found.roots:
            assert root != "/"
            assert Path(root).resolve() == Path(root)
            assert not any(str(parent) in found.roots for parent in Path(root).parents)

    def test_interpreter_is_readable(self) -> None:
        """The standard library and the packages are granted."""
        import numpy

        granted = [grant.path for grant in grants(paths.readable().roots, paths.own_paths()) if grant.kind != "listing"]
        for module in (struct, numpy):
            file = Path(str(module.__file__)).resolve()
            assert any(str(parent) in granted for parent in file.parents), file

    def test_nothing_private(self) -> None:
        """Neither configuration nor the runner's own code, home directories, /proc or /tmp are granted."""
        granted = {grant.path for grant in grants(paths.readable().roots, paths.own_paths())}
        own = Path(paths.__file__).resolve().parents[2]
        for barred in (
            "/",
            "/etc",
            "/proc",
            "/tmp",
            "/root",
            "/home",
            "/var",
            "/usr",
            str(own),
            str(own / "sandbox"),
        ):
            assert barred not in granted, barred

    def test_symlinks_on_the_way(self, tmp_path: Path) -> None:
        """Symlinks that lead to a readable path are reported, so that a new root can have them, too."""
        (tmp_path / "real").mkdir()
        (tmp_path / "alias").symlink_to("real")
        found = paths.readable([str(tmp_path / "alias")])
        assert str(tmp_path / "real") in found.roots
        assert (str(tmp_path / "alias"), "real") in found.links

    def test_what_does_not_exist(self) -> None:
        """An extra path that doesn't exist is left out."""
        assert not any("nowhere" in root for root in paths.readable(["/nowhere/at/all"]).roots)


PREPARED = """
from reptarium.sandbox.kernel import landlock, privileges
from reptarium.sandbox.kernel.paths import Grant
def layer(path, flags=0):
    ruleset = landlock.build([Grant(path, "tree"), Grant("/gone", "tree")], landlock.features(abi))
    landlock.restrict(ruleset, flags)
    ruleset.close()
    return ruleset
"""


@needs_landlock
class TestForReal:
    @pytest.mark.parametrize("abi", range(1, landlock.abi()[0] + 1))
    @pytest.mark.parametrize("user", [0, 65534] if os.geteuid() == 0 else [0])
    def test_reads_only_what_is_granted(self, abi: int, user: int, tmp_path: Path) -> None:
        """Under each ABI that this kernel understands a layer lets the granted tree be read, and nothing
        written.
        """
        tmp_path.chmod(0o777)
        for parent in tmp_path.parents:
            if parent.stat().st_uid == os.geteuid() and str(parent) not in ("/", "/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
        (tmp_path / "file").write_text("text")
        (tmp_path / "file").chmod(0o666)
        code = (
            PREPARED
            + """
import mimetypes
if os.geteuid() == 0 and user:
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
privileges.no_new_privs()
made = layer(path)
report([made.rules, len(made.skipped), open(path + "/file").read(), outcome(open, "/etc/passwd"),
        outcome(open, path + "/file", "r+"), outcome(open, path + "/file", "a"),
        outcome(open, path + "/new", "w"), outcome(os.rename, path + "/file", path + "/moved"),
        outcome(os.listdir, "/")])
"""
        )
        answers, status = child(code, abi=abi, user=user, path=str(tmp_path))
        assert status == 0
        assert answers == [1, 1, "text", "EACCES", "EACCES", "EACCES", "EACCES", "EACCES", "EACCES"]
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]

    @pytest.mark.skipif(landlock.abi()[0] < 6, reason="signal scope came with ABI 6")
    def test_scopes(self) -> None:
        """From ABI 6 on a layer bars signals and abstract sockets to outside; the outside can still kill
        the inside.
        """
        code = (
            PREPARED
            + """
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(b"\\0" + name.encode())
server.listen()
reader, writer = os.pipe()
pid = os.fork()
if pid == 0:
    privileges.no_new_privs()
    layer("/usr")
    inner = socket.socket(socket.AF_UNIX)
    found = [outcome(os.kill, os.getppid(), 0), outcome(inner.connect, b"\\0" + name.encode())]
    os.write(writer, json.dumps(found).encode())
    signal.pause()
found = json.loads(os.read(reader, 1000))
os.kill(pid, signal.SIGKILL)
report([found, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])])
"""
        )
        answers, status = child(code, abi=6, name=f"reptarium-unit-{id(self)}")
        assert (answers, status) == ([["EPERM", "EPERM"], -9], 0)

    def test_own_layer_separates_siblings(self) -> None:
        """A second layer of the same ruleset makes a domain of its own: a sibling's descriptors are out
        of reach.
        """
        code = (
            PREPARED
            + """
privileges.no_new_privs()
ruleset = landlock.build([Grant("/proc", "tree")], landlock.features(1))
landlock.restrict(ruleset, 0)
def probe(own_layer):
    reader, writer = os.pipe()
    os.write(writer, b"secret")
    pid = os.fork()
    if pid == 0:
        signal.pause()
    other = os.fork()
    if other == 0:
        os.close(reader)
        if own_layer:
            landlock.restrict(ruleset, 0)
        try:
            text = os.read(os.open(f"/proc/{pid}/fd/{reader}", os.O_RDONLY), 6).decode()
        except OSError as error:
            text = errno.errorcode[error.errno]
        os.write(1, (text + " ").encode())
        os._exit(0)
    os.waitpid(other, 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
os.write(1, b'"')
probe(False); probe(True)
os.write(1, b'"')
"""
        )
        answers, status = child(code)
        assert (answers, status) == ("secret EACCES ", 0)
