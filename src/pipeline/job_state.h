/* SPDX-License-Identifier: MIT */
/* pipeline/job_state.h - what the threads of one job share beside the ring: the first error, and a
 * bell for the thread that waits for them.
 *
 * Threads: any; the waiting thread polls job_bell_fd(). */
#ifndef PIPELINE_JOB_STATE_H
#define PIPELINE_JOB_STATE_H

#include "base/error.h"
#include "base/log.h"
#include "base/stop.h"

struct job_state;
struct job_state *job_state_new(const struct bmap_log *log, struct bmap_error *err);
void job_state_free(struct job_state *job);
/* Keeps the first error; rings the bell. The waiting thread then stops all rings and stages. */
void job_fail(struct job_state *job, const struct bmap_error *err);
bool job_failed(struct job_state *job, struct bmap_error *err); /* copies it, if err is given */
/* Something ended or changed that the waiting thread should look at. */
void job_ring_bell(struct job_state *job);
int job_bell_fd(const struct job_state *job);
void job_answer_bell(struct job_state *job); /* the waiting thread, before it looks */
const struct bmap_log *job_log(const struct job_state *job);

#endif
