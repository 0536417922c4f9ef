#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The README's two commands on a clean clone in a fresh, minimal Debian 12: debootstrap into a folder,
# chroot, run. Fails if one of them fails or takes more than 20 minutes. Needs root, debootstrap and a
# Debian mirror: the one of this machine's apt, with apt's settings, or $MIRROR.
#
#	sh tests/fresh-root.sh [FOLDER [COMMAND...]]
#
# FOLDER must not exist and stays; without one it is made and removed. Other commands than those two may
# be named. The commit that is checked out is tested, not what is
# changed in the working tree.
# shellcheck disable=SC2016
set -eu
limit=1200

fail()
{
	echo "fresh-root.sh: $*" >&2
	exit 1
}

# A mount namespace of its own: whatever happens, nothing stays mounted.
if [ "${FRESH_ROOT_INSIDE:-}" != 1 ]; then
	[ "$(id -u)" -eq 0 ] || fail "needs root"
	command -v debootstrap >/dev/null || fail "needs debootstrap: apt-get install debootstrap"
	FRESH_ROOT_INSIDE=1 exec unshare --mount --propagation private sh "$0" "$@"
fi

source=$(cd "$(dirname "$0")/.." && pwd)
keep=yes root=${1:-}
if [ -z "$root" ]; then
	keep=no root=$(mktemp -d "${TMPDIR:-/var/tmp}/tq-fresh-root.XXXXXX")
else
	mkdir "$root"
fi
chmod 755 "$root"
root=$(cd "$root" && pwd)

unmount()
{
	for m in sys dev/shm dev proc; do
		mountpoint -q "$root/$m" && umount "$root/$m"
	done
	! grep -q " $root/" /proc/self/mounts
}

clean_up()
{
	unmount || { echo "fresh-root.sh: $root is still in use, left alone" >&2; return; }
	[ $keep = yes ] || rm -rf --one-file-system "$root"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
	awk '$2 == "bookworm" { print $1; exit }')}
[ -n "$mirror" ] || fail "apt knows no mirror of bookworm: apt-get update, or set MIRROR"
for scheme in http https; do
	proxy=
	eval "$(apt-config shell proxy "Acquire::$scheme::Proxy")"
	[ -z "$proxy" ] || export "${scheme}_proxy=$proxy"
done

echo "a minimal bookworm in $root"
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$root.log" 2>&1 ||
	{ tail -20 "$root.log"; fail "debootstrap failed"; }
rm -f "$root.log"

# apt in there asks what apt here asks
rm -rf "$root/etc/apt"
cp -a /etc/apt "$root/etc/apt"
[ -z "${MIRROR:-}" ] || { rm -rf "$root"/etc/apt/sources.list.d/*; echo "deb $mirror bookworm main" >"$root/etc/apt/sources.list"; }
for f in /usr/share/keyrings /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
	[ -e "$f" ] || continue
	mkdir -p "$root$(dirname "$f")"
	cp -rL "$f" "$root$(dirname "$f")/"
done

git clone -q --no-hardlinks "$source" "$root/root/libtq"
mount -t proc proc "$root/proc"
mount --bind -o ro /sys "$root/sys"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"

# pip asks PyPI with this machine's certificates, by a name that no package overwrites
certificates=/root/certificates.crt
cp -L /etc/ssl/certs/ca-certificates.crt "$root$certificates" 2>/dev/null || certificates=

# The directory of the clone and the seconds are shown, the output is kept.
bad=0
[ $# -gt 1 ] && shift || set -- "sh tests/run.sh" "sh tools/demo.sh"
for command; do
	log=$root/root/$(echo "$command" | tr -c 'a-z\n' -).log
	begin=$(date +%s)
	status=0
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 http_proxy="${http_proxy:-}" \
		https_proxy="${https_proxy:-}" ${certificates:+PIP_CERT="$certificates"} timeout -k 30 $limit chroot "$root" \
		sh -c "cd /root/libtq && $command" >"$log" 2>&1 </dev/null || status=$?
	seconds=$(($(date +%s) - begin))
	echo
	echo "\$ $command"
	tail -n 25 "$log"
	if [ $status -eq 124 ]; then
		echo "$command: more than $limit s"
	elif [ $status -ne 0 ]; then
		grep -E 'FAIL|rror' "$log" | head -40
	fi
	echo "$command: status $status, $seconds s"
	[ $status -eq 0 ] || bad=1
done
exit $bad
