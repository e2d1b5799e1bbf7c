"""musl makes other system calls than glibc for the same things: a program that is linked to it, under the real filters.

The interpreter that runs the tests has glibc, as a rule, so a small C program plays zygote and worker. It takes
``musl-gcc`` (Debian: musl-tools; `.ci/run` installs it).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from reptarium.sandbox.kernel import seccomp, syscalls
from tests.limits import within

COMPILER = shutil.which("musl-gcc")
pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no musl-gcc here (Debian: musl-tools)"),
    pytest.mark.usefixtures("kernel_layer"),
]

PROGRAM = r"""
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct filter { unsigned short len; void *code; };
static char code[32768];
static volatile sig_atomic_t caught;
static volatile int ran;

static struct filter load(const char *path) {
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, code, sizeof code);
    close(fd);
    return (struct filter){size / 8, code};
}
static int install(struct filter filter) { return syscall(SYS_seccomp, 1, 0, &filter); }
static void say(const char *name, int good) { printf("%s %s\n", name, good ? "works" : strerror(errno)); }
static void on_signal(int number) { caught = number; }
static void *thread(void *attached) {
    struct timespec now;
    free(malloc(1 << 20));
    clock_gettime(CLOCK_MONOTONIC, &now);
    ran++;
    return attached;
}
static void worker(struct filter filter, int offsets, char **offset) {
    pthread_t first, second;
    uint32_t pid = getpid();
    for (int i = 0; i < offsets; i++) memcpy(code + atoi(offset[i]), &pid, 4);
    say("worker's filter", install(filter) == 0);
    signal(SIGUSR1, on_signal);
    say("raise", raise(SIGUSR1) == 0 && caught == SIGUSR1);
    say("a thread", pthread_create(&first, 0, thread, &first) == 0 && pthread_join(first, 0) == 0 && ran == 1);
    say("a detached thread", pthread_create(&second, 0, thread, 0) == 0 && pthread_detach(second) == 0);
    while (ran < 2) nanosleep(&(struct timespec){0, 1000000}, 0);
    nanosleep(&(struct timespec){0, 20000000}, 0);
    say("memory", (free(malloc(1 << 24)), 1));
    say("a signal to another", syscall(SYS_tkill, getppid(), 0) == 0);
    say("fork in a worker", fork() >= 0);
    say("a socket", socket(AF_INET, SOCK_STREAM, 0) >= 0);
    fflush(stdout);
    abort();
}
int main(int count, char **argument) {
    int status;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    say("zygote's filter", install(load(argument[1])) == 0);
    struct filter filter = load(argument[2]);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) worker(filter, count - 3, argument + 3);
    say("fork", pid > 0);
    say("wait", waitpid(pid, &status, 0) == pid);
    printf("the worker ended by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    return 0;
}
"""


def test_zygote_forks_and_worker_works(tmp_path: Path) -> None:
    """A zygote forks, its worker signals itself, has threads and memory and aborts; what is refused is refused."""
    arch = syscalls.machine()
    assert COMPILER is not None
    assert arch is not None
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    subprocess.run([COMPILER, "-O1", "-static", "-o", program, source], check=True, timeout=within(60))
    zygote, worker = seccomp.zygote_filter(arch), seccomp.worker_filter(arch)
    (tmp_path / "zygote").write_bytes(zygote.code)
    (tmp_path / "worker").write_bytes(worker.code)
    done = subprocess.run(
        [program, tmp_path / "zygote", tmp_path / "worker", *map(str, worker.pid_offsets)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within(60), check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "zygote's filter works",
        "worker's filter works",
        "raise works",
        "a thread works",
        "a detached thread works",
        "memory works",
        "a signal to another Operation not permitted",
        "fork in a worker Operation not permitted",
        "a socket Operation not permitted",
        "fork works",
        "wait works",
        "the worker ended by 6",
    ]
    assert done.returncode == 0
