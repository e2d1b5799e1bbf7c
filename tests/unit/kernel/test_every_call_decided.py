"""Every system call is decided: what a worker gets is in the filter's tables, what it doesn't get has a reason here.

A call that a new kernel brings is refused until it stands in one of them.
"""

from __future__ import annotations

from collections import Counter

import pytest

from reptarium.sandbox.kernel import seccomp, syscalls
from reptarium.sandbox.kernel.bpf import ALLOW, KILL
from reptarium.sandbox.kernel.syscalls import ARCHES, Arch

#: Why → the calls that are answered EPERM whatever their arguments. What powers open is told beside it.
REFUSED: dict[str, str] = {
    "it starts a program or a process, or waits for one: a worker is one process; threads are clone's": """
        execve execveat fork vfork wait4 waitid uselib""",
    "it signals, stops or bounds another process, or tells of one": """
        kill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal process_mrelease getpgid getsid
        get_robust_list""",
    "it makes or uses a socket: REPTARIUM_CONNECT_ALLOW has the supervisor hand connected ones over": """
        socket connect bind listen accept accept4 sendmsg recvmsg sendmmsg recvmmsg getpeername getsockname getsockopt
        shutdown""",
    "it changes something in a file system: REPTARIUM_SCRATCH opens what a private directory takes": """
        creat mkdir mkdirat mknod mknodat rmdir link linkat symlink symlinkat unlink unlinkat rename renameat renameat2
        truncate ftruncate fallocate chmod fchmod fchmodat fchmodat2 chown fchown fchownat lchown umask utime utimes
        utimensat futimesat pwrite64 pwritev pwritev2""",
    "it reads or writes attributes beside a file's bytes, where no Landlock right stands before them": """
        getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr removexattr
        lremovexattr fremovexattr getxattrat setxattrat listxattrat removexattrat file_getattr file_setattr""",
    "it makes file systems write or tells of them: others share those": """
        sync syncfs fsync fdatasync msync sync_file_range flock statfs fstatfs ustat sysfs statmount listmount
        open_tree_attr""",
    "the working directory stays where it is: what paths mean doesn't change under libraries": "chdir fchdir",
    "it copies between descriptors in the kernel: read and write do, and most of its holes were here": """
        sendfile splice tee vmsplice copy_file_range""",
    "it tells what other processes have in the page cache, or fills that": "mincore cachestat readahead",
    "memory that others can share, that a file lies behind, or that counts nowhere": """
        memfd_create memfd_secret shmget shmat shmdt shmctl remap_file_pages mlock mlock2 mlockall munlock
        munlockall""",
    "messages and semaphores that processes share": """
        semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive
        mq_notify mq_getsetattr""",
    "it says where memory lies, or moves it: the machine's business": """
        mbind set_mempolicy set_mempolicy_home_node get_mempolicy migrate_pages move_pages""",
    "it says how processors and disks are shared out: the administrator's business": """
        setpriority getpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_setattr
        sched_getattr sched_setaffinity sched_get_priority_max sched_get_priority_min sched_rr_get_interval ioprio_set
        ioprio_get""",
    "limits and identity are given before the task, for good; REPTARIUM_POLICY lets some limits be lowered once": """
        setrlimit setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset capget setsid
        setpgid personality""",
    "it restricts by filters of the task's own, which could blind a library to what failed": """
        seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self lsm_get_self_attr lsm_set_self_attr
        lsm_list_modules""",
    "asynchronous input and output, by a ring or a context in the kernel: threads do": """
        io_setup io_submit io_getevents io_pgetevents io_cancel io_destroy""",
    "timers and signals as descriptors, by an interface that is rarely used: timerfd and threads do": """
        timer_create timer_settime timer_gettime timer_getoverrun timer_delete getitimer setitimer alarm pause
        signalfd signalfd4""",
    "it watches files: nothing that a task may read changes": """
        inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init fanotify_mark""",
    "it makes descriptors by an older interface than the one that is open (epoll_create1, eventfd2, pipe2, fcntl)": """
        epoll_create epoll_ctl_old epoll_wait_old eventfd pipe dup dup2 dup3""",
    "it does by another number what futex does, or epoll_pwait: C libraries fall back": """
        futex_wait futex_wake futex_requeue epoll_pwait2""",
    "descriptors are closed one by one": "close_range",
    "the processor's own registers and keys: C libraries set them up before the worker is restricted": """
        arch_prctl set_thread_area get_thread_area pkey_alloc pkey_free pkey_mprotect""",
    "no kernel that we run on has it any more": """
        _sysctl afs_syscall create_module get_kernel_syms getpmsg putpmsg query_module security tuxcall vserver""",
}
#: Answered by another error than EPERM, for which C libraries have a way on.
ANSWERED = {
    "clone3": "ENOSYS: its flags lie in memory; C libraries fall back to clone, whose flags can be looked at",
    "openat2": "ENOSYS: its flags lie in memory; libraries fall back to openat",
    "futex_waitv": "ENOSYS: libraries fall back to futex",
    "io_uring_setup": "ENOSYS: a ring does what the filter can't see; libraries fall back to epoll",
    "map_shadow_stack": "ENOSYS: C libraries go on without",
    "fadvise64": "done, without effect: it tells by its time what others have read",
}


def decisions() -> Counter[str]:
    """How often each call is decided on here."""
    return Counter(name for names in REFUSED.values() for name in names.split()) + Counter([*ANSWERED])


@pytest.mark.parametrize("arch", ARCHES)
def test_every_call_has_one_decision(arch: Arch) -> None:
    """In the filter's own tables, or here; and the filter does what stands here."""
    rules = seccomp.worker_rules(arch)
    here = decisions()
    wrong = {}
    for name in syscalls.names(arch):
        action = rules.plain.get(name, rules.default)
        opened = name in rules.checked or action == ALLOW
        ends = name in seccomp.HOPELESS and action == KILL
        if [opened, ends, here[name] == 1].count(True) != 1 or (name in ANSWERED) != (
            not opened and not ends and action != rules.default
        ):
            wrong[name] = (opened, ends, here[name])
    assert wrong == {}


def test_nothing_else_is_decided() -> None:
    """No name that neither architecture has, and none twice."""
    known = {name for arch in ARCHES for name in syscalls.names(arch)}
    here = decisions()
    assert here.keys() - known == set()
    assert [name for name, times in here.items() if times > 1] == []
