#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests doze on other kernels, each in a virtual machine without KVM; TAP on stdout.
#
#	usage: tests/kernels/run.sh [5.10|6.1|6.12]...		all of them when none is named
#
# The kernels are Debian's, fetched by apt into build/kernels/ and kept there. The machine has no
# disk and no network: busybox, doze, ip and their libraries are in its initramfs, and guest.sh is
# its init. What it prints on its console is build/kernels/NAME/console.log.
set -u
cd "$(dirname "$0")/../.." || exit 1

all='5.10 6.1 6.12'
time_limit_s=240
modules='veth sch_ingress cls_bpf 8021q tun ipip inet_diag tcp_diag lzo-rle zram'
packages='qemu-system-x86 busybox-static cpio iproute2'
build=$PWD/build/kernels
number=0
failed=0

# Which package of Debian, and what must be so on that kernel: what --hook=auto chooses on veth,
# whether it can replay (5.18), whether the gate can read an IP tunnel's packets (5.14),
# whether memory can be reclaimed (5.19).
describe() {
	hook=tc can_replay=yes reads_tunnels=yes reclaims=yes
	case $1 in
	5.10)
		suite=bullseye-security package=linux-image-cloud-amd64
		can_replay=no reads_tunnels=no reclaims=no
		;;
	6.1) suite=bookworm-security package=linux-image-cloud-amd64 ;;
	6.12) suite=bookworm-security package=linux-image-6.12-cloud-amd64 hook=tcx ;;
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
	command -v qemu-system-x86_64 busybox cpio ip tc >/dev/null && return
	echo "kernels: installing $packages" >&2
	# shellcheck disable=SC2086
	apt-get update -q >&2 &&
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
			$packages >&2
}

# --- the kernel: all of these work in its directory, build/kernels/NAME ---

# apt with lists of its own: this machine's are for another release, and are left alone.
private_apt() { # COMMAND ARGUMENT...
	command=$1
	shift
	"$command" -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State="$PWD/apt" -o Dir::State::status=/dev/null \
		-o Dir::Cache="$PWD/apt" -o APT::Sandbox::User=root "$@"
}

fetch_kernel() {
	[ ! -e vmlinuz ] || return 0
	mkdir -p apt/lists/partial apt/archives/partial
	echo "deb [arch=amd64] http://deb.debian.org/debian-security $suite main" >sources.list
	private_apt apt-get update -q >&2 || return
	# $package depends on the one that holds the kernel.
	image=$(private_apt apt-cache depends "$package" | sed -n 's/.*Depends: *//p')
	[ -n "$image" ] || return
	private_apt apt-get download -q "$image" >&2 || return
	rm -rf image
	dpkg-deb -x "$image"_*.deb image || return
	find image -name '*.ko.xz' -exec xz -d {} +
	ls image/lib/modules >release
	busybox depmod -b "$PWD/image" "$(cat release)" || return
	rm -- "$image"_*.deb
	cp image/boot/vmlinuz-* vmlinuz
}

# --- the initramfs ---

copy_program() { # FILE: with the libraries it is linked to, and their paths
	cp "$1" root/bin/
	ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} root
}

# The paths, below lib/modules/RELEASE, of a module and of all that it depends on.
list_module() { # MODULE
	grep "/$1\.ko:" "image/lib/modules/$(cat release)/modules.dep" | tr -d :
}

copy_modules() {
	from=image/lib/modules/$(cat release)
	: >root/modules
	for module in $modules; do
		files=$(list_module "$module")
		[ -n "$files" ] || continue # it is built in
		echo "$module" >>root/modules
		(cd image && for file in $files; do
			cp --parents "lib/modules/$(cat ../release)/$file" ../root
		done)
	done
	cp "$from/modules.dep" "root/lib/modules/$(cat release)/"
}

make_initramfs() {
	rm -rf root
	mkdir -p root/bin root/sbin root/dev root/proc root/sys root/run root/tmp root/etc
	copy_program "$(command -v busybox)"
	root/bin/busybox --list | while read -r applet; do
		[ "$applet" = busybox ] || ln -sf busybox "root/bin/$applet"
	done
	for program in "$doze" "$pod" "$(command -v ip)" "$(command -v tc)"; do
		rm -f "root/bin/${program##*/}"
		copy_program "$program"
	done
	cp "$build/peer" root/bin/peer
	install -m 755 "$source/guest.sh" root/init
	copy_modules
	(cd root && find . | cpio -o -H newc -R 0:0 --quiet) >initramfs
}

# --- the run ---

# The limit also holds where the guest hangs; panic=-1 and -no-reboot end qemu after a panic.
boot() {
	: >console.log
	: >results.log
	timeout -k 5 $time_limit_s qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max \
		-smp 2 -m 1G -nodefaults -display none -no-reboot -kernel vmlinuz -initrd initramfs \
		-serial file:console.log -serial file:results.log \
		-append "console=ttyS0 panic=-1 oops=panic quiet loglevel=4 \
			EXPECTED_HOOK=$hook CAN_REPLAY=$can_replay READS_TUNNELS=$reads_tunnels \
			RECLAIMS=$reclaims" \
		</dev/null >&2
}

show_console() { # nothing is passed over in silence: the end of what the kernel said
	tail -n 40 console.log | tr -d '\r' | sed 's/^/#   console: /'
}

report() { # EXIT-STATUS-OF-QEMU
	release=$(cat release)
	tr -d '\r' <results.log >results.txt
	while read -r line; do
		case $line in
		'ok '*) result ok "$release: ${line#ok }" ;;
		'not ok '*) result 'not ok' "$release: ${line#not ok }" ;;
		'#'*) echo "$line" ;;
		esac
	done <results.txt
	if grep -qx end results.txt && [ "$1" = 0 ] && ! grep -q 'Kernel panic' console.log; then
		return
	fi
	case $1 in # as timeout(1) has it
	124 | 137) result 'not ok' "$release: no end in $time_limit_s s" ;;
	*) result 'not ok' "$release: ended early (qemu's status $1), panicked or hung" ;;
	esac
	show_console
}

test_kernel() { # NAME
	mkdir -p "$build/$1"
	cd "$build/$1" || return
	if ! fetch_kernel; then
		skip "$1" "cannot fetch $package of $suite"
		return
	fi
	make_initramfs
	started_s=$(date +%s)
	boot
	report $?
	echo "# kernel $(cat release): $(($(date +%s) - started_s)) s"
}

source=$PWD/tests/kernels
doze=$PWD/doze
pod=$PWD/build/tests/kernels/pod
[ $# -gt 0 ] || eval "set -- $all"
for name in "$@"; do
	describe "$name" || {
		echo "run.sh: '$name' is none of the kernels $all" >&2
		exit 2
	}
done
if [ ! -x "$doze" ] || [ ! -x "$pod" ]; then
	echo "run.sh: no ./doze or no build/tests/kernels/pod: make kernels builds them" >&2
	exit 1
fi
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
echo "1..$number"
exit $failed
