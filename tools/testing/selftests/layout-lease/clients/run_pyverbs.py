#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run rdma-core's tests of libibverbs, one verdict per test.

run_pyverbs.py DIR DEVICE LIMIT DONE

DIR has the tests (the parent of the package "tests"). A line "NAME VERDICT REASON" for each
goes to stdout when it has ended, VERDICT being pass, fail or skip, and "begin NAME" before.
Tests named in the file DONE are left out: they had their turn. A test may take LIMIT seconds.
"""
import os
import signal
import sys
import unittest


def reason(text):
    """The last line of a report, without what differs from run to run."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


class Result(unittest.TestResult):
    """Says what becomes of each test, once; a failed subtest fails its test."""

    def __init__(self):
        super().__init__()
        self.verdict = None

    def startTest(self, test):
        super().startTest(test)
        print("begin", test.id(), flush=True)
        self.verdict = ("pass", "")
        signal.alarm(LIMIT)

    def fail(self, err, test):
        if self.verdict[0] != "fail":
            self.verdict = ("fail", reason(self._exc_info_to_string(err, test)))

    def addError(self, test, err):
        self.fail(err, test)

    def addFailure(self, test, err):
        self.fail(err, test)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.fail(err, test)

    def addExpectedFailure(self, test, err):
        self.verdict = ("fail", "expected by the test itself")

    def addUnexpectedSuccess(self, test):
        self.verdict = ("pass", "unexpected by the test itself")

    def addSkip(self, test, why):
        if self.verdict[0] == "pass":
            self.verdict = ("skip", reason(why))

    def stopTest(self, test):
        signal.alarm(0)
        print(test.id(), *self.verdict, flush=True)
        super().stopTest(test)


def out_of_time(_signal, _frame):
    raise TimeoutError(f"no end after {LIMIT} s")


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


DIR, DEVICE, LIMIT, DONE = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
signal.signal(signal.SIGALRM, out_of_time)
sys.path[:0] = [os.path.join(DIR, "tests"), DIR]
sys.argv[1:] = ["--dev", DEVICE]
# pylint: disable=wrong-import-position,import-error
from args_parser import parser  # noqa: E402
parser.parse_args()
import tests  # noqa: E402

with open(DONE, encoding="utf-8") as file:
    done = set(file.read().split())
suite = unittest.defaultTestLoader.loadTestsFromModule(tests)
result = Result()
for case in flatten(suite):
    if case.id() not in done:
        case(result)
