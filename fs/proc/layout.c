// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/<pid>/file_pins, /proc/layout_leases and /proc/layout_breaks: who holds
 * the layout of which file, and who wants it changed; /proc/layout_revoke, by
 * which an administrator takes pins away.
 *
 * Numbers of processes are those of the pid namespace of the proc mount, 0 for
 * a process that is gone or not visible there; users are those of the reader's
 * user namespace.  Documentation/admin-guide/layout-lease.rst has the formats.
 */
#include <linux/capability.h>
#include <linux/ctype.h>
#include <linux/file.h>
#include <linux/kernel.h>
#include <linux/kdev_t.h>
#include <linux/layout_lease.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/ptrace.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "internal.h"
#include "../layout_internal.h"

static pid_t layout_seq_pid(struct seq_file *m, struct pid *tgid)
{
	return pid_nr_ns(tgid, proc_pid_ns(file_inode(m->file)->i_sb));
}

static void layout_show_inode(struct seq_file *m, const char *what,
			      const struct layout_record *rec)
{
	struct inode *inode = file_inode(rec->file);
	dev_t dev = inode->i_sb->s_dev;

	seq_printf(m, "%s %u:%u %lu ", what, MAJOR(dev), MINOR(dev),
		   inode->i_ino);
}

/* Ends the line, as a line of /proc/<pid>/maps. */
static void layout_show_path(struct seq_file *m,
			     const struct layout_record *rec)
{
	seq_putc(m, ' ');
	seq_path(m, file_user_path(rec->file), "\n");
	seq_putc(m, '\n');
}

static int layout_show_record(struct seq_file *m, void *v)
{
	const struct layout_record *rec = v;

	switch (rec->kind) {
	case LAYOUT_RECORD_LEASE:
		layout_show_inode(m, "lease", rec);
		seq_printf(m, "%s fd=%d pins=%lu",
			   rec->exclusive ? "exclusive" : "layout", rec->fd,
			   rec->nr_pins);
		break;
	case LAYOUT_RECORD_PIN:
		layout_show_inode(m, "pin", rec);
		seq_printf(m, "0x%llx-0x%llx %s", rec->start, rec->end,
			   rec->owner->lo_name);
		break;
	case LAYOUT_RECORD_BREAK:
		layout_show_inode(m, "break", rec);
		seq_printf(m, "%s 0x%llx-0x%llx breaker=%d uid=%u left=%lld pins=%lu %s",
			   layout_reason_name(rec->reason), rec->start,
			   rec->end, layout_seq_pid(m, rec->breaker),
			   from_kuid_munged(seq_user_ns(m), rec->uid),
			   rec->left_ms, rec->nr_pins,
			   rec->abandoned ? "abandoned" : "waiting");
		break;
	}
	layout_show_path(m, rec);
	return 0;
}

static int layout_show_with_holder(struct seq_file *m, void *v)
{
	const struct layout_record *rec = v;

	seq_printf(m, "pid=%d ", layout_pid_alive(rec->holder) ?
				 layout_seq_pid(m, rec->holder) : 0);
	return layout_show_record(m, v);
}

static void *layout_seq_start(struct seq_file *m, loff_t *pos,
			      unsigned int kinds)
{
	struct layout_walk *walk = m->private;

	walk->kinds = kinds;
	return layout_walk_start(walk, !*pos);
}

static void *layout_leases_start(struct seq_file *m, loff_t *pos)
{
	return layout_seq_start(m, pos, BIT(LAYOUT_RECORD_LEASE) |
					BIT(LAYOUT_RECORD_PIN));
}

static void *layout_breaks_start(struct seq_file *m, loff_t *pos)
{
	return layout_seq_start(m, pos, BIT(LAYOUT_RECORD_BREAK));
}

static void *layout_seq_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return layout_walk_next(m->private);
}

static void layout_seq_stop(struct seq_file *m, void *v)
{
	layout_walk_stop(m->private);
}

static const struct seq_operations layout_leases_seq_ops = {
	.start	= layout_leases_start,
	.next	= layout_seq_next,
	.stop	= layout_seq_stop,
	.show	= layout_show_with_holder,
};

static const struct seq_operations layout_breaks_seq_ops = {
	.start	= layout_breaks_start,
	.next	= layout_seq_next,
	.stop	= layout_seq_stop,
	.show	= layout_show_with_holder,
};

/* The longest request: "file " and three numbers. */
#define LAYOUT_REQUEST_MAX	64

/* Digits and nothing else; scanf() would let a number wrap. */
static int layout_request_number(const char *text, u64 max, u64 *number)
{
	if (!text || !isdigit(*text) || kstrtou64(text, 10, number) ||
	    *number > max)
		return -EINVAL;
	return 0;
}

