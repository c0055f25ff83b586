/* SPDX-License-Identifier: MIT */
/* base/threads.h - start a named thread with all signals blocked (the thread that runs the
 * program's main function handles them). */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H

#include "base/error.h"

#include <pthread.h>

/* name: at most 15 characters, as in /proc/PID/task/TID/comm (pthread_setname_np(3)). */
bool thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg,
		  struct bmap_error *err);
/* Processors this process may run on, at least 1. */
unsigned thread_cpu_count(void);

#endif
