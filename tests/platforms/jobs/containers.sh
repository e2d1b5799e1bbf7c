# The image, built by Docker and by Podman without a network, run hardened: doctor, exec, limits, a broker beside it, a drain by stop.
. /platform/common.sh
limits=$(cat /sys/fs/cgroup/cgroup.controllers) # none on this machine's kernel in native.sh
BASE=python:3.13-slim-bookworm PATHS='ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
[ "$limits" ] || { mkdir -p /etc/docker; echo '{"iptables": false, "ip6tables": false, "bridge": "none"}' >/etc/docker/daemon.json; }
systemctl start docker; said "dockerd" $?
echo "RESULT $(uname -sr), Docker $(docker version -f '{{.Server.Version}}'), $(runc --version | head -1), controllers: ${limits:-none}"
docker info 2>/dev/null | grep -iE 'cgroup|seccomp|storage'
docker import -c "$PATHS" /base.tar $BASE >/dev/null; said "base image" $?
cd /src && DOCKER_BUILDKIT=0 docker build --network none -q -f deploy/docker/Dockerfile -t reptarium . 2>&1 | tail -15
docker image inspect reptarium >/dev/null; said "docker build" $?
HARD="--read-only --cap-drop ALL --security-opt no-new-privileges --network none -e COLUMNS=150"
LIMITS=; [ ! "$limits" ] || LIMITS="--memory 1g --pids-limit 256"
printf 'import hashlib\nreturn [{"json": {"h": hashlib.sha256(b"x").hexdigest()[:8]}}]' >/tmp/code.py
printf 'x = []\nwhile True: x.append(bytearray(2**20))' >/tmp/hog.py
must "doctor, hardened" docker run --rm $HARD $LIMITS reptarium doctor
must "doctor as --user 65532 (root's group)" docker run --rm $HARD --user 65532 reptarium doctor
must "doctor without a flag" docker run --rm --network none reptarium doctor
docker run --rm -i $HARD $LIMITS reptarium exec - </tmp/code.py | grep -q 2d711642; said "exec" $?
docker run --rm -i $HARD reptarium exec - </tmp/hog.py 2>&1 | grep -qi memory; said "a task's own memory limit" $?
if [ "$limits" ]; then
    docker run --rm -i $HARD --memory 300m --pids-limit 64 reptarium exec - </tmp/code.py | grep -q 2d711642; said "exec, 300 MB, 64 processes" $?
    docker run --rm -i $HARD --memory 300m --pids-limit 64 reptarium exec - </tmp/hog.py >/tmp/out 2>&1; tail -3 /tmp/out
    grep -qi memory /tmp/out; said "a container's memory limit below the task's" $?
fi
(cd /tmp && /opt/reptarium/bin/python /platform/brokerload.py secret 1; echo "broker ended $?") >/tmp/broker 2>&1 &
until_true 60 grep -q listens /tmp/broker
docker run -d --name runner --read-only --cap-drop ALL --security-opt no-new-privileges $LIMITS --network host -e N8N_RUNNERS_TASK_TIMEOUT=5 \
    -e N8N_RUNNERS_TASK_BROKER_URI=http://127.0.0.1:5679 -e N8N_RUNNERS_AUTH_TOKEN=secret -e 'N8N_RUNNERS_STDLIB_ALLOW=*' reptarium
until_true 300 grep -q '^broker ended' /tmp/broker; cat /tmp/broker
grep -q '^broker ended 0' /tmp/broker; said "tasks of a broker" $?
docker inspect -f '{{.State.Health.Status}}' runner
until_true 60 sh -c '[ "$(docker inspect -f "{{.State.Health.Status}}" runner)" = healthy ]'; said "HEALTHCHECK" $?
docker stop -t 30 runner >/dev/null; [ "$(docker inspect -f '{{.State.ExitCode}}' runner)" = 0 ]; said "drained by stop, exit status 0" $?
docker logs runner 2>&1 | cut -c1-200 | tail -20
systemctl stop docker docker.socket containerd

echo "=== Podman without root"
chmod 755 /; chmod 644 /base.tar; chmod -R a+rX /src; loginctl enable-linger alice; until_true 30 test -d /run/user/1000
as_alice() { su - alice -c "export XDG_RUNTIME_DIR=/run/user/1000 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus; $1"; }
echo "RESULT $(podman --version), $(crun --version | head -1)"
as_alice "podman import -q -c '$PATHS' /base.tar $BASE"; said "base image" $?
as_alice "cd /src && podman build --network none -q --format docker -f deploy/docker/Dockerfile -t reptarium ." 2>&1 | tail -8
[ "$limits" ] && NONE= || NONE="--cgroups=disabled --pids-limit 0"
must "doctor, hardened (Podman)" as_alice "podman run --rm $NONE $HARD reptarium doctor"
as_alice "podman run --rm -i $NONE $HARD reptarium exec - </tmp/code.py" | grep -q 2d711642; said "exec (Podman)" $?
exit $failed
