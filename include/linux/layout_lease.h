/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Layout leases and the long-term pins that they allow on FS-DAX files.
 *
 * A layout is the map from file offset to storage block.  A holder is the
 * thread group that took a lease on it, a pin a long-term GUP pin tracked as a
 * file range, a breaker the task whose operation would change the layout.
 * Documentation/filesystems/layout-lease.rst describes design and locking.
 */
#ifndef _LINUX_LAYOUT_LEASE_H
#define _LINUX_LAYOUT_LEASE_H

#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/fs_parser.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <uapi/linux/layout_lease.h>

struct dax_device;
struct layout_break;
struct layout_context;
struct layout_lease;
struct layout_owner;
struct seq_file;

/**
 * enum layout_policy - what a filesystem allows, chosen by its administrator
 * @LAYOUT_POLICY_OFF:   no layout lease from user space
 * @LAYOUT_POLICY_BREAK: a subtractive operation wins over a pin
 * @LAYOUT_POLICY_DENY:  a pin wins over a subtractive operation
 */
enum layout_policy {
	LAYOUT_POLICY_OFF,
	LAYOUT_POLICY_BREAK,
	LAYOUT_POLICY_DENY,
};

/* The reason is not known where the layout is about to change. */
#define LAYOUT_BREAK_UNKNOWN		0

/**
 * enum layout_break_flags - how layout_break_begin() may behave
 * @LAYOUT_BREAK_NONBLOCK: start the break, but do not wait for it
 * @LAYOUT_BREAK_NOSTART:  neither start a break nor wait: the caller works on
 *                         behalf of somebody else, or with locks held
 */
enum layout_break_flags {
	LAYOUT_BREAK_NONBLOCK	= 1 << 0,
	LAYOUT_BREAK_NOSTART	= 1 << 1,
};

/**
 * typedef layout_revoke_fn - ask an owner file to drop its pins
 * @file: what was given to layout_owner_alloc()
 *
 * The owner file has to see to it, some time later, that no device reaches the
 * pages that it has pinned, that later use of them fails with an error, and
 * that its pins are released.  It must not wait for anything that user space
 * can hold up, nor for another task to return to user space.  Whoever has the
 * file open lives on.  May be called while the file is being closed.
 *
 * Context: Spinlocks are held.  Must not sleep.
 */
typedef void (*layout_revoke_fn)(void *file);

/**
 * struct layout_pins - the pins that one registration of memory has collected
 * @first: the pin taken last, NULL if there is none
 *
 * Belongs to whoever pins.  All zeroes is an empty set.
 */
struct layout_pins {
#ifdef CONFIG_LAYOUT_LEASE
	struct llist_node *first;
#endif
};

#ifdef CONFIG_LAYOUT_LEASE

extern const struct constant_table layout_policy_names[];

/**
 * layout_sb_policy - policy in force on a filesystem
 * @sb: the superblock
 *
 * Context: Any.  The answer may be stale, unless s_umount is held.
 * Return: The policy.
 */
static inline enum layout_policy layout_sb_policy(const struct super_block *sb)
{
	return READ_ONCE(sb->s_layout_policy);
}

/**
 * layout_policy - policy in force on the filesystem of an inode
 * @inode: any inode
 *
 * Context: Any.  The answer may be stale.
 * Return: The policy.
 */
static inline enum layout_policy layout_policy(const struct inode *inode)
{
	return layout_sb_policy(inode->i_sb);
}

/**
 * layout_policy_option - value of the mount option "layout_lease" to show
 * @sb: the superblock
 *
 * Context: Any.
 * Return: The value, or NULL if it is the default.
 */
static inline const char *layout_policy_option(const struct super_block *sb)
{
	enum layout_policy policy = layout_sb_policy(sb);

	return policy == LAYOUT_POLICY_OFF ? NULL :
					     layout_policy_names[policy].name;
}

/**
 * layout_context - layout state of an inode
 * @inode: any inode
 *
 * Context: Any, while the inode is referenced.
 * Return: The state, or NULL where no layout lease was ever taken.
 */
