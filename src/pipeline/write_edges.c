/* SPDX-License-Identifier: MIT */
/* Sectors of which only a part is mapped: all mapped pieces of one are gathered in a bounce sector,
 * over borders of ranges and segments, then written by one read, patch, write, so that the bytes
 * beside them stay. Pieces come in rising order, so one sector is open at a time and none comes
 * twice: never two requests in flight for one sector. A sector that was gathered whole needs no
 * read. */
#include "pipeline/write_lane_internal.h"
#include "base/checked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EDGE_MEMORY_ALIGN 4096u

static bool allocate(struct lane *lane);
static struct edge *open_edge(struct lane *lane, uint64_t sector_offset);
static void close_open(struct lane *lane);
static bool submit(struct lane *lane, struct edge *edge, enum io_op op, uint8_t *data);
static void submit_tail(struct lane *lane, struct edge *edge);

bool edges_gather(struct lane *lane, uint64_t image_offset, const uint8_t *bytes, size_t len)
{
	size_t align = lane->target->align_bytes;
	size_t into = (size_t)(image_offset % align);
	struct edge *edge = lane->edges.open;

	/* edges_pass() closed the one before. */
	if (!edge)
		edge = open_edge(lane, image_offset - into);
	if (!edge)
		return false;
	memcpy(edge->data + into, bytes, len);
	memset(edge->mapped + into, 1, len);
	edge->gathered += len;
	if (lane->feed != FEED_ZEROS)
		edge->mapped_bytes += len;
	return true;
}

void edges_pass(struct lane *lane, uint64_t image_offset)
{
	const struct edge *open = lane->edges.open;

	if (open && image_offset - open->sector_offset >= lane->target->align_bytes)
		close_open(lane);
}

static bool allocate(struct lane *lane)
{
	size_t align = lane->target->align_bytes;
	size_t per_edge = 3 * align_up(align, EDGE_MEMORY_ALIGN);
	struct edges *edges = &lane->edges;
	struct bmap_error err;

	if (edges->memory)
		return true;
	edges->memory = aligned_alloc(EDGE_MEMORY_ALIGN, EDGE_COUNT * per_edge);
	if (!edges->memory) {
		bmap_error_memory(&err, lane->target->name);
		lane_fail(lane, &err);
		return false;
	}
	for (size_t i = 0; i < EDGE_COUNT; i++) {
		edges->edge[i].data = edges->memory + i * per_edge;
		edges->edge[i].disk = edges->edge[i].data + per_edge / 3;
		edges->edge[i].mapped = edges->edge[i].disk + per_edge / 3;
	}
	return true;
}

static struct edge *open_edge(struct lane *lane, uint64_t sector_offset)
{
	struct edges *edges = &lane->edges;

	if (!allocate(lane))
		return NULL;
	for (size_t i = 0; i < EDGE_COUNT; i++) {
		struct edge *edge = &edges->edge[i];

		if (edge->state != EDGE_FREE)
			continue;
		edge->state = EDGE_OPEN;
		edge->sector_offset = sector_offset;
		edge->gathered = edge->tail_done = 0;
		edge->mapped_bytes = 0;
		memset(edge->mapped, 0, lane->target->align_bytes);
		edges->open = edge;
		edges->used++;
		return edge;
	}
	lane->blocked = true;
	return NULL;
}

/* Does the sector cross the end of a regular file, so that a whole one would lengthen it? */
static bool crosses_file_end(const struct lane *lane, const struct edge *edge)
{
	uint64_t image_size = lane->stage->config.plan->image_size_bytes;

	if (lane->target->kind != TARGET_REGULAR_FILE)
		return false;
	if (image_size == SIZE_UNKNOWN) /* one range: what is not whole at the end is the end */
		return lane->ended;
	return edge->sector_offset + lane->target->align_bytes > image_size;
}

static void close_open(struct lane *lane)
{
	struct edge *edge = lane->edges.open;

	lane->edges.open = NULL;
	if (edge->gathered == lane->target->align_bytes)
		edge->state = EDGE_WRITE;
	else if (crosses_file_end(lane, edge))
		edge->state = EDGE_TAIL;
	else
		edge->state = EDGE_READ;
}

