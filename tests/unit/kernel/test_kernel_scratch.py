"""What the filters answer where workers have a directory to write in, to each call that makes or changes files."""

from __future__ import annotations

import errno

import pytest

from reptarium.sandbox.kernel import seccomp
from reptarium.sandbox.kernel.bpf import ALLOW, Clause, Rules, errno_action
from reptarium.sandbox.kernel.scratch import with_scratch
from reptarium.sandbox.kernel.syscalls import ARCHES, Arch


@pytest.fixture(params=ARCHES)
def rules(request: pytest.FixtureRequest) -> Rules:
    """A worker's, per architecture."""
    arch: Arch = request.param
    return with_scratch(seccomp.worker_rules(arch), zygote=False)


@pytest.mark.parametrize("name", "chmod fchmod fchmodat umask fsync fdatasync flock".split())
def test_what_landlock_does_not_handle_has_no_effect(rules: Rules, name: str) -> None:
    """A call that could change files outside of the directory is answered as done, and does nothing."""
    assert rules.plain[name] == errno_action(0)


@pytest.mark.parametrize(("name", "arg"), [("utime", 1), ("utimes", 1), ("futimesat", 2), ("utimensat", 2)])
def test_times_are_set_without_effect_but_to_now(rules: Rules, name: str, arg: int) -> None:
    """Who would make the file when its times can't be set to now, as pathlib's touch, must hear that they can't."""
    now, others = rules.checked[name]
    assert [(check.arg, check.values, check.high) for check in now.checks] == [(arg, (0,), False), (arg, (0,), True)]
    assert now.action == errno_action(errno.EPERM)
    assert others == Clause((), errno_action(0))


def test_locks_are_told_of_and_not_kept(rules: Rules) -> None:
    """Each would be memory of the kernel's that no limit counts, and on a library's file other tasks would see it."""
    answers = {
        value: clause.action for clause in rules.checked["fcntl"] for check in clause.checks for value in check.values
    }
    assert [answers[told] for told in (5, 36)] == [ALLOW] * 2  # F_GETLK, F_OFD_GETLK
    assert [answers[kept] for kept in (6, 7, 37, 38)] == [errno_action(0)] * 4  # F_SETLK, F_SETLKW, F_OFD_…


@pytest.mark.parametrize(
    "name",
    "link linkat symlink symlinkat mknod mknodat chown fchown fchownat lchown truncate fallocate chdir fchdir mount "
    "copy_file_range sendfile fchmodat2 openat2 memfd_create inotify_init1 setxattrat".split(),
)
def test_what_is_no_part_of_it_stays_refused(rules: Rules, name: str) -> None:
    """Links, devices, owners, paths of other kinds, and moving about are refused as without it."""
    assert rules.plain.get(name, rules.default) != ALLOW
    assert name not in rules.checked


def test_extended_attributes_are_not_supported(rules: Rules) -> None:
    """Copies go on without them, as on file systems that have none."""
    assert {rules.plain[name] for name in ("listxattr", "getxattr", "setxattr")} == {errno_action(errno.EOPNOTSUPP)}


def test_nothing_changes_without_it() -> None:
    """A worker without a directory has the filter that it had."""
    for arch in ARCHES:
        assert "mkdirat" not in {**seccomp.worker_rules(arch).plain, **seccomp.worker_rules(arch).checked}
        assert len(seccomp.worker_filter(arch)) < len(seccomp.worker_filter(arch, scratch=True))
