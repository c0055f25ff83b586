/* SPDX-License-Identifier: MIT */
/* Requests through io_uring(7), one ring an engine. Both queues belong to the thread that made the
 * engine (SINGLE_ISSUER); another thread that wants it writes to an eventfd, on which a poll
 * request of the ring waits. The ring is larger than depth: neither queue can overflow. */
#include "io/engine_internal.h"
#include "base/checked.h"
#include "base/clock.h"
#include "io/ring_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_DEPTH 16384u /* half of the largest ring that kernels make */
#define EXTRA_ENTRIES                                                                              \
	4u /* the wake poll, and the timeouts that liburing queues before Linux 5.11 */
#define MAX_REQUEST_BYTES ((size_t)1 << 30) /* lengths are 32 bit in io_uring: the rest follows */
/* Kernel workers for what it cannot begin without waiting: every flush, requests with IO_ASYNC.
 * Their usual number, four a processor, is too small where each of many targets keeps some of them
 * waiting: one more flush would have to wait for those. They are made when needed. */
#define MOST_WORKERS 128u
#define RETRY_NAP_MS                                                                               \
	10 /* when the kernel takes no request: out of memory, or completions to reap */
/* user_data of what is not a request of the caller; LIBURING_UDATA_TIMEOUT is liburing's own. */
#define WAKE_DATA 1u

struct uring {
	struct io_engine engine; /* first: the vtable casts */
	struct io_uring ring;
	struct request_list queued; /* not in the submission queue yet */
	int wake_fd; /* constant; written by any thread */
	bool wake_armed; /* its poll request is in the ring */
	bool woken;
	int broken; /* -errno, once the ring failed */
	uint8_t *fixed_base; /* the registered buffer, index 0 */
	size_t fixed_len;
};

static bool uring_queue(struct io_engine *engine, struct io_request *req);
static int uring_wait(struct io_engine *engine, struct io_request **done, int max, int timeout_ms);
static void uring_wake(struct io_engine *engine);
static bool uring_register_buffer(struct io_engine *engine, void *base, size_t len);
static void uring_close(struct io_engine *engine);
static int ring_setup(struct io_uring *ring, unsigned entries);
static void ring_end(struct io_uring *ring);
static bool ring_has_operations(struct io_uring *ring);
static void allow_workers(struct io_uring *ring, unsigned depth);
static bool refuse(struct bmap_error *err, int errnum);
static void arm_wake(struct uring *uring);
static int submit(struct uring *uring);

static const struct io_engine_ops uring_ops = {
	.name = "io_uring",
	.queue = uring_queue,
	.wait = uring_wait,
	.wake = uring_wake,
	.register_buffer = uring_register_buffer,
	.close = uring_close,
};

struct io_engine *uring_open(unsigned depth, struct bmap_error *err)
{
	struct uring *uring = calloc(1, sizeof(*uring));
	int rc;

	if (!uring) {
		bmap_error_memory(err, "io_uring");
		return NULL;
	}
	depth = depth < 1 ? 1 : depth > MAX_DEPTH ? MAX_DEPTH : depth;
	uring->engine = (struct io_engine){ .ops = &uring_ops, .depth = depth };
	uring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (uring->wake_fd < 0) {
		bmap_error_errno(err, "cannot create an event descriptor");
		goto no_fd;
	}
	rc = ring_setup(&uring->ring, depth + EXTRA_ENTRIES);
	if (rc < 0) {
		refuse(err, -rc);
		goto no_ring;
	}
	if (!ring_has_operations(&uring->ring)) {
		refuse(err, ENOSYS);
		goto failed;
	}
	allow_workers(&uring->ring, depth);
	/* Also shows that io_uring_enter(2) is not filtered away: the fallback is still possible.
	 */
	arm_wake(uring);
	rc = submit(uring);
	if (rc < 0) {
		refuse(err, -rc);
		goto failed;
	}
	return &uring->engine;
failed:
	ring_end(&uring->ring);
no_ring:
	close(uring->wake_fd);
no_fd:
	free(uring);
	return NULL;
}

/* Flags that save interrupts of this thread, as many as this kernel knows: io_uring_setup(2).
 * Unknown ones give EINVAL. */
