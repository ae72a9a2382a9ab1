// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of layout leases: whom a lease may have killed, by the credentials
 * of those who took it.  Part of fs/layout_escalate.c.
 */
#include <kunit/test.h>

struct layout_kill_case {
	const char *name;
	/* The taker's, and the holder's when its time is over. */
	unsigned int uid, euid, t_uid, t_suid;
	bool capable;
	bool may;
};

static const struct layout_kill_case layout_kill_cases[] = {
	{ "as it was", 1000, 1000, 1000, 1000, false, true },
	{ "has become another", 1000, 1000, 1001, 1001, false, false },
	{ "has become root", 1000, 1000, 0, 0, false, false },
	{ "runs a setuid program", 1000, 1000, 1000, 0, false, true },
	{ "effective and saved uid", 2000, 1000, 1001, 1000, false, true },
	{ "effective and real uid", 2000, 1000, 1000, 1001, false, true },
	{ "real and saved uid", 1000, 2000, 1001, 1000, false, true },
	{ "real and real uid", 1000, 2000, 1000, 1001, false, true },
	{ "root without a capability", 0, 0, 1000, 1000, false, false },
	{ "CAP_KILL", 1000, 1000, 1001, 1001, true, true },
};

KUNIT_ARRAY_PARAM_DESC(layout_kill, layout_kill_cases, name);

static struct cred *layout_kill_cred(struct kunit *test)
{
	struct cred *cred = prepare_creds();

	KUNIT_ASSERT_NOT_NULL(test, cred);
	cap_clear(cred->cap_effective);
	return cred;
}

/* The task of the test is the holder. */
static void layout_kill_asks_for_the_rule_of_kill(struct kunit *test)
{
	const struct layout_kill_case *c = test->param_value;
	struct cred *taker = layout_kill_cred(test);
	struct cred *holder = layout_kill_cred(test);
	struct layout_lease lease = { .ll_cred = taker };
	const struct cred *saved;
	bool may;

	taker->uid = KUIDT_INIT(c->uid);
	taker->euid = KUIDT_INIT(c->euid);
	if (c->capable)
		cap_raise(taker->cap_effective, CAP_KILL);
	holder->uid = KUIDT_INIT(c->t_uid);
	holder->suid = KUIDT_INIT(c->t_suid);
	/* __task_cred() is what others see of a task. */
	saved = current_real_cred();
	rcu_assign_pointer(current->real_cred, holder);
	rcu_read_lock();
	may = layout_lease_may_kill(&lease, current);
	rcu_read_unlock();
	rcu_assign_pointer(current->real_cred, saved);
	KUNIT_EXPECT_EQ(test, c->may, may);
	put_cred(taker);
	put_cred(holder);
}

static void layout_kill_spares_the_global_init(struct kunit *test)
{
	struct layout_lease lease = { .ll_cred = current_cred() };
	bool may;

	rcu_read_lock();
	may = layout_lease_may_kill(&lease,
				    pid_task(find_pid_ns(1, &init_pid_ns),
					     PIDTYPE_TGID));
	rcu_read_unlock();
	KUNIT_EXPECT_FALSE(test, may);
	/* No task at all could be killed otherwise. */
	rcu_read_lock();
	may = layout_lease_may_kill(&lease, current);
	rcu_read_unlock();
	KUNIT_EXPECT_TRUE(test, may);
}

static struct kunit_case layout_kill_kunit_cases[] = {
	KUNIT_CASE_PARAM(layout_kill_asks_for_the_rule_of_kill,
			 layout_kill_gen_params),
	KUNIT_CASE(layout_kill_spares_the_global_init),
	{}
};

static struct kunit_suite layout_kill_kunit_suite = {
	.name = "layout_kill",
	.test_cases = layout_kill_kunit_cases,
};

kunit_test_suite(layout_kill_kunit_suite);
