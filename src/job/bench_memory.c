/* SPDX-License-Identifier: MIT */
#include "job/bench_internal.h"
#include "base/checked.h"

#include <sys/mman.h>
#include <xxhash.h>

#define HUGE_BYTES (2u * MIB)
#define STAMP_EVERY_BYTES 4096u /* what devices that look for copies look at, or more */

bool bench_memory_map(struct bench_memory *memory, size_t len_bytes,
		      enum bmap_bench_pattern pattern, struct bmap_error *err)
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
		((uint64_t *)base)[i] = pattern == BMAP_BENCH_ZERO ? 0 : XXH64(&i, sizeof(i), 0);
	*memory = (struct bench_memory){ .base = base, .len_bytes = len };
	return true;
}

void bench_memory_stamp(uint8_t *buffer, size_t len_bytes, uint64_t count)
{
	uint64_t stamp = XXH64(&count, sizeof(count), 1);

	for (size_t i = 0; i < len_bytes; i += STAMP_EVERY_BYTES)
		*(uint64_t *)(buffer + i) = stamp + i;
}

void bench_memory_unmap(struct bench_memory *memory)
{
	if (memory->base)
		munmap(memory->base, memory->len_bytes);
	*memory = (struct bench_memory){ 0 };
}
