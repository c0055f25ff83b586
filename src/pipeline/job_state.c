/* SPDX-License-Identifier: MIT */
#include "pipeline/job_state.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job_state {
	const struct bmap_log *log; /* constant, as is bell */
	int bell; /* an eventfd */
	pthread_mutex_t lock; /* the next two */
	bool failed;
	struct bmap_error first;
};

struct job_state *job_state_new(const struct bmap_log *log, struct bmap_error *err)
{
	struct job_state *job = calloc(1, sizeof(*job));

	if (!job) {
		bmap_error_memory(err, "job");
		return NULL;
	}
	job->log = log;
	job->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (job->bell < 0) {
		bmap_error_errno(err, "cannot create an event descriptor");
		free(job);
		return NULL;
	}
	pthread_mutex_init(&job->lock, NULL);
	return job;
}

void job_state_free(struct job_state *job)
{
	if (!job)
		return;
	pthread_mutex_destroy(&job->lock);
	close(job->bell);
	free(job);
}

void job_fail(struct job_state *job, const struct bmap_error *err)
{
	pthread_mutex_lock(&job->lock);
	if (!job->failed) {
		job->failed = true;
		job->first = *err;
	}
	pthread_mutex_unlock(&job->lock);
	job_ring_bell(job);
}

bool job_failed(struct job_state *job, struct bmap_error *err)
{
	bool failed;

	pthread_mutex_lock(&job->lock);
	failed = job->failed;
	if (failed && err)
		*err = job->first;
	pthread_mutex_unlock(&job->lock);
	return failed;
}

void job_ring_bell(struct job_state *job)
{
	static const uint64_t one = 1;

	/* Fails only when the counter is full: then it is readable anyway. */
	ssize_t ignored = write(job->bell, &one, sizeof(one));
	(void)ignored;
}

int job_bell_fd(const struct job_state *job)
{
	return job->bell;
}

void job_answer_bell(struct job_state *job)
{
	uint64_t count;

	ssize_t ignored = read(job->bell, &count, sizeof(count));
	(void)ignored;
}

const struct bmap_log *job_log(const struct job_state *job)
{
	return job->log;
}
