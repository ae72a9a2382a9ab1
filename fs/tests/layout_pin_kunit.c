// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of layout leases: the tree of pins, against a list that is gone
 * over from end to end.  Part of mm/layout_pin.c.
 *
 * Some registrations insert, settle, extend, undo and release pins at random,
 * while breaks come and go; after each step the tree has to answer as the list.
 * layout_pin.kunit_seed=N on the kernel's command line repeats a run.
 */
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/random.h>

#include "layout_kunit.h"

#define LAYOUT_MODEL_STEPS	4000
#define LAYOUT_MODEL_SETS	6
#define LAYOUT_MODEL_PINS	256
#define LAYOUT_MODEL_BREAKS	3
/* Pages near the beginning of the file, and as many at its largest offset. */
#define LAYOUT_MODEL_SPAN	65536
#define LAYOUT_MODEL_LARGEST	((pgoff_t)(LLONG_MAX >> PAGE_SHIFT))

static unsigned long layout_kunit_seed;
module_param_named(kunit_seed, layout_kunit_seed, ulong, 0400);

/* A pin as it should be. */
struct layout_model_pin {
	struct layout_pin *pin;	/* NULL: this one is free */
	int set;
	bool settled;
	pgoff_t first, last;	/* in the tree */
	pgoff_t asked_last;
	u64 order;		/* when it was entered */
};

struct layout_model {
	struct layout_kunit *k;
	struct rnd_state rnd;
	struct layout_lease *lease;
	struct layout_pins sets[LAYOUT_MODEL_SETS];
	struct layout_model_pin pins[LAYOUT_MODEL_PINS];
	struct layout_break *breaks[LAYOUT_MODEL_BREAKS];
	u64 order;
	unsigned int settled, merged, undone, refused, late, released, broken;
};

static u32 layout_model_random(struct layout_model *m, u32 below)
{
	return prandom_u32_state(&m->rnd) % below;
}

static pgoff_t layout_model_page(struct layout_model *m)
{
	pgoff_t page = layout_model_random(m, LAYOUT_MODEL_SPAN);

	return layout_model_random(m, 4) ? page : LAYOUT_MODEL_LARGEST - page;
}

static bool layout_model_meet(pgoff_t a_first, pgoff_t a_last, pgoff_t b_first,
			      pgoff_t b_last)
{
	pgoff_t first = max(a_first, b_first), last = min(a_last, b_last);

	return first <= last;
}

static struct layout_model_pin *layout_model_free(struct layout_model *m)
{
	unsigned int i;

	for (i = 0; i < LAYOUT_MODEL_PINS; i++)
		if (!m->pins[i].pin)
			return &m->pins[i];
	return NULL;
}

/* The pin that @set took last, and that is settled. */
static struct layout_model_pin *layout_model_last(struct layout_model *m,
						  int set)
{
	struct layout_pin *pin;
	unsigned int i;

	if (!m->sets[set].first)
		return NULL;
	pin = layout_pins_last(&m->sets[set]);
	for (i = 0; i < LAYOUT_MODEL_PINS; i++)
		if (m->pins[i].pin == pin)
			return &m->pins[i];
	return NULL;
}

static bool layout_model_broken(struct layout_model *m, pgoff_t first,
				pgoff_t last)
{
	unsigned int i;

	for (i = 0; i < LAYOUT_MODEL_BREAKS; i++)
		if (m->breaks[i] &&
		    layout_model_meet(m->breaks[i]->lb_first,
				      m->breaks[i]->lb_last, first, last))
			return true;
	return false;
}

static pgoff_t layout_model_huge_first(pgoff_t page)
{
	return page / LAYOUT_ENTRY_PAGES_MAX * LAYOUT_ENTRY_PAGES_MAX;
}

static pgoff_t layout_model_huge_last(pgoff_t page)
{
	return layout_model_huge_first(page) + LAYOUT_ENTRY_PAGES_MAX - 1;
}

/* The pages of @p lie in entries, small ones or huge ones at either end. */
static void layout_model_settle(struct layout_model *m,
				struct layout_model_pin *p,
				struct layout_model_pin *before)
{
	struct kunit *test = m->k->test;
	pgoff_t first = p->pin->lp_first, last = p->pin->lp_last;
	bool continues = before && before->asked_last + 1 == first;
	int error;