static int layout_revoke_pid(char *arg)
{
	struct pid *holder;
	u64 nr;
	int error;

	error = layout_request_number(arg, INT_MAX, &nr);
	if (error)
		return error;
	holder = find_get_pid(nr);
	if (!holder)
		return -ESRCH;
	error = layout_revoke_pins(holder, false, 0, 0);
	put_pid(holder);
	return error;
}

static int layout_revoke_file(char *arg)
{
	u64 major, minor, ino;

	if (layout_request_number(strsep(&arg, ":"),
				  U32_MAX >> MINORBITS, &major) ||
	    layout_request_number(strsep(&arg, " "), MINORMASK, &minor) ||
	    layout_request_number(arg, ULONG_MAX, &ino))
		return -EINVAL;
	return layout_revoke_pins(NULL, true, MKDEV(major, minor), ino);
}

static ssize_t layout_revoke_write(struct file *file, const char __user *buf,
				   size_t size, loff_t *ppos)
{
	char request[LAYOUT_REQUEST_MAX];
	char *arg;
	int error;

	/* Whoever writes, and whoever has opened this. */
	if (!capable(CAP_SYS_ADMIN) ||
	    !file_ns_capable(file, &init_user_ns, CAP_SYS_ADMIN))
		return -EPERM;
	if (*ppos || size >= sizeof(request))
		return -EINVAL;
	if (copy_from_user(request, buf, size))
		return -EFAULT;
	request[size] = '\0';
	if (strlen(request) != size)
		return -EINVAL;
	arg = strim(request);

	if (!strncmp(arg, "pid ", 4))
		error = layout_revoke_pid(arg + 4);
	else if (!strncmp(arg, "file ", 5))
		error = layout_revoke_file(arg + 5);
	else
		error = -EINVAL;
	return error ? error : size;
}

static int layout_revoke_open(struct inode *inode, struct file *file)
{
	return capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

static const struct proc_ops layout_revoke_proc_ops = {
	.proc_open	= layout_revoke_open,
	.proc_write	= layout_revoke_write,
	.proc_lseek	= noop_llseek,
};

static int __init proc_layout_init(void)
{
	proc_create_seq_private("layout_leases", 0400, NULL,
				&layout_leases_seq_ops,
				sizeof(struct layout_walk), NULL);
	proc_create_seq_private("layout_breaks", 0400, NULL,
				&layout_breaks_seq_ops,
				sizeof(struct layout_walk), NULL);
	proc_create("layout_revoke", 0200, NULL, &layout_revoke_proc_ops);
	return 0;
}
fs_initcall(proc_layout_init);

/*
 * May current read the pins of the process that @inode is about?  As for its
 * maps, but also where it has no memory any more: its leases may stand still.
 */
static int file_pins_permitted(struct inode *inode)
{
	struct task_struct *task = get_proc_task(inode);
	int error = 0;

	if (!task)
		return -ESRCH;
	if (!ptrace_may_access(task, PTRACE_MODE_READ_FSCREDS))
		error = -EACCES;
	put_task_struct(task);
	return error;
}

static void *file_pins_start(struct seq_file *m, loff_t *pos)
{
	/* The process may have become another since this was opened. */
	int error = file_pins_permitted(file_inode(m->file));

	if (error)
		return ERR_PTR(error);
	return layout_leases_start(m, pos);
}

static const struct seq_operations file_pins_seq_ops = {
	.start	= file_pins_start,
	.next	= layout_seq_next,
	.stop	= layout_seq_stop,
	.show	= layout_show_record,
};

static int file_pins_open(struct inode *inode, struct file *file)
{
	struct task_struct *task;
	struct layout_walk *walk;
	int error;

	error = file_pins_permitted(inode);
	if (error)
		return error;
	walk = __seq_open_private(file, &file_pins_seq_ops, sizeof(*walk));
	if (!walk)
		return -ENOMEM;

	task = get_proc_task(inode);
	if (!task) {
		seq_release_private(inode, file);
		return -ESRCH;
	}
	walk->holder = get_task_pid(task, PIDTYPE_TGID);
	put_task_struct(task);
	return 0;
}

static int file_pins_release(struct inode *inode, struct file *file)
{
	struct seq_file *m = file->private_data;
	struct layout_walk *walk = m->private;

	put_pid(walk->holder);
	return seq_release_private(inode, file);
}

/* The leases that a process took, and the pins under them. */
const struct file_operations proc_pid_file_pins_operations = {
	.open		= file_pins_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= file_pins_release,
};
