#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What layout leases cost: the same programs on the kernel without and with the
# series, in guests whose clock counts instructions, and some of it on the wall
# clock.  Prints a table; build/bench/ has it as results.tsv, and plots.
#
# ONLY="register break" runs only these programs; PROFILE=1 shows for each goal that
# is missed in which functions of the kernel the instructions are, PROFILE=REGEX for
# each row whose key matches; ROUNDS is how often the traffic of the wall-clock part
# is repeated.  With --quick it is a small run that shows that all of it still works;
# the table then says nothing of value.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

out=$build/bench
programs=$out/programs
src=$repo/$selftests/bench
counted="ordinary register break memory wakeup fsync devdax"
quick=0
[ "${1:-}" != --quick ] || quick=1
[ "$quick" = 0 ] || out=$build/bench/quick
mkdir -p "$out" "$programs"

make -s -C "$src" KSFT="$patched/tools/testing/selftests" OUTPUT="$programs" \
	>"$out/build.log" 2>&1 || {
	cat "$out/build.log" >&2
	die "building the measurements failed (above)"
}
cp "$src"/run-*.sh "$programs/"
if [ -n "${PROFILE:-}" ]; then
	gcc -O2 -Wall -shared -fPIC -o "$out/profile.so" "$repo/scripts/bench/profile.c" ||
		die "building the profiler failed (above)"
fi

# guest VARIANT NAME COUNTED < script: what it measures goes to NAME.rows
guest() {
	local variant=$1 name=$out/$1-$2 plugin=
	if [ -n "${PROFILE:-}" ] && [ "$3" = 1 ]; then
		plugin=$out/profile.so,map=$build/$variant/out/System.map,out=$name.instr
	fi
	{
		echo "#!/bin/bash"
		[ "$quick" = 0 ] || echo "export BENCH_QUICK=1"
		cat
	} >"$name.sh"
	rm -f "$name.rows"
	VARIANT=$variant RUN=$name.sh SHARE=$programs COUNTED=$3 PLUGIN=$plugin MEM=3G \
		TIMEOUT=3000 LOG=$name.console "$repo/scripts/vm.sh" run >"$name.out" 2>&1 || {
		tail -n 15 "$name.out" >&2
		die "measuring on the $variant kernel failed (all of it: $name.out)"
	}
	grep -aE $'^(bench|point)\t' "$name.out" >"$name.rows" ||
		die "nothing was measured on the $variant kernel (see $name.out)"
}

table=(awk -f "$repo/scripts/bench/table.awk" -v out="$out/results.tsv")
wall=(wall traffic)
if [ "$quick" = 1 ]; then
	counted=${ONLY:-$counted}
	wall=()
	table+=(-v 'skip=^(wall|ib_)')
elif [ -n "${ONLY:-}" ]; then
	counted=$ONLY
	wall=()
	table+=(-v partial=1)
fi

# A count is the same whatever else the machine does, so the kernels count at once.
say "counting instructions on both kernels: $counted"
counting=()
for variant in base patched; do
	guest "$variant" counted 1 <<<"exec /host/run-bench.sh $counted" &
	counting+=($!)
done
for job in "${counting[@]}"; do wait "$job"; done
for variant in base patched; do
	[ ${#wall[@]} -gt 0 ] || continue
	say "wall clock on the $variant kernel"
	guest "$variant" wall 0 <<<"set -e
BENCH_WALL=1 /host/bench_wall
exec /host/run-traffic.sh ${ROUNDS:-9}"
done

files=()
for variant in base patched; do
	name=$([ "$variant" = base ] && echo base || echo ours)
	files+=("$name=1" "$out/$variant-counted.rows")
	[ ${#wall[@]} = 0 ] || files+=("$out/$variant-wall.rows")
done
rc=0
"${table[@]}" "$repo/scripts/bench/goals" "${files[@]}" >"$out/table.txt" || rc=$?
cat "$out/table.txt"
[ "$rc" = 0 ] || die "the table is not complete (above)"
if [ -n "${PROFILE:-}" ]; then
	awk -f "$repo/scripts/bench/profile.awk" -v out="$out/profile.tsv" -v wanted="${PROFILE#1}" \
		"$out/results.tsv" kernel=base "$out"/base-counted.{out,instr} \
		kernel=ours "$out"/patched-counted.{out,instr} >"$out/profile.txt"
	cat "$out/profile.txt"
	say "profiles are in $out/profile.txt, those of all rows in $out/profile.tsv"
fi
[ "$quick" = 0 ] && [ -z "${ONLY:-}" ] || exit 0

# The points of a curve, for gnuplot: NAME.dat has x and y.
rm -rf "$out/points" "$out"/*.svg
mkdir "$out/points"
for variant in base patched; do
	awk -F '\t' -v dir="$out/points/$variant-" '$1 == "point" {
		print $3, $4 >(dir $2 ".dat") }' "$out/$variant-counted.rows"
done
(cd "$out" && gnuplot "$repo/scripts/bench/plots.gp" 2>plots.log) || {
	cat "$out/plots.log" >&2
	die "drawing the plots failed (above)"
}
say "the table is in $out/results.tsv, plots are in $out/*.svg"
