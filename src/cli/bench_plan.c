/* SPDX-License-Identifier: MIT */
#include "cli/bench.h"
#include "cli/command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 16u
#define DEFAULT_SECONDS 3u
#define RAMP_SHARE 10u /* of the time of a point, before it counts: bmap/bench.h */
/* A full run takes all combinations but those that hold more memory than small boards have. */
#define FULL_MEMORY_BYTES (256u * 1024u * 1024u)

struct op {
	const char *name;
	bool write, random;
};
static const struct op ops[] = {
	{ "read", false, false },
	{ "randread", false, true },
	{ "write", true, false },
	{ "randwrite", true, true },
};

struct list {
	uint64_t numbers[LIST_MAX];
	size_t count;
};

#define KIB 1024u
#define MIB (1024u * 1024u)

/* In about half a minute: what a flash does at small, usual and great depth, and what a system that
 * runs from it does. */
static const struct bmap_bench_point quick_reads[] = {
	{ false, false, MIB, 1, 0 },     { false, false, MIB, 8, 0 },
	{ false, false, MIB, 32, 0 },    { false, false, 128 * KIB, 8, 0 },
	{ false, true, 4 * KIB, 1, 0 },  { false, true, 4 * KIB, 8, 0 },
	{ false, true, 4 * KIB, 32, 0 }, { false, true, 64 * KIB, 8, 0 },
};
static const struct bmap_bench_point quick_writes[] = {
	{ true, false, MIB, 1, 0 },     { true, false, MIB, 8, 0 },
	{ true, false, MIB, 32, 0 },    { true, true, 4 * KIB, 1, 0 },
	{ true, true, 4 * KIB, 32, 0 }, { false, false, MIB, 8, 0 },
	{ false, true, 4 * KIB, 1, 0 }, { false, true, 4 * KIB, 32, 0 },
};
_Static_assert(sizeof(quick_reads) == sizeof(quick_writes), "both are copied by this size");

/* Reads one element of a list. */
typedef bool (*read_fn)(const char *text, uint64_t *number);

static bool read_op(const char *text, uint64_t *number);
static bool read_block(const char *text, uint64_t *number);
static bool read_depth(const char *text, uint64_t *number);
static bool read_list(const char *option, const char *text, read_fn read, const char *wanted,
		      struct list *list, char *error);
static bool check_ops(const struct list *op, bool write, char *error);
static bool combine(const struct list *op, const struct list *block, const struct list *depth,
		    bool full, struct bench_plan *plan);

bool bench_plan_make(const struct bench_choice *choice, struct bench_plan *plan, char *error)
{
	bool chosen = choice->ops || choice->block_sizes || choice->depths;
	const char *op_text =
		choice->ops     ? choice->ops
		: choice->full  ? choice->write ? "read,randread,write,randwrite" : "read,randread"
		: choice->write ? "read,write"
				: "read";
	const char *depth_text = choice->depths ? choice->depths
				 : choice->full ? "1,2,4,8,16,32,64"
						: "1,8,32";
	const char *block_text = choice->block_sizes ? choice->block_sizes
				 : choice->full      ? "4K,16K,64K,256K,1M,4M,16M"
						     : "";
	struct list op, block = { 0 }, depth;
	bool ok = true;

	*plan = (struct bench_plan){ 0 };
	if (chosen || choice->full) {
		if (!read_list("--op", op_text, read_op, "read, randread, write or randwrite", &op,
			       error) ||
		    !check_ops(&op, choice->write, error) ||
		    (*block_text &&
		     !read_list("--block-size", block_text, read_block,
				"a size from 4K to 16M, a multiple of 4K", &block, error)) ||
		    !read_list("--depth", depth_text, read_depth, "a number from 1 to 64", &depth,
			       error))
			return false;
		ok = combine(&op, &block, &depth, choice->full, plan);
	} else {
		plan->points = malloc(sizeof(quick_reads));
		ok = plan->points;
		if (ok)
			memcpy(plan->points, choice->write ? quick_writes : quick_reads,
			       sizeof(quick_reads));
		plan->count = COUNT_OF(quick_reads);
	}
	if (!ok) {
		snprintf(error, OPTION_ERROR_ROOM, "no memory");
		return false;
	}
	for (size_t i = 0; i < plan->count; i++)
		plan->points[i].duration_ms =
			1000 * (choice->seconds ? choice->seconds : DEFAULT_SECONDS);
	return true;
}

