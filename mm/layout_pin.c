// SPDX-License-Identifier: GPL-2.0
/*
 * Long-term pins of FS-DAX pages, tracked as file ranges.
 *
 * A page of an FS-DAX file is storage: pinning it pins its block.  So such a
 * pin is allowed only under an exclusive layout lease of the calling thread
 * group, on behalf of an owner file whose teardown drops it, and is known by
 * its file range before the page is taken.  Whoever is going to change the
 * layout finds it by range; it does not matter whether the file is still
 * mapped.
 *
 * Invariants:
 *
 * - A pin is in the tree before GUP takes its pages, and until they have been
 *   given back.
 * - A pin covers whole DAX entries.  Which ones is known only after GUP; until
 *   it is settled a pin covers whole PMDs, which is as large as entries get.
 *   So there is no moment at which a page is taken and its entry not covered.
 * - An entry under a settled pin is tagged dirty, since a device may write to it
 *   at any time: dax_match_entries() tags it, and dax_writeback_one() leaves the
 *   tag while a pin stands.  So there is nothing to do when a pin goes.
 * - No pin is inserted into, and none is settled in, the range of a break.
 * - A pin holds a reference on the leased file, and with it on inode and mount.
 *
 * Documentation/core-api/pin_user_pages.rst describes GUP and FOLL_LONGTERM.
 */
#include <linux/dax.h>
#include <linux/file.h>
#include <linux/llist.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <trace/events/layout_lease.h>

#include "internal.h"
#include "../fs/layout_internal.h"

/* The largest DAX entry, in pages. */
#ifdef CONFIG_FS_DAX_PMD
#define LAYOUT_ENTRY_PAGES_MAX	(PMD_SIZE >> PAGE_SHIFT)
#else
#define LAYOUT_ENTRY_PAGES_MAX	1UL
#endif

/* Pages pinned in one step, for which DAX entries are looked at in one go. */
#define LAYOUT_STEP_PAGES	512UL

/* Pins of an owner shown under one hold of its lock. */
#define LAYOUT_SHOW_PINS	256

/* There can be millions of pins, and no size of kmalloc() suits them. */
static struct kmem_cache *layout_pin_cache __ro_after_init;

static int __init layout_pin_init(void)
{
	layout_pin_cache = KMEM_CACHE(layout_pin, SLAB_ACCOUNT | SLAB_PANIC);
	return 0;
}
core_initcall(layout_pin_init);

/**
 * layout_owner_alloc - describe an owner file
 * @subsystem: who pins, as in "rdma"
 * @name:      its device, or NULL
 * @revoke:    asks the owner file to drop its pins
 * @file:      what to pass to @revoke
 *
 * Context: Process context.  May sleep.
 * Return: The owner, to be given up with layout_owner_close(), or NULL if there
 *         is no memory.
 */
