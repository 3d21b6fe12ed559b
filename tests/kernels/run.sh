#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests doze on other kernels, in virtual machines without KVM; TAP on stdout, and then the table of
# what each kernel supports, which deploy/README.md has as well.
#
#	usage: tests/kernels/run.sh [5.10|6.1|6.12|newest]...	all of them when none is named
#
# The kernels are Debian's, fetched by apt into build/kernels/ and kept there. A machine has no disk
# and no network: busybox, doze, ip, the tests and their libraries are in its initramfs, and
# guest.sh is its init. There are two for each kernel, at the same time, with a part of the tests
# each. What one prints on its console is build/kernels/NAME/PART.console.
set -u
cd "$(dirname "$0")/../.." || exit 1

all='5.10 6.1 6.12 newest'
parts='run places'
cpu_limit_s=400
time_limit_s=1200
modules='af_packet veth sch_ingress cls_bpf 8021q tun inet_diag tcp_diag lzo-rle zram ext4
	ipip ip_gre macvlan ipvlan wireguard bonding vrf ip_vs ip_vs_rr'
programs='busybox ip tc wg ipvsadm'
packages='qemu-system-x86 busybox-static cpio xz-utils iproute2 wireguard-tools ipvsadm'
tests='test_gate test_kubelet test_datapath'
build=$PWD/build/kernels
number=0
failed=0

# Which package of Debian, and what must be so on that kernel: what --hook=auto chooses on veth,
# whether it can replay (5.18), whether the gate can read an IP tunnel's packets (5.14), whether a
# quota can have a burst (5.14), whether memory can be reclaimed (5.19).
describe() {
	archive=http://deb.debian.org/debian-security package=linux-image-cloud-amd64
	hook=tcx can_replay=yes reads_tunnels=yes has_burst=yes reclaims=yes
	case $1 in
	5.10)
		suites=bullseye-security
		hook=tc can_replay=no reads_tunnels=no has_burst=no reclaims=no
		;;
	6.1) suites=bookworm-security hook=tc ;;
	6.12) suites=bookworm-security package=linux-image-6.12-cloud-amd64 ;;
	newest) archive=http://deb.debian.org/debian suites='trixie-backports sid' ;;
	*) return 1 ;;
	esac
}

# --- TAP ---

result() { # "ok" or "not ok", TEXT
	number=$((number + 1))
	echo "$1 $number - kernel $2"
	[ "$1" = ok ] || failed=1
}

skip() { # KERNEL REASON
	number=$((number + 1))
	echo "ok $number # SKIP kernel $1: $2"
}

# --- what is needed on this machine ---

install_missing() {
	# shellcheck disable=SC2086
	command -v qemu-system-x86_64 cpio xz $programs >/dev/null && return
	echo "kernels: installing $packages" >&2
	# shellcheck disable=SC2086
	apt-get update -q >&2 &&
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
			$packages >&2
}

# --- the kernel: all of these work in its directory, build/kernels/NAME ---

# apt with lists of its own: this machine's are for another release, and are left alone. The highest
# version counts, from whichever suite it is.
private_apt() { # COMMAND ARGUMENT...
	command=$1
	shift
	"$command" -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::Etc::Preferences="$PWD/preferences" \
		-o Dir::Etc::PreferencesParts=/dev/null -o Dir::State="$PWD/apt" \
		-o Dir::State::status=/dev/null -o Dir::Cache="$PWD/apt" \
		-o APT::Sandbox::User=root "$@"
}

list_packages() {
	mkdir -p apt/lists/partial apt/archives/partial
	for suite in $suites; do
		echo "deb [arch=amd64] $archive $suite main"
	done >sources.list
	printf 'Package: *\nPin: release *\nPin-Priority: 500\n' >preferences
	private_apt apt-get update -q >&2
}

depends_on() { # PACKAGE: those of one version of the kernel that it depends on
	private_apt apt-cache depends "$1" |
		sed -n 's/.*Depends: *\(linux-[a-z]*-[0-9][^ ]*\)$/\1/p'
}

