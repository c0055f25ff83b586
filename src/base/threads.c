/* SPDX-License-Identifier: MIT */
#include "base/threads.h"

#include <sched.h>
#include <signal.h>

bool thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg,
		  struct bmap_error *err)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return bmap_error_errnum(err, rc, "cannot start thread %s", name);
	pthread_setname_np(*thread, name);
	return true;
}

unsigned thread_cpu_count(void)
{
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}
