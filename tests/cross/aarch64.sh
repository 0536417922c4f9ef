#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# aarch64.sh DIR: a private aarch64 system root in DIR and a meson cross file DIR/aarch64.ini that runs under qemu.
# Nothing is installed for the foreign architecture: packages are downloaded with a package list of their own.
set -e
mkdir -p "$1"
cd "$1"
root=$(pwd)
packages="libc6 libgcc-s1 libhwloc15 libhwloc-dev libudev1 libcap2 check libsubunit0 libsubunit-dev libconfig9 libconfig-dev"
if [ ! -e complete ]; then
	mkdir -p lists/partial cache/archives/partial
	cat >apt.conf <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Dir::State::Lists "$root/lists";
Dir::Cache "$root/cache";
Dir::State::status "/dev/null";
EOF
	export APT_CONFIG="$root/apt.conf"
	apt-get -q update || true
	# shellcheck disable=SC2086
	apt-get -q download $packages
	for d in *.deb; do dpkg -x "$d" .; done
	touch complete
fi
lib=$root/usr/lib/aarch64-linux-gnu
cat >aarch64.ini <<EOF
[binaries]
c = 'aarch64-linux-gnu-gcc'
cpp = 'aarch64-linux-gnu-g++'
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
exe_wrapper = ['qemu-aarch64-static', '-L', '$root']

[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'

[properties]
sys_root = '$root'
pkg_config_libdir = '$lib/pkgconfig'

[built-in options]
c_args = ['-isystem', '$root/usr/include/aarch64-linux-gnu', '-isystem', '$root/usr/include']
c_link_args = ['-L$lib', '-Wl,-rpath-link,$lib', '-Wl,-rpath-link,$root/lib/aarch64-linux-gnu']
EOF