	if (layout_model_random(m, 2))
		first = layout_model_huge_first(first);
	if (layout_model_random(m, 2))
		last = layout_model_huge_last(last);
	error = layout_pin_settle(p->pin, &m->sets[p->set], first, last);
	if (layout_model_broken(m, first, last)) {
		KUNIT_ASSERT_EQ(test, -EAGAIN, error);
		layout_pin_drop(p->pin);
		p->pin = NULL;
		m->late++;
		return;
	}
	KUNIT_ASSERT_EQ(test, 0, error);
	if (continues) {
		before->asked_last = p->asked_last;
		before->first = min(before->first, first);
		before->last = max(before->last, last);
		before->order = ++m->order;
		p->pin = NULL;
		m->merged++;
		return;
	}
	p->first = first;
	p->last = last;
	p->settled = true;
	p->order = ++m->order;
	m->settled++;
}

/* A step of a registration: insert, then perhaps something else, then settle. */
static void layout_model_register(struct layout_model *m)
{
	struct layout_model_pin *p = layout_model_free(m), *before;
	pgoff_t first = layout_model_page(m), last;
	struct kunit *test = m->k->test;
	int set, nr;
	bool refused;

	if (!p)
		return;
	set = layout_model_random(m, LAYOUT_MODEL_SETS);
	nr = 1 + layout_model_random(m, LAYOUT_STEP_PAGES);
	before = layout_model_last(m, set);
	if (before && before->asked_last < LAYOUT_MODEL_LARGEST &&
	    layout_model_random(m, 2))
		first = before->asked_last + 1;
	last = min(first + nr - 1, LAYOUT_MODEL_LARGEST);

	refused = layout_model_broken(m, layout_model_huge_first(first),
				      layout_model_huge_last(last)) ||
		  (before && before->asked_last + 1 == first &&
		   layout_model_broken(m, before->first, before->last));
	p->pin = layout_pin_insert(m->k->inode, &m->sets[set], first, last,
				   true);
	if (refused) {
		KUNIT_ASSERT_EQ(test, -EAGAIN, PTR_ERR_OR_ZERO(p->pin));
		p->pin = NULL;
		m->refused++;
		return;
	}
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, p->pin);
	p->set = set;
	p->settled = false;
	p->first = layout_model_huge_first(first);
	p->last = layout_model_huge_last(last);
	p->asked_last = last;
	p->order = ++m->order;
}

/* What is in flight settles, or is undone. */
static void layout_model_finish(struct layout_model *m)
{
	struct layout_model_pin *p;
	unsigned int i;

	for (i = 0; i < LAYOUT_MODEL_PINS; i++) {
		p = &m->pins[i];
		if (!p->pin || p->settled)
			continue;
		if (layout_model_random(m, 8)) {
			layout_model_settle(m, p, layout_model_last(m, p->set));
		} else {
			layout_pin_drop(p->pin);
			p->pin = NULL;
			m->undone++;
		}
	}
}

static void layout_model_release(struct layout_model *m)
{
	int set = layout_model_random(m, LAYOUT_MODEL_SETS);
	unsigned int i;

	layout_pins_release(&m->sets[set]);
	for (i = 0; i < LAYOUT_MODEL_PINS; i++)
		if (m->pins[i].pin && m->pins[i].settled &&
		    m->pins[i].set == set)
			m->pins[i].pin = NULL;
	m->released++;
}

/* Does a pin meet the range, one that is @settled, or any? */
static bool layout_model_pinned(struct layout_model *m, pgoff_t first,
				pgoff_t last, bool settled)
{
	unsigned int i;

	for (i = 0; i < LAYOUT_MODEL_PINS; i++)
		if (m->pins[i].pin && m->pins[i].settled >= settled &&
		    layout_model_meet(m->pins[i].first, m->pins[i].last, first,
				      last))
			return true;
	return false;
}

/* A range of at most @nr pages from @first on, sometimes to the end. */
static pgoff_t layout_model_range_last(struct layout_model *m, pgoff_t first,
				       u32 nr)
{
	if (!layout_model_random(m, 16))
		return ULONG_MAX;
	return min(first + layout_model_random(m, nr), LAYOUT_MODEL_LARGEST - 1);
}