static inline struct layout_context *layout_context(const struct inode *inode)
{
	struct file_lock_context *flctx = locks_inode_context(inode);

	/* Pairs with the cmpxchg() in layout_context_get(). */
	return unlikely(flctx) ? smp_load_acquire(&flctx->flc_layout) : NULL;
}

/**
 * layout_context_init - start without layout state
 * @flctx: a file lock context that is being made
 *
 * Context: Any.
 */
static inline void layout_context_init(struct file_lock_context *flctx)
{
	flctx->flc_layout = NULL;
}

/* fs/layout_policy.c */
int layout_policy_set(struct super_block *sb, enum layout_policy policy);

/* fs/layout_lease.c */
bool __layout_lease_carried(struct layout_context *lc, struct file *file);
int __layout_lease_exclude(struct layout_context *lc, struct file *file);
int fcntl_setlease_layout(unsigned int fd, struct file *file, int arg);
void layout_lease_remove_file(struct file *file, struct file_lock_context *flctx);
void layout_context_free(struct file_lock_context *flctx);

/* fs/layout_report.c */
int fcntl_getlease_layout(struct file *file);
int fcntl_getlayoutbreak(struct file *file, struct layout_break_info __user *argp);
void layout_lease_show_fdinfo(struct seq_file *m, struct file *file);

/* fs/layout_break.c */
int layout_break_begin(struct inode *inode, loff_t start, loff_t end,
		       unsigned int reason, unsigned int flags,
		       struct layout_break **brkp);
void __layout_break_end(struct layout_break *brk);
int __layout_break_check(struct inode *inode, loff_t start, loff_t end,
			 unsigned int reason);
bool __layout_pinned(struct inode *inode, pgoff_t first, pgoff_t last);
int __layout_plain_check(struct inode *inode);
bool __layout_truncate_breaks(struct inode *inode, loff_t size);
bool __layout_fallocate_breaks(struct inode *inode, int mode, loff_t offset,
			       loff_t len);
struct layout_break *__layout_break_truncate(struct inode *inode, loff_t size,
					     unsigned int flags);
struct layout_break *__layout_break_fallocate(struct file *file, int mode,
					      loff_t offset, loff_t len);
int layout_break_fileattr(struct inode *inode, const struct fileattr *old,
			  const struct fileattr *new,
			  struct layout_break **brkp);

/**
 * layout_lease_requested - does an argument of F_SETLEASE ask for layouts?
 * @arg: the argument
 *
 * Context: Any.
 * Return: true if fcntl_setlease_layout() is the one to judge it.
 */
static inline bool layout_lease_requested(int arg)
{
	return arg & (F_LAYOUT | F_EXCLUSIVE);
}

/**
 * layout_lease_carried - does an open file carry a layout lease?
 * @file: the open file
 *
 * Context: Process context.
 * Return: true if it does.
 */
static inline bool layout_lease_carried(struct file *file)
{
	struct layout_context *lc = layout_context(file_inode(file));

	return unlikely(lc) && __layout_lease_carried(lc, file);
}

/**
 * layout_lease_exclude - may an open file get an ordinary lease?
 * @file:  the open file
 * @flctx: file lock context of its inode, flc_lock is held
 *
 * Context: Process context.
 * Return: 0, or -EBUSY if it carries a layout lease.
 */
static inline int layout_lease_exclude(struct file *file,
				       struct file_lock_context *flctx)
{
	return unlikely(flctx->flc_layout) ?
		__layout_lease_exclude(flctx->flc_layout, file) : 0;
}

/**
 * layout_break_end - end the bracket that layout_break_begin() opened
 * @brk: the break, or NULL
 *
 * Lets pins into the range again.
 *
 * Context: Any process context.
 */
static inline void layout_break_end(struct layout_break *brk)
{
	if (unlikely(brk))
		__layout_break_end(brk);
}

/**
 * layout_break_check - may the layout of a range change without a break?
 * @inode:  inode whose layout would change
 * @start:  first byte
 * @end:    one past the last byte, LLONG_MAX for "to the end, however large"
 * @reason: LAYOUT_BREAK_*, for reports
 *
 * The filesystem's safety net, for every path that has no
 * layout_break_begin() around it.  A caller that holds the invalidate lock and
 * has found no busy page in the range knows with this that the blocks are
 * beyond the reach of any device.
 *
 * Context: Process context, any lock of the filesystem may be held.
 * Return: 0 if no pin stands in the range, -EDEADLK if one of the caller's
 *         own thread group does, -ETXTBSY if another's does.
 */
