# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared with lib.sh and run.sh
#
# rdma-core's own tests of libibverbs, as its package has them.  One that cannot be
# interrupted costs itself, not those after it.
tests=/tmp/pyverbs
mkdir -p $tests/tests
cp /usr/share/doc/rdma-core/tests/* $tests/tests
gunzip -f $tests/tests/*.gz
: >$tests/done
for ((turn = 1; turn <= 10; turn++)); do
	(
		cd $tests
		timeout -k 5 3000 python3 "$dir/run_pyverbs.py" $tests "$RDMA_DEV" 300 $tests/done \
			2>$tests/err </dev/null
	) | tee $tests/out | sed -u -e "s,^begin tests\.,@@ begin $suite/," \
		-e "s,^tests\.,@@ $suite/," -e t -e 's/^/  | /'
	rc=${PIPESTATUS[0]}
	sed 's/^/  | /' $tests/err
	[ "$rc" != 0 ] || break
	last=$(sed -n 's/^begin //p' $tests/out | tail -n 1)
	[ -n "$last" ] || break
	verdict "${last#tests.}" fail "status $rc"
	sed -n 's/^begin //p' $tests/out >>$tests/done
done