void bench_plan_free(struct bench_plan *plan)
{
	free(plan->points);
	*plan = (struct bench_plan){ 0 };
}

uint64_t bench_plan_ns(const struct bench_plan *plan)
{
	uint64_t sum_ms = 0;

	for (size_t i = 0; i < plan->count; i++)
		sum_ms += plan->points[i].duration_ms;
	return (sum_ms + sum_ms / RAMP_SHARE) * 1000000u;
}

static bool read_op(const char *text, uint64_t *number)
{
	for (size_t i = 0; i < COUNT_OF(ops); i++)
		if (!strcmp(ops[i].name, text)) {
			*number = i;
			return true;
		}
	return false;
}

static bool check_ops(const struct list *op, bool write, char *error)
{
	size_t writing = 0;

	for (size_t i = 0; i < op->count; i++)
		writing += ops[op->numbers[i]].write;
	if (!writing == !write)
		return true;
	snprintf(error, OPTION_ERROR_ROOM,
		 write ? "--write, but --op has only what reads"
		       : "--op write and randwrite overwrite what is there: they need --write");
	return false;
}

static bool read_block(const char *text, uint64_t *number)
{
	return parse_size(text, number) && *number >= BMAP_BENCH_MIN_BLOCK_BYTES &&
	       *number <= BMAP_BENCH_MAX_BLOCK_BYTES && *number % 4096 == 0;
}

static bool read_depth(const char *text, uint64_t *number)
{
	*number = 0;
	for (const char *p = text; *p; p++) {
		if (!isdigit((unsigned char)*p) || p - text > 3)
			return false;
		*number = *number * 10 + (uint64_t)(*p - '0');
	}
	return *number >= 1 && *number <= BMAP_BENCH_MAX_DEPTH;
}

static bool read_list(const char *option, const char *text, read_fn read, const char *wanted,
		      struct list *list, char *error)
{
	char one[32];

	list->count = 0;
	for (;; text++) {
		size_t len = strcspn(text, ",");

		snprintf(one, sizeof(one), "%.*s", (int)(len < sizeof(one) ? len : sizeof(one)),
			 text);
		if (len >= sizeof(one) || list->count == LIST_MAX ||
		    !read(one, &list->numbers[list->count])) {
			snprintf(error, OPTION_ERROR_ROOM,
				 list->count == LIST_MAX ? "%s takes at most 16 values"
							 : "%s: '%.40s' is not %s",
				 option, one, wanted);
			return false;
		}
		list->count++;
		text += len;
		if (!*text)
			return true;
	}
}

static void add(struct bench_plan *plan, const struct op *op, uint64_t block_bytes, uint64_t depth,
		bool full)
{
	uint64_t limit = full ? FULL_MEMORY_BYTES : BMAP_BENCH_MAX_MEMORY_BYTES;

	if (full && block_bytes * depth > limit)
		return;
	plan->points[plan->count++] = (struct bmap_bench_point){
		.write = op->write,
		.random = op->random,
		.block_bytes = (uint32_t)block_bytes,
		.depth = (unsigned)depth,
	};
}

/* block empty: what is usual for each operation. */
static bool combine(const struct list *op, const struct list *block, const struct list *depth,
		    bool full, struct bench_plan *plan)
{
	size_t blocks = block->count ? block->count : 1;

	plan->points = calloc(op->count * blocks * depth->count, sizeof(*plan->points));
	if (!plan->points)
		return false;
	for (size_t i = 0; i < op->count; i++)
		for (size_t k = 0; k < blocks; k++)
			for (size_t m = 0; m < depth->count; m++) {
				const struct op *o = &ops[op->numbers[i]];

				add(plan, o,
				    block->count ? block->numbers[k]
				    : o->random  ? 4 * KIB
						 : MIB,
				    depth->numbers[m], full);
			}
	return true;
}