static inline int layout_break_check(struct inode *inode, loff_t start,
				     loff_t end, unsigned int reason)
{
	return layout_context(inode) ?
		__layout_break_check(inode, start, end, reason) : 0;
}

/**
 * layout_pinned - does a pin stand in a range?
 * @inode: inode of the file
 * @first: first page of the range
 * @last:  last page of the range
 *
 * Context: Process context.  Not with the i_pages lock held.
 * Return: true if one does.  One of a registration in flight may be wider than
 *         it is going to be.
 */
static inline bool layout_pinned(struct inode *inode, pgoff_t first,
				 pgoff_t last)
{
	return layout_context(inode) && __layout_pinned(inode, first, last);
}

/**
 * layout_truncate_breaks - must a truncate open a bracket first?
 * @inode: inode to be truncated
 * @size:  its new size in bytes
 * @brk:   the bracket that is open already, or NULL
 *
 * Context: Any.
 * Return: true if layout_break_truncate() has to be called, with no lock and
 *         no freeze protection held.
 */
static inline bool layout_truncate_breaks(struct inode *inode, loff_t size,
					  const struct layout_break *brk)
{
	return layout_context(inode) && !brk &&
	       __layout_truncate_breaks(inode, size);
}

/**
 * layout_setattr_check - may attributes of a file change without a bracket?
 * @inode: inode to be changed
 * @attr:  what it is to become
 *
 * nfsd and stacked filesystems truncate without one.  Pins are found later, by
 * layout_break_check(); a plain lease has to be told, for which it is too late
 * with i_rwsem held.
 *
 * Context: Process context, i_rwsem held.
 * Return: 0, or -ETXTBSY if the file would be truncated, and another thread
 *         group has a plain layout lease.
 */
static inline int layout_setattr_check(struct inode *inode,
				       const struct iattr *attr)
{
	return layout_context(inode) && (attr->ia_valid & ATTR_SIZE) &&
	       __layout_truncate_breaks(inode, attr->ia_size) ?
		__layout_plain_check(inode) : 0;
}

/**
 * layout_break_truncate - open the bracket around a truncate
 * @inode: inode to be truncated
 * @size:  its new size in bytes
 * @flags: enum layout_break_flags
 *
 * Context: Process context.  Sleeps.  No inode lock, no freeze protection.
 * Return: The break, NULL if the truncate takes nothing away, or an error
 *         pointer with what layout_break_begin() returned.
 */
static inline struct layout_break *layout_break_truncate(struct inode *inode,
							 loff_t size,
							 unsigned int flags)
{
	return layout_context(inode) ?
		__layout_break_truncate(inode, size, flags) : NULL;
}

/**
 * layout_break_fallocate - open the bracket around a fallocate
 * @file:   the open file; one that belongs to a stacked filesystem does not
 *          wait, since that holds locks of its own
 * @mode:   FALLOC_FL_*, checked by the VFS
 * @offset: first byte of the range
 * @len:    bytes in the range
 *
 * Context: Process context.  Sleeps.  No inode lock, no freeze protection.
 * Return: The break, NULL if the operation takes nothing away, or an error
 *         pointer with what layout_break_begin() returned.
 */
static inline struct layout_break *layout_break_fallocate(struct file *file,
							  int mode,
							  loff_t offset,
							  loff_t len)
{
	return layout_context(file_inode(file)) ?
		__layout_break_fallocate(file, mode, offset, len) : NULL;
}

/**
 * layout_fallocate_raced - did a fallocate meet a pin it had not looked for?
 * @inode:  inode that was worked on
 * @mode:   FALLOC_FL_*
 * @offset: first byte of the range
 * @len:    bytes in the range
 * @brk:    the bracket that was open, or NULL
 * @error:  what the filesystem said
 *
 * The first lease of a file may be granted just after
 * layout_break_fallocate() found that there was none.
 *
 * Context: Any.
 * Return: true if the operation must be tried again from
 *         layout_break_fallocate() on, which opens a bracket this time.
 */
