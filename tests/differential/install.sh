#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: install.sh
# Installs the servers that the differential test compares, from Debian. None of them is started:
# a policy-rc.d forbids that meanwhile. Their units are enabled as Debian does it, so that they would
# run after the next boot: use a machine where that does no harm.
set -eu

packages='nginx haproxy redis-server postgresql gunicorn nodejs default-jre-headless'
policy=/usr/sbin/policy-rc.d

# A program that is there is not installed again: it may have come from elsewhere.
program_of() {
	case $1 in
	postgresql) find /usr/lib/postgresql -name postgres -path '*/bin/*' 2>/dev/null | head -n 1 ;;
	nodejs) echo node ;;
	default-jre-headless) echo java ;;
	*) echo "$1" ;;
	esac
}

missing=
for package in $packages; do
	command -v "$(program_of "$package")" >/dev/null || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "install.sh: not root, or no Debian; without$missing their scenarios are skipped" >&2
	exit 0
fi

if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
for package in $missing; do
	apt-get install -q -y --no-install-recommends "$package" ||
		echo "install.sh: cannot install $package; its scenarios are skipped" >&2
done
