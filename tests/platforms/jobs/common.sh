# Sourced by jobs. RESULT lines are what is looked for; a job's exit status is `failed`.
failed=0
said() { echo "RESULT $1: $([ "$2" = 0 ] && echo well || echo "exit status $2")"; [ "$2" = 0 ] || failed=1; }
# must WHAT COMMAND…
must() { local what=$1 status=0; shift; "$@" || status=$?; said "$what" $status; }
# until_true SECONDS COMMAND…
until_true() {
    local left=$1; shift
    while ! "$@" && [ "$left" -gt 0 ]; do sleep 1; left=$((left - 1)); done
    [ "$left" -gt 0 ]
}
