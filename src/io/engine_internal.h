/* SPDX-License-Identifier: MIT */
/* io/engine_internal.h - what the engines share: lists of requests and the rules by which a result
 * of the kernel is taken. */
#ifndef IO_ENGINE_INTERNAL_H
#define IO_ENGINE_INTERNAL_H

#include "io/engine.h"

/* Results in a row that moved nothing: then even -EAGAIN is passed on, so that a descriptor that
 * never gets ready cannot keep a processor busy for ever. */
#define IO_MAX_RETRIES 100

/* First in, first out. Touched by one thread at a time. */
struct request_list {
	struct io_request *first, *last;
};

static inline void request_list_add(struct request_list *list, struct io_request *req)
{
	req->next = NULL;
	if (list->first)
		list->last->next = req;
	else
		list->first = req;
	list->last = req;
}

static inline struct io_request *request_list_take(struct request_list *list)
{
	struct io_request *req = list->first;

	if (req)
		list->first = req->next;
	return req;
}

/* Accepts a request into engine->in_flight, or refuses it (false) if depth are held already. */
bool engine_admit(struct io_engine *engine, struct io_request *req);

enum io_verdict {
	IO_COMPLETE, /* req->result is set */
	IO_CONTINUE, /* the rest has to be asked for: data + moved_bytes */
	IO_AGAIN, /* the same once more, after the kernel said -EAGAIN or -EINTR */
};

/* Takes what the kernel answered to the part of req behind moved_bytes, by the promises of
 * engine.h. */
enum io_verdict request_take_result(struct io_request *req, ssize_t result);

/* One line for people: why io_uring_setup(2) failed with errnum. disabled: the value of
 * kernel.io_uring_disabled, -1 if there is no such setting. text is for the log. */
void uring_refusal(char *text, size_t len, int errnum, int disabled);

#endif
