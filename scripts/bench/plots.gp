# SPDX-License-Identifier: GPL-2.0
#
# How cost grows: run by bench.sh where points/ is.
set terminal svg size 900,560 dynamic font "sans,13" background "white"
set logscale xy
set grid
set key left top
set style data linespoints
set format x "10^{%T}"
set format y "10^{%T}"
set ylabel "instructions"

set output "register.svg"
set title "ibv\\_reg\\_mr: pages of 4 KiB"
set xlabel "pages"
plot "points/patched-reg.anon_4k.dat" title "anonymous, 4 KiB", \
     "points/patched-reg.anon_2m.dat" title "anonymous, 2 MiB", \
     "points/patched-reg.devdax.dat" title "device-DAX", \
     "points/patched-reg.leased_4k.xfs.dat" title "leased file, 4 KiB", \
     "points/patched-reg.leased_2m.xfs.dat" title "leased file, 2 MiB"

set output "deregister.svg"
set title "ibv\\_dereg\\_mr: pages of 4 KiB"
plot "points/patched-dereg.anon_4k.dat" title "anonymous, 4 KiB", \
     "points/patched-dereg.anon_2m.dat" title "anonymous, 2 MiB", \
     "points/patched-dereg.devdax.dat" title "device-DAX", \
     "points/patched-dereg.leased_4k.xfs.dat" title "leased file, 4 KiB", \
     "points/patched-dereg.leased_2m.xfs.dat" title "leased file, 2 MiB"

set output "truncate-pins.svg"
set title "Truncate and punch of a page while pins stand elsewhere in the file"
set xlabel "pins"
set yrange [1000:10000000]
plot "points/patched-truncate.pins.ext4.dat" title "ext4, truncate", \
     "points/patched-punch.pins.ext4.dat" title "ext4, punch", \
     "points/patched-truncate.pins.xfs.dat" title "xfs, truncate", \
     "points/patched-punch.pins.xfs.dat" title "xfs, punch"

set output "truncate-mapped.svg"
set title "Truncate of a page while pages are mapped elsewhere in the file"
set xlabel "mapped pages"
set yrange [1000:100000000]
plot "points/base-truncate.mapped.ext4.dat" title "ext4, without the series", \
     "points/base-truncate.mapped.xfs.dat" title "xfs, without the series", \
     "points/patched-truncate.mapped.ext4.dat" title "ext4", \
     "points/patched-truncate.mapped.xfs.dat" title "xfs"
