# The unit as its own comment installs it, on a systemd: a broker, tasks, restart, kill -9, stop, doctor inside the unit, the drop-in.
. /platform/common.sh
echo "RESULT $(uname -sr), $(systemctl --version | head -1)"
cd /src/deploy/systemd || exit
# the comment's own commands, but the first: /opt/reptarium is there, made without this checkout's last changes
/opt/reptarium/bin/python -c 'import pathlib, reptarium, shutil; d = pathlib.Path(reptarium.__file__).parent
for part in ("pool", "sandbox"): shutil.rmtree(d / part); shutil.copytree(f"/src/{part}", d / part)'
sed -n 's/^#   \(install\|systemctl\)/\1/p' reptarium.service >/tmp/install.sh
sed -i 's/   (paste.*//; s,/dev/stdin,/tmp/token,' /tmp/install.sh; printf secret-of-the-unit >/tmp/token
sed -n '/delegate.conf/!p' /tmp/install.sh | grep -v 'enable --now' >/tmp/first.sh; cat /tmp/first.sh
must "install, as the comment says" bash -e /tmp/first.sh
printf 'N8N_RUNNERS_STDLIB_ALLOW=*\nN8N_RUNNERS_TASK_TIMEOUT=5\n' >/etc/reptarium/environment
(cd /tmp && /opt/reptarium/bin/python /platform/brokerload.py secret-of-the-unit 4; echo "broker ended $?") >/tmp/broker 2>&1 &
round() { grep -q "^round $1" /tmp/broker || grep -q '^broker ended' /tmp/broker; }
main_pid() { systemctl show -P MainPID reptarium; }
state() { systemctl show -P "$1" reptarium; }
must "enable --now" systemctl daemon-reload
must "start" systemctl enable --now reptarium
must "tasks" until_true 300 round 1
must "health" /opt/reptarium/bin/python -c 'import urllib.request as r; [print(r.urlopen("http://127.0.0.1:5681" + p, timeout=9).status) for p in ("/healthz", "/readyz")]'
must "restart" systemctl restart reptarium
must "tasks after a restart" until_true 300 round 2
kill -9 "$(main_pid)"
must "tasks after kill -9" until_true 300 round 3
[ "$(state NRestarts)" = 1 ]; said "one restart by systemd" $?
left=$(ps -eo ppid,args | awk '$1==1' | grep -c 'reptarium.sandbox'); [ "$left" = 0 ]; said "no process is left of the killed one" $?
echo "--- the drop-in"
must "install the drop-in" bash -e -c "$(grep delegate.conf /tmp/install.sh)"
systemctl restart reptarium
must "tasks with the drop-in" until_true 300 round 4
for pid in $(pgrep -f 'm reptarium.sandbox' | head -2); do cat "/proc/$pid/cgroup"; done
until_true 60 grep -q '^broker ended' /tmp/broker; cat /tmp/broker
grep -q '^broker ended 0' /tmp/broker; said "every answer as it must be" $?
must "stop" systemctl stop reptarium
[ "$(state Result)" = success ]; said "stopped as a success" $?
journalctl -u reptarium --no-pager -o cat | cut -c1-200 | tail -60
! journalctl -u reptarium --no-pager -o cat | grep -qE '^[0-9]{4}-[0-9]{2}-[0-9]{2}'; said "no second time stamp in the journal" $?
echo "--- doctor inside the unit"
mkdir -p /run/systemd/system/reptarium.service.d
printf '[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart=/opt/reptarium/bin/reptarium doctor\nWatchdogSec=0\n' >/run/systemd/system/reptarium.service.d/doctor.conf
systemctl daemon-reload; since=$(date +%s)
must "doctor inside the unit" systemctl start reptarium
journalctl -u reptarium --no-pager -o cat --since "@$since" | cut -c1-200 | tail -60
echo "--- a machine that lacks what is needed: not restarted for ever"
rm /run/systemd/system/reptarium.service.d/doctor.conf
echo 'REPTARIUM_TASK_MEMORY=nonsense' >>/etc/reptarium/environment; systemctl daemon-reload
! systemctl start reptarium; said "a wrong setting is refused" $?
sleep 5; [ "$(state ExecMainStatus)/$(state ActiveState)" = 78/failed ]; said "and stays so (78)" $?
exit $failed
