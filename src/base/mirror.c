/* SPDX-License-Identifier: MIT */
#include "base/mirror.h"

#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* mremap(2): an old size of 0 maps the same shared pages a second time. A memfd would do, too, but
 * its size counts against RLIMIT_FSIZE, and its second mapping needs a file descriptor. */
static bool map_twice(uint8_t *base, size_t size)
{
	if (mmap(base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return false;
	return mremap(base, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, base + size) != MAP_FAILED;
}

static void touch(uint8_t *base, size_t size, size_t step)
{
	for (size_t i = 0; i < size; i += step)
		((volatile uint8_t *)base)[i] = 0;
}

/* A collapse needs one page to be there already, and is allowed whatever shmem_enabled says. */
static bool use_huge_pages(uint8_t *base, size_t size)
{
	if (size % MIRROR_ALIGN_BYTES)
		return false;
	touch(base, size, MIRROR_ALIGN_BYTES);
	return !madvise(base, size, MADV_COLLAPSE) && !madvise(base + size, size, MADV_COLLAPSE);
}

bool mirror_map(struct mirror *mirror, size_t size, struct bmap_error *err)
{
	size_t reserved_len = 2 * size + MIRROR_ALIGN_BYTES;
	uint8_t *base;
	void *reserved;

	*mirror = (struct mirror){ 0 };
	reserved = mmap(NULL, reserved_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);
	if (reserved == MAP_FAILED)
		return bmap_error_errno(err, "cannot reserve %zu bytes of address space",
					reserved_len);
	base = (uint8_t *)(((uintptr_t)reserved + MIRROR_ALIGN_BYTES - 1) &
			   ~(uintptr_t)(MIRROR_ALIGN_BYTES - 1));
	if (!map_twice(base, size)) {
		bmap_error_errno(err, "cannot map %zu bytes of buffers twice", size);
		munmap(reserved, reserved_len);
		return false;
	}
	*mirror = (struct mirror){
		.base = base, .size = size, .reserved = reserved, .reserved_len = reserved_len
	};
	mirror->huge_pages = use_huge_pages(base, size);
	if (!mirror->huge_pages)
		touch(base, 2 * size, 4096);
	return true;
}

void mirror_unmap(struct mirror *mirror)
{
	if (mirror->reserved)
		munmap(mirror->reserved, mirror->reserved_len);
	*mirror = (struct mirror){ 0 };
}
