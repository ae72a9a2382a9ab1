// SPDX-License-Identifier: GPL-2.0
/*
 * Layout leases: the administrator's mount option, and the registry of all files
 * with a layout lease.
 *
 * Invariants:
 *
 * - A file is in the registry while it carries a layout lease.  So whoever
 *   looks for a lease, a pin or a break of the whole system finds it here.
 * - No lease is granted, and no pin taken, where layout_allowed() says no under
 *   layout_leases_lock or after a full barrier.
 * - The registry holds nothing.  A reader gets hold of a leased file, which
 *   keeps inode and mount.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <linux/dax.h>
#include <linux/file.h>

#include "layout_internal.h"

/* Guards layout_registry, lc_leases, s_layout_open and s_layout_policy. */
static DEFINE_SPINLOCK(layout_leases_lock);
/* Layout states with a lease, by lc_id. */
static struct rb_root layout_registry = RB_ROOT;
/* The newest ids.  layout_leases_lock */
static u64 layout_context_last_id;
static u64 layout_lease_last_id;

/* Values of the mount option "layout_lease", for fs_param_enum. */
const struct constant_table layout_policy_names[] = {
	{ "off",	LAYOUT_POLICY_OFF },
	{ "break",	LAYOUT_POLICY_BREAK },
	{ "deny",	LAYOUT_POLICY_DENY },
	{}
};
EXPORT_SYMBOL_GPL(layout_policy_names);

static bool layout_registry_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct layout_context, lc_registry)->lc_id <
	       rb_entry(b, struct layout_context, lc_registry)->lc_id;
}

/* The first layout state whose id is not less than @id, NULL at the end. */
static struct layout_context *layout_registry_find(u64 id)
{
	struct rb_node *node = layout_registry.rb_node;
	struct layout_context *lc, *found = NULL;

	lockdep_assert_held(&layout_leases_lock);
	while (node) {
		lc = rb_entry(node, struct layout_context, lc_registry);
		if (lc->lc_id < id) {
			node = node->rb_right;
		} else {
			found = lc;
			node = node->rb_left;
		}
	}
	return found;
}

/**
 * layout_registry_file - a leased file, by the id of its layout state
 * @idp: the least id to look for; receives the one found
 *
 * Context: Process context.
 * Return: A file of that layout state, referenced, or NULL at the end.
 */
struct file *layout_registry_file(u64 *idp)
{
	struct layout_context *lc;
	struct layout_lease *lease;
	struct file *file = NULL;

	spin_lock(&layout_leases_lock);
	while ((lc = layout_registry_find(*idp))) {
		list_for_each_entry(lease, &lc->lc_leases, ll_list) {
			file = get_file_active(&lease->ll_file);
			if (file)
				break;
		}
		*idp = lc->lc_id;
		if (file)
			break;
		/* All of them are being closed. */
		++*idp;
	}
	spin_unlock(&layout_leases_lock);
	return file;
}

/**
 * layout_registry_add_locked - list a lease
 * @lease: a lease that is on no list
 *
 * Context: flc_lock is held.
 * Return: 0, or -EOPNOTSUPP if the policy has become "off".
 */
int layout_registry_add_locked(struct layout_lease *lease)
{
	struct layout_context *lc = lease->ll_context;
	int error = 0;

	layout_context_assert_held(lc);
	spin_lock(&layout_leases_lock);
	if (!layout_allowed(lc->lc_inode)) {
		error = -EOPNOTSUPP;
		goto unlock;
	}
	if (list_empty(&lc->lc_leases)) {
		lc->lc_id = ++layout_context_last_id;
		rb_add(&lc->lc_registry, &layout_registry,
		       layout_registry_less);
	}
	lease->ll_id = ++layout_lease_last_id;
	list_add_tail(&lease->ll_list, &lc->lc_leases);
	lc->lc_nr_leases++;
unlock:
	spin_unlock(&layout_leases_lock);
	return error;
}

/**
 * layout_registry_del_locked - undo layout_registry_add_locked()
 * @lease: a listed lease
 *
 * Context: flc_lock is held.
 */
void layout_registry_del_locked(struct layout_lease *lease)
{
	struct layout_context *lc = lease->ll_context;

	layout_context_assert_held(lc);
	spin_lock(&layout_leases_lock);
	list_del_init(&lease->ll_list);
	lc->lc_nr_leases--;
	if (list_empty(&lc->lc_leases))
		rb_erase(&lc->lc_registry, &layout_registry);
	spin_unlock(&layout_leases_lock);
}