void edges_step(struct lane *lane)
{
	struct edges *edges = &lane->edges;

	if (lane->aborted)
		return;
	/* In the order of the pool, which is not the image's: they are independent. */
	for (size_t i = 0; edges->used && i < EDGE_COUNT; i++) {
		struct edge *edge = &edges->edge[i];
		bool whole = edge->gathered == lane->target->align_bytes;

		if (edge->state == EDGE_READ && submit(lane, edge, IO_READ, edge->disk))
			edge->state = EDGE_READING;
		else if (edge->state == EDGE_WRITE &&
			 submit(lane, edge, IO_WRITE, whole ? edge->data : edge->disk))
			edge->state = EDGE_WRITING;
		else if (edge->state == EDGE_TAIL)
			submit_tail(lane, edge);
	}
}

static bool submit(struct lane *lane, struct edge *edge, enum io_op op, uint8_t *data)
{
	struct write_request *req = feed_request(lane, lane->target->align_bytes);

	if (!req)
		return false;
	req->kind = REQUEST_EDGE;
	req->edge = edge;
	req->io.op = op;
	req->io.fd = lane->target->fd;
	req->io.data = data;
	req->io.len_bytes = lane->target->align_bytes;
	req->io.offset_bytes = edge->sector_offset;
	return feed_submit(lane, req);
}

/* The file's last bytes, through the page cache and exactly as many as are mapped: only once no
 * direct request is left that the kernel could order against them. */
static void submit_tail(struct lane *lane, struct edge *edge)
{
	size_t align = lane->target->align_bytes, begin = edge->tail_done, end;
	struct write_request *req;
	struct bmap_error err;

	if (lane->in_flight || !lane->ended || lane->run.len_bytes || lane->edges.used > 1)
		return;
	if (lane->target->buffered_fd < 0) {
		bmap_error_set(&err, BMAP_ERR_IO,
			       "%s: no descriptor for the end of the file, which is no multiple "
			       "of %zu bytes",
			       lane->target->name, align);
		lane_fail(lane, &err);
		return;
	}
	while (begin < align && !edge->mapped[begin])
		begin++;
	for (end = begin; end < align && edge->mapped[end];)
		end++;
	req = feed_request(lane, end - begin);
	if (!req)
		return;
	req->kind = REQUEST_EDGE;
	req->edge = edge;
	req->mapped_bytes = end - begin;
	req->io.op = IO_WRITE;
	req->io.fd = lane->target->buffered_fd;
	req->io.data = edge->data + begin;
	req->io.len_bytes = end - begin;
	req->io.offset_bytes = edge->sector_offset + begin;
	if (feed_submit(lane, req))
		edge->tail_done = end;
}

static void patch(struct lane *lane, struct edge *edge, size_t read_bytes)
{
	size_t align = lane->target->align_bytes;

	/* A file that still grows ends before: what is not there reads as zeros. */
	memset(edge->disk + read_bytes, 0, align - read_bytes);
	for (size_t i = 0; i < align; i++)
		if (edge->mapped[i])
			edge->disk[i] = edge->data[i];
}

static bool tail_is_written(const struct lane *lane, const struct edge *edge)
{
	return !memchr(edge->mapped + edge->tail_done, 1,
		       lane->target->align_bytes - edge->tail_done);
}

static void edge_done(struct lane *lane, struct edge *edge)
{
	edge->state = EDGE_FREE;
	lane->edges.used--;
}

void edges_completed(struct lane *lane, struct write_request *req)
{
	struct edge *edge = req->edge;

	switch (edge->state) {
	case EDGE_READING:
		if (req->io.result < (ssize_t)req->io.len_bytes &&
		    lane->target->kind != TARGET_REGULAR_FILE) {
			lane_fail_at(lane, EIO, "read", req->io.len_bytes, req->io.offset_bytes);
			return;
		}
		patch(lane, edge, (size_t)req->io.result);
		edge->state = EDGE_WRITE;
		break;
	case EDGE_WRITING:
		lane->completed_bytes += edge->mapped_bytes;
		lane->stage->edge_writes++;
		edge_done(lane, edge);
		break;
	case EDGE_TAIL:
		lane->completed_bytes += req->mapped_bytes;
		if (tail_is_written(lane, edge))
			edge_done(lane, edge);
		break;
	case EDGE_FREE:
	case EDGE_OPEN:
	case EDGE_READ:
	case EDGE_WRITE:
		abort(); /* has no request in flight */
	}
}

void edges_reset(struct lane *lane)
{
	for (size_t i = 0; i < EDGE_COUNT; i++)
		lane->edges.edge[i].state = EDGE_FREE;
	lane->edges.open = NULL;
	lane->edges.used = 0;
}

void edges_free(struct edges *edges)
{
	free(edges->memory);
}
