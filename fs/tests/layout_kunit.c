// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of layout leases: the world of a test, see layout_kunit.h.
 */
#include <kunit/static_stub.h>
#include <kunit/test-bug.h>
#include <linux/dax.h>
#include <linux/file.h>
#include <linux/mount.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/pseudo_fs.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "layout_kunit.h"

static struct dax_device *layout_kunit_dax_device(struct inode *inode)
{
	return inode->i_sb->s_fs_info;
}

static const struct super_operations layout_kunit_super_ops = {
	.statfs = simple_statfs,
	.dax_device = layout_kunit_dax_device,
};

static int layout_kunit_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, 0x4c4c4b55);

	if (!ctx)
		return -ENOMEM;
	ctx->ops = &layout_kunit_super_ops;
	return 0;
}

static struct file_system_type layout_kunit_fs = {
	.name = "layout_kunit",
	.init_fs_context = layout_kunit_init_fs_context,
	.kill_sb = kill_anon_super,
};

static const struct file_operations layout_kunit_fops = {};

static struct layout_kunit *layout_kunit_current(void)
{
	return kunit_get_current_test()->priv;
}

static struct layout_kunit_holder *layout_kunit_holder_of(struct pid *pid)
{
	struct layout_kunit *k = layout_kunit_current();
	int i;

	for (i = 0; i < LAYOUT_KUNIT_HOLDERS; i++)
		if (k->holders[i].pid == pid)
			return &k->holders[i];
	return NULL;
}

static u64 layout_kunit_now(void)
{
	return layout_kunit_current()->now;
}

static bool layout_kunit_alive(struct pid *tgid)
{
	struct layout_kunit_holder *h = layout_kunit_holder_of(tgid);

	return !h || !h->gone;
}

static void layout_kunit_signal(struct layout_lease *lease, int signum)
{
	struct layout_kunit_holder *h = layout_kunit_holder_of(lease->ll_holder);

	h->told_at = layout_kunit_now();
	h->nr_told++;
	h->signum = signum;
}

static int layout_kunit_kill(struct layout_break *brk,
			     struct layout_lease *lease)
{
	struct layout_kunit_holder *h = layout_kunit_holder_of(lease->ll_holder);

	layout_context_assert_held(lease->ll_context);
	KUNIT_EXPECT_EQ_MSG(h->kunit->test, 0, h->killed_at, "killed twice");
	h->killed_at = layout_kunit_now();
	if (!h->kill_error && h->dies_after)
		h->exits_at = h->killed_at + h->dies_after;
	return h->kill_error;
}

/* Called by layout_owner_revoke(), under spinlocks. */
static void layout_kunit_revoke(void *file)
{
	struct layout_kunit_holder *h = file;

	h->revoked_at = h->kunit->now;
}

/* The drivers let go of what was revoked.  Returns whether there was anything. */
static bool layout_kunit_drivers(struct layout_kunit *k)
{
	bool any = false;
	int i;

	for (i = 0; i < LAYOUT_KUNIT_HOLDERS; i++) {
		if (!k->holders[i].revoked_at || !k->holders[i].pins.first)
			continue;
		layout_pins_release(&k->holders[i].pins);
		any = true;
	}
	return any;
}

static void layout_kunit_let_go(struct layout_kunit_holder *h)
{
	if (layout_pins_empty(&h->pins))
		KUNIT_EXPECT_EQ(h->kunit->test, 0,
				fcntl_setlease_layout(0, h->file, F_UNLCK));
	else
		layout_pins_release(&h->pins);
}

/* @h does what its time has come for. */
static void layout_kunit_live(struct layout_kunit_holder *h)
{
	u64 now = h->kunit->now;

	if (h->lets_go_at && h->lets_go_at <= now) {
		h->lets_go_at = 0;
		layout_kunit_let_go(h);
	}
	if (h->exits_at && h->exits_at <= now) {
		h->exits_at = 0;
		h->gone = true;
		if (!h->kept)
			layout_pins_release(&h->pins);
	}
}

static u64 layout_kunit_sooner(u64 next, u64 time)
{
	return time ? min(next, time) : next;
}