static inline bool layout_fallocate_raced(struct inode *inode, int mode,
					  loff_t offset, loff_t len,
					  const struct layout_break *brk,
					  long error)
{
	return unlikely(error == -ETXTBSY) && !brk && layout_context(inode) &&
	       __layout_fallocate_breaks(inode, mode, offset, len);
}

/* fs/layout_device.c */
void layout_device_remove(struct dax_device *dax_dev);
void layout_device_poison(unsigned long pfn);

/* mm/layout_pin.c */
struct layout_owner *layout_owner_alloc(const char *subsystem,
					const char *name,
					layout_revoke_fn revoke, void *file);
void layout_owner_close(struct layout_owner *owner);
struct layout_owner *layout_owner_get(struct layout_owner *owner);
void layout_owner_put(struct layout_owner *owner);
bool layout_owner_revoked(const struct layout_owner *owner);
void layout_owner_show_fdinfo(struct seq_file *m, struct layout_owner *owner);
long __pin_user_pages_leased(unsigned long start, unsigned long nr_pages,
			     unsigned int gup_flags, struct page **pages,
			     struct layout_pins *pins, long ret);
void __layout_pins_release(struct layout_pins *pins);
bool layout_pins_unpin(struct page *page, unsigned long nr_pages);

/**
 * layout_owner_enter - pin on behalf of an owner file from here on
 * @owner: the owner, or NULL
 *
 * Context: Process context.
 * Return: What to pass to layout_owner_exit().
 */
static inline struct layout_owner *layout_owner_enter(struct layout_owner *owner)
{
	struct layout_owner *outer = current->layout_owner;

	current->layout_owner = owner;
	return outer;
}

/**
 * layout_owner_exit - end what layout_owner_enter() began
 * @outer: what layout_owner_enter() returned
 *
 * Context: Process context.
 */
static inline void layout_owner_exit(struct layout_owner *outer)
{
	current->layout_owner = outer;
}

/**
 * pin_user_pages_leased - pin user pages for long, FS-DAX pages under a lease
 * @start:     user address; the page that it lies in is the first
 * @nr_pages:  pages to pin
 * @gup_flags: FOLL_LONGTERM and what pin_user_pages_fast() takes besides
 * @pages:     receives the pages, room for @nr_pages
 * @pins:      receives the pins of FS-DAX ranges.  Calls with the same set
 *             accumulate, and contiguous ranges become one pin
 *
 * Where the memory is not FS-DAX this is pin_user_pages_fast().  FS-DAX memory
 * is pinned on behalf of the owner declared with layout_owner_enter(), and for
 * writing whatever @gup_flags say: a write fault allocates what is missing and
 * unshares what is shared.
 *
 * After an error the caller has to unpin what earlier calls with @pins have
 * returned, and to call layout_pins_release().
 *
 * Context: Process context.  Takes mmap_lock.  Sleeps.
 * Return: @nr_pages, or: -EOPNOTSUPP for FS-DAX memory without an exclusive
 *         layout lease of the caller, in a private mapping or without an owner;
 *         -EIO if the owner has been revoked; -EAGAIN if a break is pending on
 *         the range; -EFAULT for a mapping that cannot be written to, no space
 *         or a range beyond the end of the file; -EINTR for a fatal signal;
 *         -ENOMEM; and what pin_user_pages_fast() returns.
 */
static inline long pin_user_pages_leased(unsigned long start,
					 unsigned long nr_pages,
					 unsigned int gup_flags,
					 struct page **pages,
					 struct layout_pins *pins)
{
	long ret = pin_user_pages_fast(start, nr_pages, gup_flags, pages);

	return likely(ret == nr_pages) ? ret :
		__pin_user_pages_leased(start, nr_pages, gup_flags, pages, pins,
					ret);
}

/**
 * layout_pins_empty - is there no pin in a set?
 * @pins: the set
 *
 * Context: Any.
 * Return: true if there is none: nothing was pinned under a layout lease.
 */
static inline bool layout_pins_empty(const struct layout_pins *pins)
{
	return !pins->first;
}

