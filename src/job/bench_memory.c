/* SPDX-License-Identifier: MIT */
#include "job/bench_internal.h"
#include "base/checked.h"

#include <sys/mman.h>
#include <xxhash.h>

#define HUGE_BYTES (2u * MIB)

bool bench_memory_map(struct bench_memory *memory, size_t len_bytes, struct bmap_error *err)
{
	size_t len = (size_t)align_up(len_bytes, HUGE_BYTES), reserved = len + HUGE_BYTES;
	uint8_t *map =
		mmap(NULL, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *base;

	if (map == MAP_FAILED)
		return bmap_error_errno(err, "cannot map %zu bytes of buffers", reserved);
	base = (uint8_t *)(((uintptr_t)map + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
	if (base > map)
		munmap(map, (size_t)(base - map));
	munmap(base + len, reserved - len - (size_t)(base - map));
	madvise(base, len, MADV_HUGEPAGE); /* a kernel without them: then small ones */
	for (size_t i = 0; i < len / sizeof(uint64_t); i++)
		((uint64_t *)base)[i] = XXH64(&i, sizeof(i), 0);
	*memory = (struct bench_memory){ .base = base, .len_bytes = len };
	return true;
}

void bench_memory_unmap(struct bench_memory *memory)
{
	if (memory->base)
		munmap(memory->base, memory->len_bytes);
	*memory = (struct bench_memory){ 0 };
}