/* The next layout state on @sb from @id on. */
static struct layout_context *layout_registry_of_sb(struct super_block *sb,
						    u64 id)
{
	struct layout_context *lc;

	for (lc = layout_registry_find(id); lc;
	     lc = layout_registry_find(lc->lc_id + 1))
		if (lc->lc_inode->i_sb == sb)
			return lc;
	return NULL;
}

static bool layout_context_pinned(struct layout_context *lc)
{
	struct layout_lease *lease;

	list_for_each_entry(lease, &lc->lc_leases, ll_list)
		if (READ_ONCE(lease->ll_nr_pins))
			return true;
	return false;
}

/* Is there a pin on @sb? */
static bool layout_sb_pinned(struct super_block *sb)
{
	struct layout_context *lc;
	bool pinned = false;
	u64 id = 0;

	/* Pairs with smp_mb() in layout_pin_link_locked(). */
	smp_mb();
	spin_lock(&layout_leases_lock);
	while (!pinned && (lc = layout_registry_of_sb(sb, id))) {
		pinned = layout_context_pinned(lc);
		id = lc->lc_id + 1;
	}
	spin_unlock(&layout_leases_lock);
	return pinned;
}

/* The next inode of @sb with a layout lease, referenced, NULL at the end. */
static struct inode *layout_sb_leased_inode(struct super_block *sb, u64 *idp)
{
	struct layout_context *lc;
	struct inode *inode = NULL;

	spin_lock(&layout_leases_lock);
	while (!inode && (lc = layout_registry_of_sb(sb, *idp))) {
		inode = igrab(lc->lc_inode);
		*idp = lc->lc_id + 1;
	}
	spin_unlock(&layout_leases_lock);
	return inode;
}

/* Remove every layout lease of @inode; none has a pin. */
static void layout_leases_drop(struct inode *inode)
{
	struct layout_context *lc = layout_context(inode);
	struct layout_lease *lease, *next;
	LIST_HEAD(dropped);

	spin_lock(&lc->lc_flctx->flc_lock);
	list_for_each_entry_safe(lease, next, &lc->lc_leases, ll_list) {
		layout_lease_unlink_locked(lease);
		list_add(&lease->ll_list, &dropped);
	}
	spin_unlock(&lc->lc_flctx->flc_lock);

	list_for_each_entry_safe(lease, next, &dropped, ll_list)
		layout_lease_free(lease);
}

/**
 * layout_allowed - may layout leases be granted, and pins taken under them?
 * @inode: the inode
 *
 * Context: Any.  The answer counts under layout_leases_lock, or after a full
 *          barrier, see layout_pin_link_locked().
 * Return: true if they may.
 */
bool layout_allowed(const struct inode *inode)
{
	return (inode->i_flags & S_LAYOUT_LEASE) &&
	       READ_ONCE(inode->i_sb->s_layout_open);
}

static void layout_sb_set(struct super_block *sb, enum layout_policy policy,
			  bool open)
{
	spin_lock(&layout_leases_lock);
	WRITE_ONCE(sb->s_layout_policy, policy);
	WRITE_ONCE(sb->s_layout_open, open);
	spin_unlock(&layout_leases_lock);
}

/**
 * layout_policy_set - apply the mount option "layout_lease"
 * @sb:     the superblock, being mounted or with s_umount held for writing
 * @policy: the policy
 *
 * "off" drops idle layout leases, and is refused where a pin stands.
 *
 * Context: Process context.  May sleep.
 * Return: 0, or -EBUSY if the policy would be "off" while pins stand.
 */
int layout_policy_set(struct super_block *sb, enum layout_policy policy)
{
	struct inode *inode;
	u64 id = 0;

	if (policy != LAYOUT_POLICY_OFF) {
		layout_sb_set(sb, policy, true);
		return 0;
	}

	if (layout_sb_pinned(sb))
		return -EBUSY;
	/* Keep pins out, and look again. */
	layout_sb_set(sb, layout_sb_policy(sb), false);
	if (layout_sb_pinned(sb)) {
		layout_sb_set(sb, layout_sb_policy(sb), true);
		return -EBUSY;
	}
	layout_sb_set(sb, LAYOUT_POLICY_OFF, false);
	/* No lease is granted any more: one pass finds them all. */
	while ((inode = layout_sb_leased_inode(sb, &id))) {
		layout_leases_drop(inode);
		iput(inode);
		cond_resched();
	}
	return 0;
}
EXPORT_SYMBOL_GPL(layout_policy_set);