/* The breaker sleeps until @until, or until something happens. */
static void layout_kunit_sleep(ktime_t until)
{
	struct layout_kunit *k = layout_kunit_current();
	u64 next = ktime_to_ns(until);
	int i;

	__set_current_state(TASK_RUNNING);
	if (layout_kunit_drivers(k))
		return;
	next = layout_kunit_sooner(next, k->interrupt_at);
	for (i = 0; i < LAYOUT_KUNIT_HOLDERS; i++) {
		next = layout_kunit_sooner(next, k->holders[i].exits_at);
		next = layout_kunit_sooner(next, k->holders[i].lets_go_at);
	}
	if (next == KTIME_MAX || next < k->now) {
		KUNIT_FAIL(k->test, "sleeps %s", next < k->now ?
			   "until a time that has passed" : "for ever");
		set_tsk_thread_flag(current, TIF_SIGPENDING);
		return;
	}
	k->now = next;
	for (i = 0; i < LAYOUT_KUNIT_HOLDERS; i++)
		layout_kunit_live(&k->holders[i]);
	if (k->interrupt_at && k->interrupt_at <= next) {
		k->interrupt_at = 0;
		set_tsk_thread_flag(current, TIF_SIGPENDING);
	}
}

/**
 * layout_kunit_policy - what the administrator has chosen
 * @k:      the world
 * @policy: the policy
 */
void layout_kunit_policy(struct layout_kunit *k, enum layout_policy policy)
{
	KUNIT_ASSERT_EQ(k->test, 0,
			layout_policy_set(k->inode->i_sb, policy));
}

/**
 * layout_kunit_become - a lease belongs to another thread group
 * @lease:  a lease that no break has told
 * @holder: the thread group
 */
void layout_kunit_become(struct layout_lease *lease, struct pid *holder)
{
	put_pid(lease->ll_holder);
	lease->ll_holder = get_pid(holder);
}

static struct layout_lease *layout_kunit_take(struct layout_kunit *k, int nr,
					      int arg, int consent, int signum)
{
	struct layout_kunit_holder *h = &k->holders[nr];
	struct layout_lease *lease;

	KUNIT_ASSERT_EQ(k->test, 0, file_f_owner_allocate(h->file));
	file_f_owner(h->file)->signum = consent;
	KUNIT_ASSERT_EQ(k->test, 0,
			fcntl_setlease_layout(10 + nr, h->file, arg));
	file_f_owner(h->file)->signum = signum;

	k->lc = layout_context(k->inode);
	spin_lock(&k->lc->lc_flctx->flc_lock);
	lease = layout_lease_of_file_locked(k->lc, h->file);
	spin_unlock(&k->lc->lc_flctx->flc_lock);
	KUNIT_ASSERT_NOT_NULL(k->test, lease);
	layout_kunit_become(lease, h->pid);
	return lease;
}

/**
 * layout_kunit_lease - a holder takes a lease, and agrees to be killed
 * @k:      the world
 * @nr:     the holder
 * @arg:    F_LAYOUT, with F_EXCLUSIVE or without
 * @signum: what it sets by F_SETSIG afterwards
 *
 * Return: The lease.
 */
struct layout_lease *layout_kunit_lease(struct layout_kunit *k, int nr, int arg,
					int signum)
{
	return layout_kunit_take(k, nr, arg, SIGKILL, signum);
}

/**
 * layout_kunit_lease_unwilling - a holder takes a lease, and agrees to nothing
 * @k:      the world
 * @nr:     the holder
 * @signum: what it sets by F_SETSIG afterwards
 *
 * Return: The lease, an exclusive one.
 */
struct layout_lease *layout_kunit_lease_unwilling(struct layout_kunit *k,
						  int nr, int signum)
{
	struct layout_lease *lease;

	layout_kunit_policy(k, LAYOUT_POLICY_DENY);
	lease = layout_kunit_take(k, nr, F_LAYOUT | F_EXCLUSIVE, 0, signum);
	layout_kunit_policy(k, LAYOUT_POLICY_BREAK);
	return lease;
}

/**
 * layout_kunit_pin - a holder has pinned a range under its lease
 * @k:     the world
 * @nr:    the holder
 * @first: first page
 * @last:  last page
 *
 * Return: The pin, settled; it belongs to the holder.
 */
struct layout_pin *layout_kunit_pin(struct layout_kunit *k, int nr,
				    pgoff_t first, pgoff_t last)
{
	struct layout_kunit_holder *h = &k->holders[nr];
	struct layout_pin *pin = layout_pin_alloc();

	KUNIT_ASSERT_NOT_NULL(k->test, pin);
	pin->lp_range.start = first;
	pin->lp_range.last = last;
	pin->lp_first = first;
	pin->lp_last = last;
	pin->lp_owner = layout_owner_get(h->owner);
	pin->lp_settled = true;
	get_file(h->file);

	spin_lock(&k->lc->lc_flctx->flc_lock);
	pin->lp_lease = layout_lease_of_file_locked(k->lc, h->file);
	pin->lp_lease->ll_nr_pins++;
	pin->lp_id = ++k->lc->lc_pin_seq;
	interval_tree_insert(&pin->lp_range, &k->lc->lc_pins);
	spin_unlock(&k->lc->lc_flctx->flc_lock);

	pin->lp_node.next = h->pins.first;
	h->pins.first = &pin->lp_node;
	return pin;
}