unpack() { # PACKAGE...: what was downloaded
	rm -rf image
	for one in "$@"; do
		dpkg-deb -x "$one"_*.deb image && rm -- "$one"_*.deb || return
	done
	[ -d image/lib ] || ln -s usr/lib image/lib
	find image -name '*.ko.xz' -exec xz -d {} +
	ls image/lib/modules >release
	busybox depmod -b "$PWD/image" "$(cat release)" &&
		find image -name 'vmlinuz*' -type f -exec cp {} vmlinuz \; && [ -e vmlinuz ]
}

# Debian's newest is looked for again each time; without a network it is the one that is here.
fetch_kernel() { # NAME
	[ ! -e vmlinuz ] || [ "$1" = newest ] || return 0
	image=
	list_packages && image=$(depends_on "$package" | grep linux-image-)
	if [ -z "$image" ]; then
		[ -e vmlinuz ]
		return
	fi
	[ ! -e vmlinuz ] || [ "linux-image-$(cat release)" != "$image" ] || return 0
	rm -f vmlinuz
	# A newer kernel is in several packages. No name has a space.
	# shellcheck disable=SC2046
	set -- "$image" $(depends_on "$image")
	private_apt apt-get download -q "$@" >&2 && unpack "$@"
}

# --- the initramfs ---

copy_program() { # FILE: with the libraries it is linked to, and their paths
	rm -f "root/bin/${1##*/}"
	cp "$1" root/bin/
	ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} root
}

# The paths, below lib/modules/RELEASE, of a module and of all that it depends on.
list_module() { # MODULE
	grep "/$1\.ko:" "image/lib/modules/$(cat release)/modules.dep" | tr -d :
}

# To root/modules those that are to be loaded, to root/missing those that this kernel does not have.
copy_modules() {
	from=image/lib/modules/$(cat release)
	to=$PWD/root/lib/modules/$(cat release)
	mkdir -p "$to"
	: >root/modules
	: >root/missing
	for module in $modules; do
		files=$(list_module "$module")
		if [ -n "$files" ]; then
			echo "$module" >>root/modules
			for file in $files; do
				(cd "$from" && cp --parents "$file" "$to")
			done
		elif ! grep -q "/$module\.ko" "$from/modules.builtin"; then
			echo "$module" >>root/missing
		fi
	done
	cp "$from/modules.dep" "$to/"
}

make_initramfs() {
	rm -rf root
	mkdir -p root/bin root/sbin root/dev root/proc root/sys root/run root/tmp root/etc
	for program in $programs; do
		copy_program "$(command -v "$program")"
	done
	root/bin/busybox --list | while read -r applet; do
		[ -e "root/bin/$applet" ] || ln -s busybox "root/bin/$applet"
	done
	# The tests call ip through a shell, and busybox's has an ip of its own.
	rm root/bin/sh
	copy_program "$(command -v dash)" && mv root/bin/dash root/bin/sh
	for program in "$doze" "$build/peer" "$built/pod"; do
		copy_program "$program"
	done
	for test in $tests; do
		copy_program "$built/$test"
	done
	install -m 755 "$source/guest.sh" root/init
	cp "$source"/guest_*.sh root/
	copy_modules
	(cd root && find . | cpio -o -H newc -R 0:0 --quiet) >initramfs
}

# --- the run ---