static int ring_setup(struct io_uring *ring, unsigned entries)
{
	static const unsigned flags[] = {
		/* Linux 6.0 */
		IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			IORING_SETUP_SINGLE_ISSUER,
		/* Linux 5.19 */
		IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	int rc = -EINVAL;

	for (size_t i = 0; i < ARRAY_LEN(flags) && rc == -EINVAL; i++)
		rc = io_uring_queue_init(entries, ring, flags[i]);
	ring_memory_mapped();
	return rc;
}

static void ring_end(struct io_uring *ring)
{
	ring_memory_unmap();
	io_uring_queue_exit(ring);
}

static bool ring_has_operations(struct io_uring *ring)
{
	static const int needed[] = { IORING_OP_READ,        IORING_OP_WRITE, IORING_OP_READ_FIXED,
				      IORING_OP_WRITE_FIXED, IORING_OP_FSYNC, IORING_OP_POLL_ADD };
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool all = probe != NULL;

	for (size_t i = 0; i < ARRAY_LEN(needed) && all; i++)
		all = io_uring_opcode_supported(probe, needed[i]);
	io_uring_free_probe(probe);
	return all;
}

/* Linux 5.15; before, they are as many as they are. */
static void allow_workers(struct io_uring *ring, unsigned depth)
{
	unsigned wanted = (unsigned)min_u64(depth, MOST_WORKERS);
	unsigned workers[2] = { 0,
				0 }; /* for files and block devices, for others; 0: not changed */

	if (io_uring_register_iowq_max_workers(ring, workers) || workers[0] >= wanted)
		return;
	workers[0] = wanted;
	workers[1] = 0;
	io_uring_register_iowq_max_workers(ring, workers);
}

static bool refuse(struct bmap_error *err, int errnum)
{
	FILE *setting = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	int disabled = -1;
	char text[160];

	if (setting) {
		if (fscanf(setting, "%d", &disabled) != 1)
			disabled = -1;
		fclose(setting);
	}
	uring_refusal(text, sizeof(text), errnum, disabled);
	return bmap_error_set(err, BMAP_ERR_UNSUPPORTED, "%s", text);
}

static bool uring_queue(struct io_engine *engine, struct io_request *req)
{
	struct uring *uring = (struct uring *)engine;

	if (!engine_admit(engine, req))
		return false;
	request_list_add(&uring->queued, req);
	return true;
}

static void arm_wake(struct uring *uring)
{
	struct io_uring_sqe *sqe;

	if (uring->wake_armed)
		return;
	sqe = io_uring_get_sqe(&uring->ring);
	if (!sqe)
		return; /* the queue is full: the next round arms it, before anything can sleep */
	/* A poll, not a read: it leaves no memory with the kernel when the ring is closed. */
	io_uring_prep_poll_add(sqe, uring->wake_fd, POLLIN);
	io_uring_sqe_set_data64(sqe, WAKE_DATA);
	uring->wake_armed = true;
}

static bool is_registered(const struct uring *uring, const uint8_t *data, size_t len)
{
	return uring->fixed_len && data >= uring->fixed_base && len <= uring->fixed_len &&
	       (size_t)(data - uring->fixed_base) <= uring->fixed_len - len;
}

static void prepare(struct uring *uring, struct io_uring_sqe *sqe, const struct io_request *req)
{
	uint8_t *data = req->data ? req->data + req->moved_bytes : NULL; /* a flush has none */
	size_t left = req->len_bytes - req->moved_bytes;
	unsigned len = (unsigned)(left < MAX_REQUEST_BYTES ? left : MAX_REQUEST_BYTES);
	uint64_t offset = req->offset_bytes + req->moved_bytes;
	bool fixed = is_registered(uring, data, left);

	switch (req->op) {
	case IO_READ:
		if (fixed)
			io_uring_prep_read_fixed(sqe, req->fd, data, len, offset, 0);
		else
			io_uring_prep_read(sqe, req->fd, data, len, offset);
		break;
	case IO_WRITE:
		if (fixed)
			io_uring_prep_write_fixed(sqe, req->fd, data, len, offset, 0);
		else
			io_uring_prep_write(sqe, req->fd, data, len, offset);
		break;
	case IO_DATASYNC:
		io_uring_prep_fsync(sqe, req->fd, IORING_FSYNC_DATASYNC);
		fixed = false;
		break;
	}
	if (fixed && !req->moved_bytes && !req->retries)
		uring->engine.counters.fixed++;
	/* After -EAGAIN a kernel worker, which may block, has to do it: the same call again would
	 * be refused again. */
	if ((req->flags & IO_ASYNC) || req->retries)
		sqe->flags |= IOSQE_ASYNC;
	io_uring_sqe_set_data(sqe, (void *)req);
}

/* Did the kernel only not take it now? */
static bool is_transient(int rc)
{
	return rc == -EAGAIN || rc == -EBUSY || rc == -EINTR;
}

/* Everything that is queued, as far as it fits. 0, or -errno: transient (nothing is lost), or the
 * ring is broken. */
static int submit(struct uring *uring)
{
	struct io_counters *counters = &uring->engine.counters;
	struct io_uring_sqe *sqe;
	uint64_t begin, took;
	int rc;

	arm_wake(uring);
	while (uring->queued.first && (sqe = io_uring_get_sqe(&uring->ring)) != NULL)
		prepare(uring, sqe, request_list_take(&uring->queued));
	if (!io_uring_sq_ready(&uring->ring))
		return 0;
	begin = clock_now_ns();
	rc = io_uring_submit(&uring->ring);
	took = clock_now_ns() - begin;
	counters->longest_submit_ns = max_u64(counters->longest_submit_ns, took);
	if (rc < 0 && !is_transient(rc))
		uring->broken = rc;
	return rc < 0 ? rc : 0;
}

static void take_wake(struct uring *uring, int result)
{
	uint64_t ignored;
	ssize_t rc = read(uring->wake_fd, &ignored, sizeof(ignored));

	(void)rc; /* nothing there: another wake was answered together with this one */
	uring->wake_armed = false;
	uring->woken = true;
	if (result < 0)
		uring->broken = result;
}

/* True if the request behind the completion is over. */
static bool take_completion(struct uring *uring, struct io_request *req, int result)
{
	if (request_take_result(req, result) == IO_COMPLETE) {
		uring->engine.counters.requests++;
		uring->engine.in_flight--;
		return true;
	}
	uring->engine.counters.resubmitted++;
	request_list_add(&uring->queued, req);
	return false;
}

static int reap(struct uring *uring, struct io_request **done, int max)
{
	struct io_uring_cqe *cqe;
	int n = 0;

	while (n < max && !io_uring_peek_cqe(&uring->ring, &cqe)) {
		uint64_t data = io_uring_cqe_get_data64(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&uring->ring, cqe);
		if (data == WAKE_DATA)
			take_wake(uring, result);
		else if (data != LIBURING_UDATA_TIMEOUT) {
			struct io_request *req = (struct io_request *)(uintptr_t)data;

			if (take_completion(uring, req, result))
				done[n++] = req;
		}
	}
	return n;
}

/* Until a completion is there. 0, -ETIME, -EINTR, or the ring is broken. */
static int sleep_for_completion(struct uring *uring, int timeout_ms)
{
	struct __kernel_timespec time = { .tv_sec = timeout_ms / 1000,
					  .tv_nsec = timeout_ms % 1000 * (long long)NS_PER_MS };
	struct io_uring_cqe *cqe;
	int rc;

	uring->engine.counters.waits++;
	rc = timeout_ms < 0 ? io_uring_wait_cqe(&uring->ring, &cqe)
			    : io_uring_wait_cqe_timeout(&uring->ring, &cqe, &time);
	if (rc < 0 && rc != -ETIME && !is_transient(rc))
		uring->broken = rc;
	return rc;
}

static int left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns();

	/* Rounded up: a sleep must not become a loop in the last millisecond. */
	return now >= deadline_ns ? 0 : (int)div_round_up(deadline_ns - now, NS_PER_MS);
}

