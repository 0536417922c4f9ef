#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Draw the pictures of docs/BENCHMARKS.md from the CSV files that render.py wrote:
#	sh tests/bench/plot.sh docs/bench
# Solid: what a scan takes; dashed: reading the same bytes with as many threads. Needs gnuplot.
set -eu
cd "${1:?a folder with the CSV files}"
command -v gnuplot >/dev/null || { echo "plot.sh: gnuplot is not installed (gnuplot-nox)" >&2; exit 1; }

# draw NAME TITLE X-LABEL GNUPLOT-SETTINGS
draw()
{
	[ -f "$1.csv" ] || return 0
	last=$(($(grep -c '^[a-z]' "$1.csv") - 1))
	gnuplot <<END
set datafile separator ","
set terminal svg size 720,420 dynamic background "white" font "sans-serif,13"
set output "$1.svg"
set title "$2"
set xlabel "$3"
set ylabel "ns per row and query"
set grid
set key outside right top
set logscale y
$4
plot for [i=0:$last] "$1.csv" index i using 1:2 with linespoints lw 2 pt 7 ps 0.5 lc i+1 title columnheader(1), \
	for [i=0:$last] "$1.csv" index i using 1:3 with lines dt 2 lc i+1 title (i ? "" : "reading the codes")
END
}

draw rows "One query, 4 bits, d=128: rows" rows "set logscale x; set format x '10^{%L}'"
draw dims "One query, 4 bits: dimension" dimension "set logscale x 2"
draw bits "One query: bits" bits ""
draw queries "4 bits: queries that share a pass over the codes" queries "set logscale x 2"
draw threads "One query, 4 bits: threads (wall time)" threads "set logscale x 2"