# One CPU: a kernel patches its own code, as when the first cgroup gets a quota, and an emulated CPU
# that meets the breakpoint meanwhile now and then hangs (QEMU 7.2). The limits also hold where the
# guest hangs: some 90 s of CPU is what it needs, and on a busy machine many times as long for that.
# There, without no_timer_check, the kernel takes the timer for broken. panic=-1 and -no-reboot end
# qemu after a panic.
boot() { # PART
	prlimit --cpu=$cpu_limit_s timeout -k 5 $time_limit_s \
		qemu-system-x86_64 -machine q35 -accel tcg -cpu max -smp 1 -m 1G \
		-nodefaults -display none -no-reboot -kernel vmlinuz -initrd initramfs \
		-serial "file:$1.console" -serial "file:$1.results" \
		-append "console=ttyS0 no_timer_check panic=-1 oops=panic quiet loglevel=4 PART=$1 \
			EXPECTED_HOOK=$hook CAN_REPLAY=$can_replay READS_TUNNELS=$reads_tunnels \
			HAS_BURST=$has_burst RECLAIMS=$reclaims" \
		</dev/null >&2
	echo $? >"$1.status"
	times >"$1.times"
}

show_console() { # PART: nothing is passed over in silence: the end of what the kernel said
	tail -n 40 "$1.console" | tr -d '\r' | sed 's/^/#   console: /'
}

report() { # PART
	release=$(cat release)
	tr -d '\r' <"$1.results" >"$1.lines"
	sed -n 's/^cell //p' "$1.lines" >>cells
	while read -r line; do
		case $line in
		'ok '*) result ok "$release: ${line#ok }" ;;
		'not ok '*) result 'not ok' "$release: ${line#not ok }" ;;
		'#'*) echo "$line" ;;
		esac
	done <"$1.lines"
	if grep -qx end "$1.lines" && [ "$(cat "$1.status")" = 0 ] &&
		! grep -q 'Kernel panic' "$1.console"; then
		return
	fi
	case $(cat "$1.status") in # as timeout(1) has it
	124 | 137 | 152)
		result 'not ok' "$release: $1: no end in $time_limit_s s, $cpu_limit_s s of CPU"
		;;
	*) result 'not ok' "$release: $1: ended early, panicked or hung" ;;
	esac
	show_console "$1"
}

test_kernel() { # NAME
	mkdir -p "$build/$1"
	cd "$build/$1" || return
	rm -f cells
	if ! fetch_kernel "$1"; then
		skip "$1" "cannot fetch $package of $suites"
		return
	fi
	make_initramfs
	started_s=$(date +%s)
	for part in $parts; do
		: >"$part.console"
		: >"$part.results"
		boot "$part" &
	done
	wait
	for part in $parts; do
		report "$part"
	done
	for part in $parts; do
		echo "# $(cat release): $part: $(tail -n 1 "$part.times") of CPU"
	done
	echo "# $(cat release): $(($(date +%s) - started_s)) s"
	tabled="$tabled $PWD"
}

# What the tests have shown, and whether the document says the same.
show_table() {
	[ -n "$tabled" ] || return
	# No path has a space.
	# shellcheck disable=SC2086
	"$source/table.py" deploy/README.md $tabled
	case $? in
	0) result ok "deploy/README.md has this table" ;;
	*) result 'not ok' "deploy/README.md has another table: put this into it" ;;
	esac
}

source=$PWD/tests/kernels
doze=$PWD/doze
built=$PWD/build/tests/kernels
tabled=
[ $# -gt 0 ] || eval "set -- $all"
for name in "$@"; do
	describe "$name" || {
		echo "run.sh: '$name' is none of the kernels $all" >&2
		exit 2
	}
done
for program in "$doze" "$built/pod" "$built/test_gate"; do
	if [ ! -x "$program" ]; then
		echo "run.sh: no $program: make kernels builds it" >&2
		exit 1
	fi
done
if [ "$(uname -m)" != x86_64 ] || ! install_missing; then
	skip "$*" "needs an x86_64 machine with $packages"
	echo "1..$number"
	exit 0
fi
mkdir -p "$build"
"${CC:-clang}" -O2 -Wall -Wextra -static -o "$build/peer" "$source/peer.c" || exit 1
for name in "$@"; do
	describe "$name"
	test_kernel "$name"
done
cd "$source/../.." || exit 1
show_table
echo "1..$number"
exit $failed