/**
 * layout_pins_release - drop all pins of a registration
 * @pins: the set, empty afterwards
 *
 * To be called once the pages have been unpinned: a breaker that waits for
 * these pins goes on as soon as they are gone.
 *
 * Context: Any but hard interrupt and NMI.  Never sleeps, cannot fail.
 */
static inline void layout_pins_release(struct layout_pins *pins)
{
	if (unlikely(pins->first))
		__layout_pins_release(pins);
}

#else /* !CONFIG_LAYOUT_LEASE */

static inline struct layout_context *layout_context(const struct inode *inode)
{
	return NULL;
}

static inline enum layout_policy layout_sb_policy(const struct super_block *sb)
{
	return LAYOUT_POLICY_OFF;
}

static inline const char *layout_policy_option(const struct super_block *sb)
{
	return NULL;
}

static inline int layout_policy_set(struct super_block *sb,
				    enum layout_policy policy)
{
	return 0;
}

static inline bool layout_lease_requested(int arg)
{
	return false;
}

static inline bool layout_lease_carried(struct file *file)
{
	return false;
}

static inline int layout_lease_exclude(struct file *file,
				       struct file_lock_context *flctx)
{
	return 0;
}

static inline int fcntl_setlease_layout(unsigned int fd, struct file *file,
					int arg)
{
	return -EINVAL;
}

static inline int fcntl_getlease_layout(struct file *file)
{
	return F_UNLCK;
}

static inline int fcntl_getlayoutbreak(struct file *file,
				       struct layout_break_info __user *argp)
{
	return -EINVAL;
}

static inline void layout_lease_show_fdinfo(struct seq_file *m,
					    struct file *file)
{
}

static inline void layout_lease_remove_file(struct file *file,
					    struct file_lock_context *flctx)
{
}

static inline void layout_context_init(struct file_lock_context *flctx)
{
}

static inline void layout_context_free(struct file_lock_context *flctx)
{
}

static inline void layout_break_end(struct layout_break *brk)
{
}

static inline int layout_break_check(struct inode *inode, loff_t start,
				     loff_t end, unsigned int reason)
{
	return 0;
}

static inline bool layout_pinned(struct inode *inode, pgoff_t first,
				 pgoff_t last)
{
	return false;
}

static inline bool layout_truncate_breaks(struct inode *inode, loff_t size,
					  const struct layout_break *brk)
{
	return false;
}

static inline int layout_setattr_check(struct inode *inode,
				       const struct iattr *attr)
{
	return 0;
}

static inline struct layout_break *layout_break_truncate(struct inode *inode,
							 loff_t size,
							 unsigned int flags)
{
	return NULL;
}

static inline struct layout_break *layout_break_fallocate(struct file *file,
							  int mode,
							  loff_t offset,
							  loff_t len)
{
	return NULL;
}

static inline bool layout_fallocate_raced(struct inode *inode, int mode,
					  loff_t offset, loff_t len,
					  const struct layout_break *brk,
					  long error)
{
	return false;
}

static inline int layout_break_fileattr(struct inode *inode,
					const struct fileattr *old,
					const struct fileattr *new,
					struct layout_break **brkp)
{
	*brkp = NULL;
	return 0;
}

static inline void layout_device_remove(struct dax_device *dax_dev)
{
}

static inline void layout_device_poison(unsigned long pfn)
{
}

static inline struct layout_owner *layout_owner_enter(struct layout_owner *owner)
{
	return NULL;
}

static inline void layout_owner_exit(struct layout_owner *outer)
{
}

static inline long pin_user_pages_leased(unsigned long start,
					 unsigned long nr_pages,
					 unsigned int gup_flags,
					 struct page **pages,
					 struct layout_pins *pins)
{
	return pin_user_pages_fast(start, nr_pages, gup_flags, pages);
}

static inline void layout_pins_release(struct layout_pins *pins)
{
}

static inline bool layout_pins_empty(const struct layout_pins *pins)
{
	return true;
}

static inline bool layout_pins_unpin(struct page *page, unsigned long nr_pages)
{
	return false;
}

#endif /* CONFIG_LAYOUT_LEASE */
#endif /* _LINUX_LAYOUT_LEASE_H */