static int uring_wait(struct io_engine *engine, struct io_request **done, int max, int timeout_ms)
{
	struct uring *uring = (struct uring *)engine;
	uint64_t deadline = timeout_ms > 0 ? clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS : 0;

	for (;;) {
		int submitted = submit(uring);
		int n = uring->broken ? 0 : reap(uring, done, max);
		int sleep_ms = timeout_ms > 0 ? left_ms(deadline) : timeout_ms;

		if (n > 0 && uring->queued.first)
			submit(uring); /* continued ones should not wait for the caller */
		if (n > 0)
			return n; /* a broken ring is said by the next call */
		if (uring->broken)
			return uring->broken;
		if (uring->woken) {
			uring->woken = false;
			return 0;
		}
		if (uring->queued.first && !submitted)
			continue;
		if (sleep_ms == 0)
			return 0;
		if (submitted && (sleep_ms < 0 || sleep_ms > RETRY_NAP_MS))
			sleep_ms = RETRY_NAP_MS;
		if (sleep_for_completion(uring, sleep_ms) == -EINTR)
			return 0;
	}
}

static void uring_wake(struct io_engine *engine)
{
	static const uint64_t one = 1;
	/* Fails only when the counter is full: then it is readable anyway. */
	ssize_t ignored = write(((struct uring *)engine)->wake_fd, &one, sizeof(one));

	(void)ignored;
}

static bool uring_register_buffer(struct io_engine *engine, void *base, size_t len)
{
	struct uring *uring = (struct uring *)engine;
	struct iovec buffer = { .iov_base = base, .iov_len = len };

	if (uring->fixed_len || io_uring_register_buffers(&uring->ring, &buffer, 1))
		return false;
	uring->fixed_base = base;
	uring->fixed_len = len;
	return true;
}

static void uring_close(struct io_engine *engine)
{
	struct uring *uring = (struct uring *)engine;

	ring_end(&uring->ring);
	close(uring->wake_fd);
	free(uring);
}
