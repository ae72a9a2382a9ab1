// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * A uverbs context as owner of pins on layout-leased FS-DAX files.
 *
 * Each open uverbs file declares itself as the owner around its commands.  So
 * every driver that pins with ib_umem_get() can register the memory of a leased
 * file without knowing of leases; what a command pins is dropped when the umem
 * is, at the latest with the file.
 *
 * Vocabulary: see include/linux/layout_lease.h.
 */
#include <linux/layout_lease.h>

#include "uverbs.h"

/**
 * uverbs_layout_open - make a uverbs file an owner of pins
 * @ufile:  the file being opened
 * @ib_dev: its device
 *
 * Context: Process context.  May sleep.
 * Return: 0 or -ENOMEM.
 */
int uverbs_layout_open(struct ib_uverbs_file *ufile, struct ib_device *ib_dev)
{
	ufile->layout_owner = layout_owner_alloc("rdma", dev_name(&ib_dev->dev));
	return ufile->layout_owner ? 0 : -ENOMEM;
}

/**
 * uverbs_layout_release - undo uverbs_layout_open()
 * @ufile: the file, which runs no command any more
 *
 * Context: Any.
 */
void uverbs_layout_release(struct ib_uverbs_file *ufile)
{
	layout_owner_put(ufile->layout_owner);
}
