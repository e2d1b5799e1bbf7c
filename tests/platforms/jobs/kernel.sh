# In an emulated machine: what the kernel has, doctor as root and as an ordinary user, a task, the kernel layer's own tests.
# RESULT lines are the table's (docs/platforms.md). TESTS: others than these.
. /common.sh
as_user() { setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all "$@"; }
echo "RESULT $(uname -srm), Python $(python -c 'import platform; print(platform.python_version())'), pages of $(getconf PAGESIZE)"
echo "RESULT security modules: $(cat /sys/kernel/security/lsm)"
reptarium doctor; said "doctor as root" $?
as_user reptarium doctor; said "doctor as a user" $?
echo 'return [{"json": {"started": True}}]' >/tmp/code.py; chmod 644 /tmp/code.py
reptarium exec /tmp/code.py; said "a task" $?
for each in ${TESTS:-tests/unit/kernel/test_kernel_landlock.py tests/unit/kernel/test_kernel_seccomp.py tests/unit/kernel/test_kernel_isolation.py \
    tests/security/kernel/test_reach.py tests/security/kernel/test_works.py tests/security/kernel/test_fallbacks.py tests/security/kernel/test_exhaust.py}; do
    echo "--- $each"
    python -m pytest -q -p no:cacheprovider --tb=short "$each" >/tmp/out 2>&1; status=$?
    grep -E '^(FAILED|ERROR)' /tmp/out; [ $status = 0 ] || tail -60 /tmp/out
    said "$each ($(tail -1 /tmp/out))" $status
done
exit $failed
