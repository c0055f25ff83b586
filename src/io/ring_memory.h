/* SPDX-License-Identifier: MIT */
/* io/ring_memory.h - tells ThreadSanitizer what it cannot see: liburing maps and unmaps rings with
 * system calls of its own, so that a new ring at an address where another thread's was looks like
 * a race. Nothing in other builds. */
#ifndef IO_RING_MEMORY_H
#define IO_RING_MEMORY_H

#if defined(__SANITIZE_THREAD__)
#define RING_MEMORY_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RING_MEMORY_SANITIZED 1
#endif
#endif

#ifdef RING_MEMORY_SANITIZED
#include <sanitizer/tsan_interface.h>

static char ring_memory; /* stands for all addresses that rings may have */

static inline void ring_memory_mapped(void)
{
	__tsan_acquire(&ring_memory);
}
static inline void ring_memory_unmap(void)
{
	__tsan_release(&ring_memory);
}
#else
static inline void ring_memory_mapped(void)
{
}
static inline void ring_memory_unmap(void)
{
}
#endif

#endif
