// SPDX-License-Identifier: GPL-2.0
/*
 * Which system calls take blocks away from a file, and from which range.
 *
 * Only these know a reason from an argument; fs/layout_break.c knows reasons
 * and ranges.  A request that the filesystem is going to refuse breaks nothing.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/fileattr.h>
#include <linux/layout_lease.h>

/**
 * __layout_truncate_breaks - does a truncate take anything away?
 * @inode: an inode with layout state
 * @size:  its new size in bytes
 *
 * Context: Any.
 * Return: true if it does, and is not going to be refused.
 */
bool __layout_truncate_breaks(struct inode *inode, loff_t size)
{
	return size < i_size_read(inode) && !IS_IMMUTABLE(inode) &&
	       !IS_SWAPFILE(inode);
}

static unsigned int layout_fallocate_reason(int mode)
{
	switch (mode & FALLOC_FL_MODE_MASK) {
	case FALLOC_FL_PUNCH_HOLE:
		return LAYOUT_BREAK_PUNCH_HOLE;
	case FALLOC_FL_ZERO_RANGE:
		return LAYOUT_BREAK_ZERO_RANGE;
	case FALLOC_FL_COLLAPSE_RANGE:
		return LAYOUT_BREAK_COLLAPSE_RANGE;
	default:
		return LAYOUT_BREAK_INSERT_RANGE;
	}
}

/**
 * __layout_fallocate_breaks - does a fallocate take anything away?
 * @inode:  an inode with layout state
 * @mode:   FALLOC_FL_*
 * @offset: first byte of the range
 * @len:    bytes in the range
 *
 * Context: Any.
 * Return: true if it does, and is not going to be refused.
 */
bool __layout_fallocate_breaks(struct inode *inode, int mode, loff_t offset,
			       loff_t len)
{
	loff_t end = offset + len;

	return falloc_unmap_range(inode, mode, offset, &end);
}

/**
 * __layout_break_truncate - layout_break_truncate() with layout state
 * @inode: inode to be truncated
 * @size:  its new size in bytes
 * @flags: enum layout_break_flags
 *
 * Context: Process context.  Sleeps.  No inode lock, no freeze protection.
 * Return: The break, NULL if the truncate takes nothing away, or an error
 *         pointer with what layout_break_begin() returned.
 */
struct layout_break *__layout_break_truncate(struct inode *inode, loff_t size,
					     unsigned int flags)
{
	struct layout_break *brk;
	int error;

	if (!__layout_truncate_breaks(inode, size))
		return NULL;
	error = layout_break_begin(inode, size, LLONG_MAX,
				   LAYOUT_BREAK_TRUNCATE, flags, &brk);
	return error ? ERR_PTR(error) : brk;
}

/**
 * __layout_break_fallocate - layout_break_fallocate() with layout state
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
struct layout_break *__layout_break_fallocate(struct file *file, int mode,
					      loff_t offset, loff_t len)
{
	unsigned int flags = file->f_mode & FMODE_BACKING ?
			     LAYOUT_BREAK_NOSTART : 0;
	struct inode *inode = file_inode(file);
	loff_t end = offset + len;
	struct layout_break *brk;
	int error;

	if (!falloc_unmap_range(inode, mode, offset, &end))
		return NULL;
	error = layout_break_begin(inode, offset, end,
				   layout_fallocate_reason(mode), flags, &brk);
	return error ? ERR_PTR(error) : brk;
}

/**
 * layout_break_fileattr - open the bracket around a change of attributes
 * @inode: the inode, i_rwsem held for writing
 * @old:   its attributes
 * @new:   what they are to become
 * @brkp:  receives the break, NULL if no block can move
 *
 * Context: Process context.  Does not wait.
 * Return: As layout_break_begin() for a reason that does not escalate.
 */
int layout_break_fileattr(struct inode *inode, const struct fileattr *old,
			  const struct fileattr *new,
			  struct layout_break **brkp)
{
	u32 flags = FS_DAX_FL | FS_JOURNAL_DATA_FL | FS_EXTENT_FL;
	u32 xflags = FS_XFLAG_DAX | FS_XFLAG_REALTIME;

	*brkp = NULL;
	if (!((old->flags ^ new->flags) & flags) &&
	    !((old->fsx_xflags ^ new->fsx_xflags) & xflags))
		return 0;
	return layout_break_begin(inode, 0, LLONG_MAX, LAYOUT_BREAK_ATTR, 0,
				  brkp);
}