/* Where a break begins: anywhere, or at a pin that is not settled. */
static pgoff_t layout_model_break_first(struct layout_model *m)
{
	pgoff_t first = layout_model_page(m);
	unsigned int i;

	for (i = 0; i < LAYOUT_MODEL_PINS; i++)
		if (m->pins[i].pin && !m->pins[i].settled &&
		    layout_model_random(m, 2))
			first = m->pins[i].pin->lp_first;
	return min(first, LAYOUT_MODEL_LARGEST - 1);
}

/*
 * A break that wins lists itself in spite of pins that are not settled, and
 * waits; these find it.  A test, in a kernel thread, may not wait.
 */
static struct layout_break *layout_model_list(struct layout_model *m,
					      pgoff_t first, pgoff_t last)
{
	struct layout_break *brk = kvzalloc(sizeof(*brk), GFP_KERNEL);
	struct layout_context *lc = m->k->lc;

	KUNIT_ASSERT_NOT_NULL(m->k->test, brk);
	brk->lb_context = lc;
	brk->lb_first = first;
	brk->lb_last = last;
	brk->lb_reason = LAYOUT_BREAK_TRUNCATE;
	spin_lock(&lc->lc_flctx->flc_lock);
	list_add_tail(&brk->lb_list, &lc->lc_breaks);
	spin_unlock(&lc->lc_flctx->flc_lock);
	return brk;
}

/* A break ends; or one begins, unless it meets a pin. */
static void layout_model_break(struct layout_model *m)
{
	int nr = layout_model_random(m, LAYOUT_MODEL_BREAKS);
	struct kunit *test = m->k->test;
	pgoff_t first, last;
	int error;

	if (m->breaks[nr]) {
		layout_break_end(m->breaks[nr]);
		m->breaks[nr] = NULL;
		return;
	}
	first = layout_model_break_first(m);
	last = layout_model_range_last(m, first, LAYOUT_ENTRY_PAGES_MAX);
	error = layout_break_begin(m->k->inode, layout_range_start(first),
				   last == ULONG_MAX ? LLONG_MAX :
				   layout_range_end(last), LAYOUT_BREAK_CLONE,
				   0, &m->breaks[nr]);
	KUNIT_ASSERT_EQ(test, layout_model_pinned(m, first, last, false) ?
			-EDEADLK : 0, error);
	if (error && !layout_model_pinned(m, first, last, true))
		m->breaks[nr] = layout_model_list(m, first, last);
	m->broken += !!m->breaks[nr];
}

/* The pin of the model that follows @prev among those that meet a range. */
static struct layout_model_pin *layout_model_next(struct layout_model *m,
						  struct layout_model_pin *prev,
						  pgoff_t first, pgoff_t last)
{
	struct layout_model_pin *p, *next = NULL;
	unsigned int i;

	for (i = 0; i < LAYOUT_MODEL_PINS; i++) {
		p = &m->pins[i];
		if (!p->pin || !layout_model_meet(p->first, p->last, first, last))
			continue;
		if (prev && (p->first < prev->first ||
			     (p->first == prev->first &&
			      p->order <= prev->order)))
			continue;
		if (!next || p->first < next->first ||
		    (p->first == next->first && p->order < next->order))
			next = p;
	}
	return next;
}

/*
 * The tree has what the list has, in the order of first pages, then of entry.
 * Returns the number of differences: nothing may be reported under the lock.
 */
static unsigned int layout_model_compare(struct layout_model *m, pgoff_t first,
					 pgoff_t last)
{
	struct layout_context *lc = m->k->lc;
	struct layout_model_pin *want = NULL;
	struct layout_pin *have = NULL;
	unsigned int differences = 0;

	spin_lock(&lc->lc_flctx->flc_lock);
	do {
		want = layout_model_next(m, want, first, last);
		have = layout_pin_next(lc, have, first, last);
		if (!want || !have) {
			differences += want || have;
			break;
		}
		differences += want->pin != have ||
			       want->first != have->lp_range.start ||
			       want->last != have->lp_range.last ||
			       want->asked_last != have->lp_last ||
			       want->settled != have->lp_settled;
	} while (!differences);
	spin_unlock(&lc->lc_flctx->flc_lock);
	return differences;
}

