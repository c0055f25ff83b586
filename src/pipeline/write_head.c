/* SPDX-License-Identifier: MIT */
#include "pipeline/write_lane_internal.h"
#include "base/checked.h"

#include <string.h>
#include <sys/mman.h>

#define COMMIT_BLOCK_BYTES 4096u
#define COLLECT_BYTES (64u * KIB) /* wake for so much */

static bool any_withholds(const struct write_stage_config *config);
static void copy_out(struct write_stage *stage, const struct piece *piece);

bool head_init(struct write_stage *stage, struct bmap_error *err)
{
	const struct write_stage_config *config = &stage->config;
	const struct image_plan *plan = config->plan;
	struct head *head = &stage->head;
	size_t n = 0;

	head->consumer = config->first_consumer + config->target_count;
	head->end_bytes = min_u64(plan->image_size_bytes, HEAD_BYTES);
	while (n < plan_range_count(plan) && plan_range_begin(plan, n) < head->end_bytes)
		n++;
	head->end_range = n;
	head->wanted = n > 0 && any_withholds(config);
	walk_init(&head->walk, plan, config->segments, 0, n);
	if (!head->wanted) {
		head->collected = true;
		ring_detach(config->ring, head->consumer);
		return true;
	}
	head->bytes = mmap(NULL, 2 * HEAD_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (head->bytes == MAP_FAILED) {
		head->bytes = NULL;
		return bmap_error_memory(err, "buffer for the image's head");
	}
	head->zeros = head->bytes + HEAD_BYTES;
	return true;
}

static bool any_withholds(const struct write_stage_config *config)
{
	for (size_t i = 0; i < config->target_count; i++)
		if (config->targets[i]->withhold_head)
			return true;
	return false;
}

void head_free(struct head *head)
{
	if (head->bytes)
		munmap(head->bytes, 2 * HEAD_BYTES);
}

void head_collect(struct write_stage *stage)
{
	struct head *head = &stage->head;
	struct piece piece = { 0 };
	bool more;

	if (head->collected)
		return;
	while ((more = walk_next(&head->walk, stage->decoded, &piece)) &&
	       piece.image_offset < HEAD_BYTES)
		copy_out(stage, &piece);
	if (more || walk_done(&head->walk) || stage->finished) {
		/* A stream of unknown length that is shorter than the head ends where it ended. */
		if (stage->config.plan->image_size_bytes == SIZE_UNKNOWN)
			head->end_bytes = head->copied_end;
		head_leave(stage);
	} else {
		ring_release(stage->config.ring, head->consumer, head->walk.position);
	}
}

void head_leave(struct write_stage *stage)
{
	if (!stage->head.collected)
		ring_detach(stage->config.ring, stage->head.consumer);
	stage->head.collected = true;
}

static void copy_out(struct write_stage *stage, const struct piece *piece)
{
	struct ring *ring = stage->config.ring;
	uint64_t len = min_u64(piece->len_bytes, HEAD_BYTES - piece->image_offset);
	/* Whole only where the ring is mapped twice: ring.h. */
	uint64_t whole = min_u64(len, ring_size(ring) - piece->position % ring_size(ring));
	uint8_t *to = stage->head.bytes + piece->image_offset;

	memcpy(to, ring_at(ring, piece->position), whole);
	memcpy(to + whole, ring_at(ring, piece->position + whole), len - whole);
	stage->head.copied_end = piece->image_offset + len;
	walk_take(&stage->head.walk, len);
}

bool head_wants(const struct write_stage *stage, uint64_t *have, uint64_t *want)
{
	if (stage->head.collected)
		return false;
	*have = stage->head.walk.position;
	*want = *have + COLLECT_BYTES;
	return true;
}

void head_commit_block(const struct image_plan *plan, size_t align_bytes, uint64_t *begin,
		       uint64_t *end)
{
	uint64_t block = max_u64(COMMIT_BLOCK_BYTES, align_bytes);

	*begin = align_down(plan_range_begin(plan, 0), block);
	*end = min_u64(*begin + block, HEAD_BYTES);
}
