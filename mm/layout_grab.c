// SPDX-License-Identifier: GPL-2.0
/*
 * References on the pages of FS-DAX mappings, many at a time.
 *
 * GUP follows one page after the other, since the next one may be of any kind.
 * Here the mapping is known to be FS-DAX, shared and writable: a page table is
 * walked once, and what a huge entry maps is contiguous.
 *
 * Only what is mapped writable is taken, which is what GUP would take without a
 * fault: its block is allocated and not shared, and no tracker of writes waits
 * for one, since soft-dirty, userfaultfd and writeback all write-protect.  The
 * rest is left to GUP.
 *
 * The reference is taken under the lock of the page table, under which whoever
 * takes blocks away unmaps them: it comes before that, and the page is found
 * busy, or there is nothing mapped any more.
 *
 * Pages of FS-DAX are not compound, whatever the size of the entry: each has its
 * own count.
 */
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>

#include "internal.h"
#include "../fs/layout_internal.h"

/* Pin @nr_pages contiguous pages.  Returns how many could be pinned. */
static unsigned long layout_grab_run(struct page *page, unsigned long nr_pages,
				     struct page **pages)
{
	unsigned long i;

	for (i = 0; i < nr_pages; i++, page++) {
		/* try_grab_folio() will complain. */
		if (unlikely(page_ref_count(page) <= 0))
			break;
		page_ref_add(page, GUP_PIN_COUNTING_BIAS);
		pages[i] = page;
	}
	return i;
}

static unsigned long layout_grab_pmd(struct mm_struct *mm, pmd_t *pmd,
				     unsigned long addr, unsigned long nr_pages,
				     struct page **pages)
{
	unsigned long offset = (addr & ~PMD_MASK) >> PAGE_SHIFT, pfn, done = 0;
	struct dev_pagemap *pgmap;
	spinlock_t *ptl;	/* of the page table */
	pmd_t entry;

	ptl = pmd_lock(mm, pmd);
	entry = *pmd;
	if (!pmd_present(entry) || !pmd_devmap(entry) || !pmd_write(entry) ||
	    pmd_protnone(entry))
		goto unlock;
	pfn = pmd_pfn(entry) + offset;
	pgmap = get_dev_pagemap(pfn, NULL);
	if (!pgmap)
		goto unlock;
	done = layout_grab_run(pfn_to_page(pfn),
			       min(nr_pages, PTRS_PER_PTE - offset), pages);
	put_dev_pagemap(pgmap);
unlock:
	spin_unlock(ptl);
	return done;
}

static unsigned long layout_grab_ptes(struct mm_struct *mm, pmd_t *pmd,
				      unsigned long addr,
				      unsigned long nr_pages,
				      struct page **pages)
{
	struct dev_pagemap *pgmap = NULL;
	unsigned long done = 0;
	pte_t *first, *ptep, pte;
	spinlock_t *ptl;	/* of the page table */

	first = pte_offset_map_lock(mm, pmd, addr, &ptl);
	if (!first)
		return 0;
	__acquire(ptl);	/* which sparse does not see */
	nr_pages = min(nr_pages, PTRS_PER_PTE - pte_index(addr));
	for (ptep = first; done < nr_pages; ptep++, done++) {
		pte = ptep_get(ptep);
		if (!pte_present(pte) || !pte_devmap(pte) || !pte_write(pte) ||
		    pte_protnone(pte))
			break;
		pgmap = get_dev_pagemap(pte_pfn(pte), pgmap);
		if (!pgmap || !layout_grab_run(pte_page(pte), 1, pages + done))
			break;
	}
	if (pgmap)
		put_dev_pagemap(pgmap);
	pte_unmap_unlock(first, ptl);
	return done;
}

/**
 * layout_grab_mapped - pin pages of an FS-DAX mapping that are mapped writable
 * @vma:      a shared, writable mapping of an FS-DAX file
 * @addr:     address of the first page, inside @vma
 * @nr_pages: pages to pin, all inside @vma
 * @pages:    receives the pages, room for @nr_pages
 *
 * Like pin_user_pages() with FOLL_WRITE, but ends at the first page for which
 * that would take a fault.  The pin of the range is in the tree already.
 *
 * Context: Process context, mmap_lock is held.  Does not sleep.
 * Return: How many pages were pinned, perhaps none.
 */
unsigned long layout_grab_mapped(struct vm_area_struct *vma, unsigned long addr,
				 unsigned long nr_pages, struct page **pages)
{
	struct mm_struct *mm = vma->vm_mm;
	unsigned long done = 0, some;
	pmd_t *pmd;

	mmap_assert_locked(mm);
	/* Protection keys, as check_vma_flags() looks at them. */
	if (!arch_vma_access_permitted(vma, true, false, false))
		return 0;

	while (done < nr_pages) {
		/* No mapping of a file is larger than a PMD. */
		pmd = mm_find_pmd(mm, addr);
		if (!pmd)
			break;
		if (pmd_devmap(pmdp_get_lockless(pmd)))
			some = layout_grab_pmd(mm, pmd, addr, nr_pages - done,
					       pages + done);
		else
			some = layout_grab_ptes(mm, pmd, addr, nr_pages - done,
						pages + done);
		if (!some)
			break;
		mod_node_page_state(page_pgdat(pages[done]),
				    NR_FOLL_PIN_ACQUIRED, some);
		done += some;
		addr += some << PAGE_SHIFT;
	}
	/* As mm_set_has_pinned_flag(). */
	if (done && !test_bit(MMF_HAS_PINNED, &mm->flags))
		set_bit(MMF_HAS_PINNED, &mm->flags);
	return done;
}