static void layout_model_check(struct layout_model *m)
{
	struct kunit *test = m->k->test;
	unsigned long pins = 0;
	pgoff_t first, last;
	unsigned int i;

	for (i = 0; i < LAYOUT_MODEL_PINS; i++)
		pins += !!m->pins[i].pin;
	KUNIT_ASSERT_EQ(test, pins, m->lease->ll_nr_pins);
	KUNIT_ASSERT_EQ(test, 0, layout_model_compare(m, 0, ULONG_MAX));
	first = min(layout_model_page(m), LAYOUT_MODEL_LARGEST - 1);
	last = layout_model_range_last(m, first, LAYOUT_MODEL_SPAN);
	KUNIT_ASSERT_EQ_MSG(test, 0, layout_model_compare(m, first, last),
			    "%lu to %lu", first, last);
	KUNIT_ASSERT_EQ(test,
			layout_model_pinned(m, first, last, false) ?
			-EDEADLK : 0,
			__layout_break_check(m->k->inode,
					     layout_range_start(first),
					     last == ULONG_MAX ? LLONG_MAX :
					     layout_range_end(last),
					     LAYOUT_BREAK_CLONE));
}

static void layout_model_step(struct layout_model *m)
{
	u32 what = layout_model_random(m, 16);

	layout_model_register(m);
	layout_model_check(m);
	if (what == 0)
		layout_model_release(m);
	else if (what < 4)
		layout_model_break(m);
	layout_model_finish(m);
	layout_model_check(m);
}

static struct layout_model *layout_model_alloc(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->k = k;
	m->lease = layout_kunit_lease(k, 0, F_LAYOUT | F_EXCLUSIVE, 0);
	layout_kunit_become(m->lease, task_tgid(current));
	return m;
}

static void layout_model_end(struct layout_model *m)
{
	unsigned int i;

	for (i = 0; i < LAYOUT_MODEL_SETS; i++)
		layout_pins_release(&m->sets[i]);
	for (i = 0; i < LAYOUT_MODEL_BREAKS; i++)
		layout_break_end(m->breaks[i]);
	KUNIT_EXPECT_EQ(m->k->test, 0, m->lease->ll_nr_pins);
	KUNIT_EXPECT_TRUE(m->k->test,
			  RB_EMPTY_ROOT(&m->k->lc->lc_pins.rb_root));
	KUNIT_EXPECT_TRUE(m->k->test, xa_empty(&m->k->holders[0].owner->lo_pins));
}

static void layout_pins_are_what_a_list_would_have(struct kunit *test)
{
	unsigned long seed = layout_kunit_seed ?: get_random_u32();
	struct layout_model *m = layout_model_alloc(test);
	struct layout_owner *outer;
	unsigned int i;

	kunit_info(test, "layout_pin.kunit_seed=%lu", seed);
	prandom_seed_state(&m->rnd, seed);
	outer = layout_owner_enter(m->k->holders[0].owner);
	for (i = 0; i < LAYOUT_MODEL_STEPS; i++) {
		layout_model_step(m);
		cond_resched();
	}
	layout_owner_exit(outer);
	kunit_info(test, "%u settled, %u merged, %u undone, %u refused, %u late, %u released, %u breaks",
		   m->settled, m->merged, m->undone, m->refused, m->late,
		   m->released, m->broken);
	/* Nothing has been left out. */
	KUNIT_EXPECT_GT(test, m->settled, LAYOUT_MODEL_STEPS / 20);
	KUNIT_EXPECT_GT(test, m->merged, LAYOUT_MODEL_STEPS / 20);
	KUNIT_EXPECT_GT(test, m->undone, LAYOUT_MODEL_STEPS / 100);
	KUNIT_EXPECT_GT(test, m->refused, LAYOUT_MODEL_STEPS / 400);
	KUNIT_EXPECT_GT(test, m->late, LAYOUT_MODEL_STEPS / 200);
	KUNIT_EXPECT_GT(test, m->broken, LAYOUT_MODEL_STEPS / 100);
	layout_model_end(m);
}

