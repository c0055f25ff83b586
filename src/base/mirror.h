/* SPDX-License-Identifier: MIT */
/* base/mirror.h - memory that is mapped twice, back to back: any span up to its size is contiguous
 * from any starting point.
 *
 * The pages are populated when it is made (first touches are dear in the middle of a flash), in
 * huge pages where the kernel has them (MADV_COLLAPSE, Linux 6.1): they matter more to direct I/O
 * than a registered buffer does, because a request then has few segments.
 * Threads: the struct is constant after mirror_map(). */
#ifndef BASE_MIRROR_H
#define BASE_MIRROR_H

#include "base/error.h"

#include <stddef.h>

#define MIRROR_ALIGN_BYTES (2u * 1024u * 1024u)

struct mirror {
	uint8_t *base; /* 2 * size bytes from here */
	size_t size;
	bool huge_pages;
	void *reserved; /* the address space to give back */
	size_t reserved_len;
};

/* size: a multiple of MIRROR_ALIGN_BYTES, or at least of the page size (then without huge pages).
 */
bool mirror_map(struct mirror *mirror, size_t size, struct bmap_error *err);
void mirror_unmap(struct mirror *mirror); /* zeroed or mapped */

#endif
