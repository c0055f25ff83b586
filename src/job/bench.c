/* SPDX-License-Identifier: MIT */
#include "job/bench_internal.h"
#include "base/checked.h"

#include <inttypes.h>
#include <stdlib.h>

static bool check_points(const struct bmap_bench_options *options, struct bmap_error *err);
static bool make_ready(struct bench_target *target, const struct bmap_bench_options *options,
		       struct bmap_error *err);
static bool tell_opened(const struct bench_target *target, const struct bmap_bench_options *options,
			struct bmap_error *err);
static bool run_points(struct bench_target *target, const struct bmap_bench_options *options,
		       struct bmap_error *err);
static bool tell_measured(const struct bmap_bench_options *options, size_t point,
			  const struct bench_numbers *numbers, struct bmap_error *err);

bool bmap_bench(const struct bmap_bench_options *options, struct bmap_error *err)
{
	struct bench_target target;
	bool ok;

	if (!check_points(options, err) || !bench_target_open(&target, options, err))
		return false;
	ok = make_ready(&target, options, err) && run_points(&target, options, err);
	bench_target_close(&target);
	return ok;
}

static bool check_points(const struct bmap_bench_options *options, struct bmap_error *err)
{
	if (!options->point_count)
		return bmap_error_set(err, BMAP_ERR_USAGE, "%s: there is nothing to be measured",
				      options->target);
	for (size_t i = 0; i < options->point_count; i++) {
		const struct bmap_bench_point *p = &options->points[i];

		if (p->block_bytes < BMAP_BENCH_MIN_BLOCK_BYTES ||
		    p->block_bytes > BMAP_BENCH_MAX_BLOCK_BYTES || p->block_bytes % 4096)
			return bmap_error_set(err, BMAP_ERR_USAGE,
					      "requests of %" PRIu32 " bytes cannot be measured: "
					      "4 KiB to 16 MiB, multiples of 4 KiB",
					      p->block_bytes);
		if (p->write && !options->write)
			return bmap_error_set(err, BMAP_ERR_USAGE,
					      "%s: to be written to, but that was not allowed",
					      options->target);
		if (p->depth < 1 || p->depth > BMAP_BENCH_MAX_DEPTH)
			return bmap_error_set(err, BMAP_ERR_USAGE,
					      "%u requests in flight cannot be measured: 1 to %u",
					      p->depth, BMAP_BENCH_MAX_DEPTH);
		if ((uint64_t)p->block_bytes * p->depth > BMAP_BENCH_MAX_MEMORY_BYTES)
			return bmap_error_set(err, BMAP_ERR_USAGE,
					      "%u requests of %" PRIu32
					      " bytes in flight take more than 1 GiB of memory",
					      p->depth, p->block_bytes);
		if (p->duration_ms < 1 || p->duration_ms > BMAP_BENCH_MAX_DURATION_MS)
			return bmap_error_set(err, BMAP_ERR_USAGE,
					      "a point cannot be measured for %" PRIu32
					      " ms: 1 ms to a day",
					      p->duration_ms);
	}
	return true;
}

static bool make_ready(struct bench_target *target, const struct bmap_bench_options *options,
		       struct bmap_error *err)
{
	uint64_t least_bytes = 0;

	for (size_t i = 0; i < options->point_count; i++)
		least_bytes = max_u64(least_bytes, options->points[i].block_bytes);
	if (target->kind == BMAP_BENCH_SCRATCH && !bench_fill(target, least_bytes, options, err))
		return false;
	return tell_opened(target, options, err) && bench_target_begin(target, options, err);
}

/* Each point opens an engine of its own; this one is to know, and to say once, which that is. */
static bool tell_opened(const struct bench_target *target, const struct bmap_bench_options *options,
			struct bmap_error *err)
{
	struct bmap_bench_target told = {
		.kind = target->kind,
		.size_bytes = target->size_bytes,
		.direct = target->direct,
	};
	struct io_engine *engine;

	engine = engine_open(1, options->log, err);
	if (!engine)
		return false;
	told.engine = engine->ops->name;
	engine_free(engine);
	if (options->opened)
		options->opened(options->user, &told);
	return true;
}

struct point_watch {
	const struct bmap_bench_options *options;
	size_t point;
};

static void on_progress(void *arg, uint64_t elapsed_ns, uint64_t total_ns, uint64_t bytes)
{
	const struct point_watch *w = arg;

	if (w->options->progress)
		w->options->progress(w->options->user, w->point, elapsed_ns, total_ns, bytes);
}

static bool run_points(struct bench_target *target, const struct bmap_bench_options *options,
		       struct bmap_error *err)
{
	struct point_watch point_watch = { .options = options };
	const struct bench_watch watch = { .progress = on_progress, .arg = &point_watch };
	struct bench_numbers numbers;

	for (size_t i = 0; i < options->point_count; i++) {
		bool ok, complete;

		point_watch.point = i;
		if (!bench_point_run(target, &options->points[i], options, &watch, &numbers, err))
			return false;
		complete = numbers.complete;
		ok = !numbers.requests || tell_measured(options, i, &numbers, err);
		bench_numbers_free(&numbers);
		if (!ok)
			return false;
		if (!complete)
			return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
					      "%s: stopped: %zu of %zu points were measured",
					      target->name, i, options->point_count);
	}
	return true;
}

static struct bmap_bench_bucket *buckets_of(const struct histogram *h, size_t *count)
{
	struct bmap_bench_bucket *buckets;
	size_t used = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		used += h->counts[i] != 0;
	buckets = calloc(used + 1, sizeof(*buckets));
	*count = 0;
	for (size_t i = 0; buckets && i < HISTOGRAM_BUCKETS; i++)
		if (h->counts[i])
			buckets[(*count)++] = (struct bmap_bench_bucket){
				.upto_ns = min_u64(histogram_bucket_upto(i), h->max),
				.count = h->counts[i],
			};
	return buckets;
}

static bool tell_measured(const struct bmap_bench_options *options, size_t point,
			  const struct bench_numbers *numbers, struct bmap_error *err)
{
	const struct histogram *latency = numbers->latency;
	struct bmap_bench_bucket *buckets;
	struct bmap_bench_result result = {
		.point = options->points[point],
		.complete = numbers->complete,
		.elapsed_ns = numbers->end_ns - numbers->begin_ns,
		.bytes = numbers->bytes,
		.requests = numbers->requests,
		.mean_ns = histogram_mean(latency),
		.p50_ns = histogram_percentile(latency, 50, 100),
		.p90_ns = histogram_percentile(latency, 90, 100),
		.p99_ns = histogram_percentile(latency, 99, 100),
		.p999_ns = histogram_percentile(latency, 999, 1000),
		.max_ns = latency->max,
		.flush_ns = numbers->flush_ns,
		.cpu_ns = numbers->cpu_ns,
		.second_bytes = numbers->second_bytes,
	};

	if (!options->measured)
		return true;
	result.second_count =
		(size_t)min_u64(result.elapsed_ns / 1000000000u, numbers->second_room);
	buckets = buckets_of(latency, &result.bucket_count);
	if (!buckets)
		return bmap_error_memory(err, options->target);
	result.buckets = buckets;
	options->measured(options->user, point, &result);
	free(buckets);
	return true;
}