/* Insert a pin of one page, or say why not. */
static int layout_pin_try(struct layout_kunit *k, struct layout_pins *pins,
			  pgoff_t page, bool writable)
{
	struct layout_pin *pin;

	pin = layout_pin_insert(k->inode, pins, page, page, writable);
	if (IS_ERR(pin))
		return PTR_ERR(pin);
	layout_pin_drop(pin);
	return 0;
}

static void layout_pin_errors_come_in_order(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_pins none = {};
	struct layout_break *brk;
	struct layout_owner *outer;
	struct layout_lease *lease;

	outer = layout_owner_enter(k->holders[0].owner);
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, layout_pin_try(k, &none, 0, true));
	lease = layout_kunit_lease(k, 0, F_LAYOUT | F_EXCLUSIVE, 0);
	KUNIT_ASSERT_EQ(test, 0,
			layout_break_begin(k->inode, 0, 1, LAYOUT_BREAK_CLONE,
					   0, &brk));
	/* Another's lease, a break, and no right to write. */
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, layout_pin_try(k, &none, 0, false));
	layout_kunit_become(lease, task_tgid(current));
	KUNIT_EXPECT_EQ(test, -EAGAIN, layout_pin_try(k, &none, 0, false));
	layout_break_end(brk);
	KUNIT_EXPECT_EQ(test, -EFAULT, layout_pin_try(k, &none, 0, false));
	KUNIT_EXPECT_EQ(test, 0, layout_pin_try(k, &none, 0, true));
	lease->ll_revoked = true;
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, layout_pin_try(k, &none, 0, true));
	lease->ll_revoked = false;
	lease->ll_exclusive = false;
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, layout_pin_try(k, &none, 0, true));
	lease->ll_exclusive = true;
	layout_kunit_policy(k, LAYOUT_POLICY_OFF);
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, layout_pin_try(k, &none, 0, true));
	layout_owner_exit(outer);
	KUNIT_EXPECT_TRUE(test, RB_EMPTY_ROOT(&k->lc->lc_pins.rb_root));
}

static void layout_pin_at_the_largest_offset_does_not_overflow(struct kunit *test)
{
	struct layout_kunit *k = test->priv;
	struct layout_owner *outer;
	struct layout_pins pins = {};
	struct layout_lease *lease;
	struct layout_pin *pin;
	pgoff_t page = LAYOUT_MODEL_LARGEST;

	lease = layout_kunit_lease(k, 0, F_LAYOUT | F_EXCLUSIVE, 0);
	layout_kunit_become(lease, task_tgid(current));
	outer = layout_owner_enter(k->holders[0].owner);
	pin = layout_pin_insert(k->inode, &pins, page, page, true);
	layout_owner_exit(outer);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pin);
	KUNIT_EXPECT_EQ(test, layout_model_huge_first(page),
			pin->lp_range.start);
	KUNIT_EXPECT_EQ(test, page, pin->lp_range.last);
	KUNIT_EXPECT_EQ(test, -EDEADLK,
			__layout_break_check(k->inode, LLONG_MAX - 1, LLONG_MAX,
					     LAYOUT_BREAK_CLONE));
	KUNIT_EXPECT_EQ(test, 0,
			layout_pin_settle(pin, &pins, page, page));
	KUNIT_EXPECT_EQ(test, 0,
			__layout_break_check(k->inode, 0,
					     layout_range_start(page),
					     LAYOUT_BREAK_CLONE));
	KUNIT_EXPECT_EQ(test, -EDEADLK,
			__layout_break_check(k->inode, 0,
					     layout_range_start(page) + 1,
					     LAYOUT_BREAK_CLONE));
	layout_pins_release(&pins);
}

static struct kunit_case layout_pin_kunit_cases[] = {
	KUNIT_CASE_SLOW(layout_pins_are_what_a_list_would_have),
	KUNIT_CASE(layout_pin_errors_come_in_order),
	KUNIT_CASE(layout_pin_at_the_largest_offset_does_not_overflow),
	{}
};

static struct kunit_suite layout_pin_kunit_suite = {
	.name = "layout_pin",
	.init = layout_kunit_init,
	.exit = layout_kunit_exit,
	.test_cases = layout_pin_kunit_cases,
};

kunit_test_suite(layout_pin_kunit_suite);