struct layout_owner *layout_owner_alloc(const char *subsystem,
					const char *name,
					layout_revoke_fn revoke, void *file)
{
	size_t size = strlen(subsystem) + (name ? strlen(name) + 1 : 0) + 1;
	struct layout_owner *owner;

	owner = kzalloc(struct_size(owner, lo_name, size), GFP_KERNEL_ACCOUNT);
	if (!owner)
		return NULL;
	refcount_set(&owner->lo_refs, 1);
	xa_init_flags(&owner->lo_pins, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	spin_lock_init(&owner->lo_lock);
	owner->lo_revoke = revoke;
	owner->lo_file = file;
	snprintf(owner->lo_name, size, "%s%s%s", subsystem, name ? ":" : "",
		 name ? name : "");
	return owner;
}
EXPORT_SYMBOL_GPL(layout_owner_alloc);

/**
 * layout_owner_get - take a reference on an owner
 * @owner: the owner
 *
 * Context: Any.
 * Return: @owner.
 */
struct layout_owner *layout_owner_get(struct layout_owner *owner)
{
	refcount_inc(&owner->lo_refs);
	return owner;
}

/**
 * layout_owner_put - give up a reference on an owner
 * @owner: the owner, or NULL
 *
 * Context: Any.
 */
void layout_owner_put(struct layout_owner *owner)
{
	if (owner && refcount_dec_and_test(&owner->lo_refs))
		kfree(owner);
}

/**
 * layout_owner_close - the owner file goes away
 * @owner: its owner, or NULL; not to be used any more
 *
 * On return no revocation runs, and none will begin.
 *
 * Context: Process context.
 */
void layout_owner_close(struct layout_owner *owner)
{
	if (!owner)
		return;
	spin_lock(&owner->lo_lock);
	owner->lo_revoke = NULL;
	spin_unlock(&owner->lo_lock);
	layout_owner_put(owner);
}
EXPORT_SYMBOL_GPL(layout_owner_close);

/**
 * layout_owner_revoked - has an owner been revoked?
 * @owner: the owner
 *
 * Context: Any.
 * Return: true if it has, and takes no pins any more.
 */
bool layout_owner_revoked(const struct layout_owner *owner)
{
	return READ_ONCE(owner->lo_revoked);
}

/**
 * layout_owner_revoke - ask an owner file to drop its pins
 * @owner: the owner
 *
 * Idempotent.  The pins go some time later.
 *
 * Context: Process context.  flc_lock may be held.
 * Return: false if it had been asked before.
 */
bool layout_owner_revoke(struct layout_owner *owner)
{
	bool first;

	if (layout_owner_revoked(owner))
		return false;
	spin_lock(&owner->lo_lock);
	first = !owner->lo_revoked;
	WRITE_ONCE(owner->lo_revoked, true);
	if (first && owner->lo_revoke)
		owner->lo_revoke(owner->lo_file);
	spin_unlock(&owner->lo_lock);
	return first;
}

/* Show pins of @owner from slot @first on, some of them.  Returns where to go on. */
static unsigned long layout_owner_show_some(struct seq_file *m,
					    struct layout_owner *owner,
					    unsigned long first)
{
	XA_STATE(xas, &owner->lo_pins, first);
	unsigned int left = LAYOUT_SHOW_PINS;
	struct layout_pin *pin;
	struct inode *inode;

	xas_lock(&xas);
	xas_for_each(&xas, pin, ULONG_MAX) {
		if (xa_is_zero(pin))
			continue;
		inode = pin->lp_lease->ll_context->lc_inode;
		seq_printf(m, "layout_pin:\t%u:%u %lu 0x%llx-0x%llx\n",
			   MAJOR(inode->i_sb->s_dev), MINOR(inode->i_sb->s_dev),
			   inode->i_ino, layout_range_start(pin->lp_first),
			   layout_range_end(READ_ONCE(pin->lp_last)));
		if (!--left)
			break;
	}
	xas_unlock(&xas);
	return left ? 0 : xas.xa_index + 1;
}

/**
 * layout_owner_show_fdinfo - the pins that an owner file keeps alive
 * @m:     fdinfo of the owner file
 * @owner: its owner
 *
 * Context: Process context.  May sleep.
 */
void layout_owner_show_fdinfo(struct seq_file *m, struct layout_owner *owner)
{
	unsigned long next = 0;

	do {
		next = layout_owner_show_some(m, owner, next);
		cond_resched();
	} while (next && !seq_has_overflowed(m));
}
EXPORT_SYMBOL_GPL(layout_owner_show_fdinfo);

/* The pin that the registration took last. */
static struct layout_pin *layout_pins_last(struct layout_pins *pins)
{
	return llist_entry(pins->first, struct layout_pin, lp_node);
}

/*
 * The pin that @pin continues: it is to be merged with it once it is settled.
 * Only the registration itself touches its pins' lp_last.
 */
static struct layout_pin *layout_pin_continued(struct layout_pin *pin,
					       struct layout_pins *pins)
{
	struct layout_pin *last;

	if (!pins->first)
		return NULL;
	last = layout_pins_last(pins);
	return last->lp_lease == pin->lp_lease &&
	       last->lp_owner == pin->lp_owner &&
	       last->lp_last + 1 == pin->lp_first ? last : NULL;
}

/* Enter @pin into the tree, or enter it anew. */
static void layout_pin_enter_locked(struct layout_context *lc,
				    struct layout_pin *pin)
{
	layout_context_assert_held(lc);
	pin->lp_id = ++lc->lc_pin_seq;
	interval_tree_insert(&pin->lp_range, &lc->lc_pins);
}

/*
 * Take @pin off the tree.  Returns a lease for the caller to free: where pins
 * were revoked it goes with the last one.
 */
static struct layout_lease *layout_pin_unlink_locked(struct layout_pin *pin)
{
	struct layout_lease *lease = pin->lp_lease;
	struct layout_context *lc = lease->ll_context;

	layout_context_assert_held(lc);
	interval_tree_remove(&pin->lp_range, &lc->lc_pins);
	WRITE_ONCE(lease->ll_nr_pins, lease->ll_nr_pins - 1);
	layout_break_wake_locked(lc, pin->lp_range.start, pin->lp_range.last);
	/* On another file, perhaps, than the one for which it was revoked. */
	if (pin->lp_settled && layout_owner_revoked(pin->lp_owner))
		lease->ll_revoked = true;
	if (!lease->ll_revoked || lease->ll_nr_pins)
		return NULL;
	layout_lease_unlink_locked(lease);
	return lease;
}

/**
 * layout_pin_alloc - memory for a pin, charged to the caller
 *
 * Context: Process context.  May sleep.
 * Return: A pin of zeros, or NULL if there is no memory.
 */
struct layout_pin *layout_pin_alloc(void)
{
	return kmem_cache_zalloc(layout_pin_cache, GFP_KERNEL);
}

/*
 * Free a pin that is not in the tree.  @file is the leased file: once the last
 * pin is unlinked the lease may be gone.
 */
static void layout_pin_free(struct layout_pin *pin, struct file *file)
{
	layout_owner_put(pin->lp_owner);
	kmem_cache_free(layout_pin_cache, pin);
	fput(file);
}

static void layout_pin_drop(struct layout_pin *pin)
{
	struct layout_context *lc = pin->lp_lease->ll_context;
	struct file *file = pin->lp_lease->ll_file;
	struct layout_lease *lease;

	/* First: once it is unlinked the lease may go. */
	if (pin->lp_slot) {
		trace_pin_del(pin, pin->lp_first, pin->lp_last);
		xa_erase(&pin->lp_owner->lo_pins, pin->lp_slot);
	}
	spin_lock(&lc->lc_flctx->flc_lock);
	lease = layout_pin_unlink_locked(pin);
	spin_unlock(&lc->lc_flctx->flc_lock);
	layout_lease_free(lease);
	layout_pin_free(pin, file);
}

/*
 * Enter @pin into the tree, if the caller may pin here.  The order of the
 * checks is the contract's.
 */
static int layout_pin_link_locked(struct layout_context *lc,
				  struct layout_pin *pin,
				  struct layout_pins *pins, bool writable)
{
	struct layout_lease *lease;
	struct layout_pin *before;
	int error;

	layout_context_assert_held(lc);
	lease = layout_lease_get_locked(lc, task_tgid(current));
	if (!lease)
		return -EOPNOTSUPP;

	pin->lp_lease = lease;
	before = layout_pin_continued(pin, pins);
	error = -EAGAIN;
	if (layout_device_dying(lc->lc_inode) ||
	    layout_break_pending_locked(lc, pin->lp_range.start,
					pin->lp_range.last) ||
	    (before && layout_break_pending_locked(lc, before->lp_range.start,
						   before->lp_range.last)))
		goto put_file;
	error = -EFAULT;
	if (!writable)
		goto put_file;

	WRITE_ONCE(lease->ll_nr_pins, lease->ll_nr_pins + 1);
	/* Pairs with smp_mb() in layout_sb_pinned(). */
	smp_mb();
	error = -EOPNOTSUPP;
	if (!layout_allowed(lc->lc_inode))
		goto uncount_pin;
	layout_pin_enter_locked(lc, pin);
	return 0;

uncount_pin:
	WRITE_ONCE(lease->ll_nr_pins, lease->ll_nr_pins - 1);
put_file:
	fput(lease->ll_file);
	return error;
}

/*
 * Announce a pin of pages @first to @last.  Returns the pin, which is not
 * settled yet, or an error.
 */
static struct layout_pin *layout_pin_insert(struct inode *inode,
					    struct layout_pins *pins,
					    pgoff_t first, pgoff_t last,
					    bool writable)
{
	struct layout_context *lc = layout_context(inode);
	struct layout_pin *pin;
	int error;

	if (!lc)
		return ERR_PTR(-EOPNOTSUPP);
	pin = layout_pin_alloc();
	if (!pin)
		return ERR_PTR(-ENOMEM);
	pin->lp_first = first;
	pin->lp_last = last;
	pin->lp_range.start = round_down(first, LAYOUT_ENTRY_PAGES_MAX);
	pin->lp_range.last = round_up(last + 1, LAYOUT_ENTRY_PAGES_MAX) - 1;
	pin->lp_owner = layout_owner_get(current->layout_owner);

	spin_lock(&lc->lc_flctx->flc_lock);
	error = layout_pin_link_locked(lc, pin, pins, writable);
	spin_unlock(&lc->lc_flctx->flc_lock);
	if (error) {
		layout_owner_put(pin->lp_owner);
		kmem_cache_free(layout_pin_cache, pin);
		return ERR_PTR(error);
	}
	return pin;
}

/* So that nothing can fail once the pin is settled. */
static int layout_pin_reserve_slot(struct layout_pin *pin)
{
	return xa_alloc(&pin->lp_owner->lo_pins, &pin->lp_slot, NULL,
			xa_limit_32b, GFP_KERNEL);
}

/*
 * The pages of @pin have been taken, and lie in the entries from @first to
 * @last.  Hands the pin over to @pins, unless a break has begun meanwhile.
 */
static int layout_pin_settle(struct layout_pin *pin, struct layout_pins *pins,
			     pgoff_t first, pgoff_t last)
{
	struct layout_context *lc = pin->lp_lease->ll_context;
	unsigned long bound_first = pin->lp_range.start;
	unsigned long bound_last = pin->lp_range.last;
	struct layout_pin *into = layout_pin_continued(pin, pins);
	int error;

	if (!into) {
		error = layout_pin_reserve_slot(pin);
		if (error)
			return error;
	}
	spin_lock(&lc->lc_flctx->flc_lock);
	if (layout_break_pending_locked(lc, first, last)) {
		spin_unlock(&lc->lc_flctx->flc_lock);
		error = -EAGAIN;
		goto release_slot;
	}
	interval_tree_remove(&pin->lp_range, &lc->lc_pins);
	if (into) {
		interval_tree_remove(&into->lp_range, &lc->lc_pins);
		WRITE_ONCE(into->lp_last, pin->lp_last);
		into->lp_range.start = min(into->lp_range.start, first);
		into->lp_range.last = max(into->lp_range.last, last);
		layout_pin_enter_locked(lc, into);
		WRITE_ONCE(pin->lp_lease->ll_nr_pins,
			   pin->lp_lease->ll_nr_pins - 1);
	} else {
		pin->lp_range.start = first;
		pin->lp_range.last = last;
		pin->lp_settled = true;
		layout_pin_enter_locked(lc, pin);
		pin->lp_node.next = pins->first;
		pins->first = &pin->lp_node;
	}
	/* What lay between the bound and the entries has become free. */
	layout_break_wake_locked(lc, bound_first, bound_last);
	spin_unlock(&lc->lc_flctx->flc_lock);

	trace_pin_add(pin, pin->lp_first, pin->lp_last);
	if (into)
		/* The lease is held by the pin that goes on. */
		layout_pin_free(pin, into->lp_lease->ll_file);
	else
		xa_store(&pin->lp_owner->lo_pins, pin->lp_slot, pin, 0);
	return 0;

release_slot:
	if (pin->lp_slot)
		xa_release(&pin->lp_owner->lo_pins, pin->lp_slot);
	pin->lp_slot = 0;
	return error;
}

/*
 * pin_user_pages() that takes all of them or none.  It gets the pages one by one
 * for which layout_grab_mapped() would have to take a fault: what a fault has
 * mapped is often more than one.
 */
static long layout_pin_pages(struct vm_area_struct *vma, unsigned long start,
			     unsigned long nr_pages, unsigned int gup_flags,
			     struct page **pages)
{
	unsigned long done = 0, addr;
	long ret;

	if (fatal_signal_pending(current))
		return -EINTR;
	while (done < nr_pages) {
		addr = start + (done << PAGE_SHIFT);
		ret = layout_grab_mapped(vma, addr, nr_pages - done,
					 pages + done);
		if (!ret)
			ret = pin_user_pages(addr, 1,
					     gup_flags | FOLL_WRITE | FOLL_LEASED,
					     pages + done);
		if (ret <= 0) {
			unpin_user_pages(pages, done);
			return ret ? ret : -EAGAIN;
		}
		done += ret;
	}
	return 0;
}

/*
 * Pin up to @nr_pages pages of the FS-DAX mapping at @start.  From the check of
 * the lease to the look at the DAX entries under one hold of mmap_lock: what
 * was checked is what gets pinned.  Returns how many it pinned, 0 if it is not
 * such a mapping after all.
 */
static long layout_pin_vma(struct mm_struct *mm, unsigned long start,
			   unsigned long nr_pages, unsigned int gup_flags,
			   struct page **pages, struct layout_pins *pins)
{
	struct vm_area_struct *vma;
	struct layout_pin *pin;
	pgoff_t first, last;
	long ret;

	mmap_assert_locked(mm);
	if (layout_owner_revoked(current->layout_owner))
		return -EIO;
	vma = vma_lookup(mm, start);
	if (!vma)
		return -EFAULT;
	if (!vma_is_fsdax(vma))
		return 0;
	/* A copy in a private mapping would have been pinned as such. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EOPNOTSUPP;

	nr_pages = min3(nr_pages, (vma->vm_end - start) >> PAGE_SHIFT,
			LAYOUT_STEP_PAGES);
	first = linear_page_index(vma, start);
	last = first + nr_pages - 1;
	pin = layout_pin_insert(file_inode(vma->vm_file), pins, first, last,
				vma->vm_flags & VM_WRITE);
	if (IS_ERR(pin))
		return PTR_ERR(pin);

	ret = layout_pin_pages(vma, start, nr_pages, gup_flags, pages);
	if (ret)
		goto drop_pin;
	ret = dax_match_entries(vma->vm_file->f_mapping, pages, &first, &last);
	if (ret)
		goto unpin_pages;
	ret = layout_pin_settle(pin, pins, first, last);
	if (ret)
		goto unpin_pages;
	dax_layout_wake(pages, nr_pages);
	return nr_pages;

unpin_pages:
	unpin_user_pages(pages, nr_pages);
drop_pin:
	layout_pin_drop(pin);
	return ret;
}

/* layout_pin_vma(), for which it takes mmap_lock. */
static long layout_pin_some(unsigned long start, unsigned long nr_pages,
			    unsigned int gup_flags, struct page **pages,
			    struct layout_pins *pins)
{
	struct mm_struct *mm = current->mm;
	long ret;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	ret = layout_pin_vma(mm, start, nr_pages, gup_flags, pages, pins);
	mmap_read_unlock(mm);
	return ret;
}

/**
 * __pin_user_pages_leased - pin_user_pages_leased() from its first GUP-fast on
 * @start:     user address
 * @nr_pages:  pages to pin
 * @gup_flags: FOLL_LONGTERM and what pin_user_pages_fast() takes besides
 * @pages:     receives the pages
 * @pins:      receives the pins of FS-DAX ranges
 * @ret:       what pin_user_pages_fast() has returned for all of these pages
 *
 * Context: Process context.  Takes mmap_lock.  Sleeps.
 * Return: As pin_user_pages_leased().
 */
long __pin_user_pages_leased(unsigned long start, unsigned long nr_pages,
			     unsigned int gup_flags, struct page **pages,
			     struct layout_pins *pins, long ret)
{
	unsigned long done = 0, addr;

	start = untagged_addr(start) & PAGE_MASK;
	for (;;) {
		addr = start + (done << PAGE_SHIFT);
		if (ret == -EOPNOTSUPP && current->layout_owner)
			ret = layout_pin_some(addr, nr_pages - done, gup_flags,
					      pages + done, pins);
		/* Nothing, if the mapping changes all the time. */
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		if (ret < 0)
			break;
		done += ret;
		if (done >= nr_pages)
			return nr_pages;
		cond_resched();
		addr = start + (done << PAGE_SHIFT);
		ret = pin_user_pages_fast(addr, nr_pages - done, gup_flags,
					  pages + done);
	}
	unpin_user_pages(pages, done);
	return ret;
}
EXPORT_SYMBOL_GPL(__pin_user_pages_leased);

/**
 * layout_pins_unpin - unpin pages of a registration, if they are leased
 * @page:     the first page
 * @nr_pages: how many there are, contiguous and of the same device
 *
 * What is dirty are entries, and those are already.  So this is
 * unpin_user_page_range_dirty_lock() without the lock.  Each page of FS-DAX is
 * a folio of its own.  Unlike __put_devmap_managed_folio_refs() this looks for
 * waiters only if there are any, since those who wait for FS-DAX are counted.
 *
 * Context: Any.
 * Return: false if these pages are not FS-DAX, and have to be unpinned as usual.
 */
bool layout_pins_unpin(struct page *page, unsigned long nr_pages)
{
	unsigned long i;

	if (!is_zone_device_page(page) ||
	    page->pgmap->type != MEMORY_DEVICE_FS_DAX)
		return false;
	mod_node_page_state(page_pgdat(page), NR_FOLL_PIN_RELEASED, nr_pages);
	/* With one reference left a page is free, but for those who wait. */
	for (i = 0; i < nr_pages; i++)
		page_ref_sub(page + i, GUP_PIN_COUNTING_BIAS);
	dax_layout_wake_range(page, nr_pages);
	return true;
}
EXPORT_SYMBOL_GPL(layout_pins_unpin);

static void layout_pins_drop(struct llist_node *first)
{
	struct layout_pin *pin, *next;

	llist_for_each_entry_safe(pin, next, first, lp_node)
		layout_pin_drop(pin);
}

/* Pins released in a softirq, where flc_lock may not be taken. */
static LLIST_HEAD(layout_pins_deferred);

static void layout_pins_deferred_drop(struct work_struct *work)
{
	layout_pins_drop(llist_del_all(&layout_pins_deferred));
}

static DECLARE_WORK(layout_pins_deferred_work, layout_pins_deferred_drop);

static void layout_pins_defer(struct llist_node *first)
{
	struct llist_node *last = first;

	while (last->next)
		last = last->next;
	llist_add_batch(first, last, &layout_pins_deferred);
	schedule_work(&layout_pins_deferred_work);
}

/**
 * __layout_pins_release - layout_pins_release() for a set that is not empty
 * @pins: the set, empty afterwards
 *
 * Context: Any but hard interrupt and NMI.  Never sleeps.
 */
void __layout_pins_release(struct layout_pins *pins)
{
	struct llist_node *first = pins->first;

	pins->first = NULL;
	if (in_task())
		layout_pins_drop(first);
	else
		layout_pins_defer(first);
}
EXPORT_SYMBOL_GPL(__layout_pins_release);

#ifdef CONFIG_LAYOUT_LEASE_KUNIT_TEST
#include "../fs/tests/layout_pin_kunit.c"
#endif