/**
 * layout_kunit_consenting - a holder that agreed to be killed, and has a pin
 * @k:     the world
 * @nr:    the holder
 * @first: first page of the pin
 * @last:  its last page
 *
 * It wants to be told by SIGUSR1.
 *
 * Return: The holder.
 */
struct layout_kunit_holder *layout_kunit_consenting(struct layout_kunit *k,
						    int nr, pgoff_t first,
						    pgoff_t last)
{
	layout_kunit_lease(k, nr, F_LAYOUT | F_EXCLUSIVE, SIGUSR1);
	layout_kunit_pin(k, nr, first, last);
	return &k->holders[nr];
}

static void layout_kunit_holder_init(struct layout_kunit *k, int nr)
{
	struct layout_kunit_holder *h = &k->holders[nr];
	struct file *file;

	h->kunit = k;
	h->pid = alloc_pid(&init_pid_ns, NULL, 0);
	if (IS_ERR(h->pid))
		h->pid = NULL;
	KUNIT_ASSERT_NOT_NULL(k->test, h->pid);
	h->owner = layout_owner_alloc("kunit", NULL, layout_kunit_revoke, h);
	KUNIT_ASSERT_NOT_NULL(k->test, h->owner);

	ihold(k->inode);
	file = alloc_file_pseudo(k->inode, k->mnt, "file", O_RDWR,
				 &layout_kunit_fops);
	if (IS_ERR(file))
		iput(k->inode);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(k->test, file);
	h->file = file;
}

static void layout_kunit_holder_exit(struct layout_kunit_holder *h)
{
	layout_pins_release(&h->pins);
	layout_owner_close(h->owner);
	if (h->file)
		fput(h->file);
	if (h->pid)
		free_pid(h->pid);
}

/**
 * layout_kunit_init - make the world of a test
 * @test: the test
 *
 * For the init of a suite.  The policy is "break".
 *
 * Return: 0, or the error that ends the test.
 */
int layout_kunit_init(struct kunit *test)
{
	struct layout_kunit *k = kunit_kzalloc(test, sizeof(*k), GFP_KERNEL);
	struct dax_device *dax;
	struct vfsmount *mnt;
	struct inode *inode;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, k);
	k->test = test;
	k->now = LAYOUT_KUNIT_T0;
	k->saved_time = lease_break_time;
	lease_break_time = LAYOUT_KUNIT_TIME;
	test->priv = k;

	dax = alloc_dax(NULL, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dax);
	k->dax = dax;
	mnt = kern_mount(&layout_kunit_fs);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	k->mnt = mnt;
	mnt->mnt_sb->s_fs_info = dax;
	inode = alloc_anon_inode(mnt->mnt_sb);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, inode);
	inode->i_mode = S_IFREG | 0600;
	inode->i_flags |= S_DAX | S_LAYOUT_LEASE;
	k->inode = inode;
	for (i = 0; i < LAYOUT_KUNIT_HOLDERS; i++)
		layout_kunit_holder_init(k, i);
	layout_kunit_policy(k, LAYOUT_POLICY_BREAK);
	return 0;
}

/**
 * layout_kunit_init_clock - a world whose time and processes the test rules
 * @test: the test
 *
 * For the init of a suite.
 *
 * Return: As layout_kunit_init().
 */
int layout_kunit_init_clock(struct kunit *test)
{
	kunit_activate_static_stub(test, layout_now_ns, layout_kunit_now);
	kunit_activate_static_stub(test, layout_pid_alive, layout_kunit_alive);
	kunit_activate_static_stub(test, layout_lease_signal,
				   layout_kunit_signal);
	kunit_activate_static_stub(test, layout_lease_kill_locked,
				   layout_kunit_kill);
	kunit_activate_static_stub(test, layout_break_sleep,
				   layout_kunit_sleep);
	return layout_kunit_init(test);
}

/**
 * layout_kunit_exit - end the world of a test
 * @test: the test
 *
 * For the exit of a suite.
 */
void layout_kunit_exit(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	int i;

	if (!k)
		return;
	clear_tsk_thread_flag(current, TIF_SIGPENDING);
	lease_break_time = k->saved_time;
	for (i = 0; i < LAYOUT_KUNIT_HOLDERS; i++)
		layout_kunit_holder_exit(&k->holders[i]);
	/* Files that a kernel thread drops are closed by a work item. */
	flush_delayed_fput();
	iput(k->inode);
	if (k->mnt)
		kern_unmount(k->mnt);
	if (k->dax) {
		kill_dax(k->dax);
		put_dax(k->dax);
	}
}
