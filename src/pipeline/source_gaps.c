/* SPDX-License-Identifier: MIT */
#include "pipeline/source_gaps.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "pipeline/segments.h"

#include <inttypes.h>
#include <stdlib.h>

/* First read of the end: the table of 32 GiB in units of 4 MiB. */
#define TAIL_BYTES (64u * KIB)
/* The kernel reads ahead in windows of 128 KiB and more: nothing is won by jumping over less. */
#define LEAST_LOCAL_BYTES (256u * KIB)
/* A request costs a round trip or several: as in http_source.c. */
#define LEAST_REMOTE_BYTES (1u * MIB)
/* The padding around a gap lies in skipped image bytes then: decode_output.c. */
#define LEAST_IMAGE_BYTES (2u * SEGMENT_ALIGN_BYTES)

static bool has_wide_hole(const struct image_plan *plan)
{
	size_t count = plan_range_count(plan);
	uint64_t end = 0;

	for (size_t i = 0; i < count; i++) {
		if (plan_range_begin(plan, i) - end >= LEAST_LOCAL_BYTES)
			return true;
		end = plan_range_end(plan, i);
	}
	return plan->image_size_bytes - end >= LEAST_LOCAL_BYTES;
}

/* False without an error: there is no index that could be used. */
static bool read_index(struct unit_index *index, struct source *source,
		       const struct decoder_ops *format, struct bmap_error *err)
{
	size_t len = 0, need = (size_t)min_u64(TAIL_BYTES, source->size_bytes);
	enum index_status status = INDEX_MORE;
	CLEANUP_FREE uint8_t *tail = NULL;

	*err = (struct bmap_error){ .code = BMAP_ERR_NONE };
	while (status == INDEX_MORE && need > len) {
		free(tail);
		len = need;
		tail = malloc(len);
		if (!tail)
			return bmap_error_memory(err, source->name);
		if (!source_read_at(source, source->size_bytes - len, tail, len, err)) {
			/* What is wrong, if it still is, the reads in order will say. */
			if (err->code != BMAP_ERR_INTERRUPTED)
				err->code = BMAP_ERR_NONE;
			return false;
		}
		status = format->read_index(tail, len, source->size_bytes, index, &need);
	}
	return status == INDEX_OK;
}

static bool append(struct unit_index *index, const struct indexed_unit *unit)
{
	struct indexed_unit *grown = index->units;

	if (index->count == UNIT_INDEX_MAX_UNITS)
		return false;
	if ((index->count & (index->count - 1)) == 0) /* full at every power of two */
		grown = reallocarray(grown, max_u64(2 * index->count, 64), sizeof(*grown));
	if (!grown)
		return false;
	index->units = grown;
	index->units[index->count++] = *unit;
	return true;
}

/* From mark to mark through a local file: a small read for each unit. All of the file has to be
 * such units. False without an error: it is not. */
static bool follow_marks(struct unit_index *index, struct source *source,
			 const struct decoder_ops *format, struct bmap_error *err)
{
	uint8_t mark[UNIT_MARK_BYTES];
	struct indexed_unit unit;
	uint64_t at = 0;

	*index = (struct unit_index){ 0 };
	if (!source->seekable || !format->read_mark)
		return false;
	while (at < source->size_bytes) {
		size_t len = (size_t)min_u64(sizeof(mark), source->size_bytes - at);

		if (bmap_stop_requested(source->stop)) {
			bmap_error_set(err, BMAP_ERR_INTERRUPTED, "%s: interrupted", source->name);
			break;
		}
		if (!source_read_at(source, at, mark, len, err) ||
		    !format->read_mark(mark, len, &unit) ||
		    unit.source_bytes > source->size_bytes - at || !append(index, &unit))
			break;
		at += unit.source_bytes;
	}
	if (index->count && at == source->size_bytes)
		return true;
	if (err->code != BMAP_ERR_INTERRUPTED)
		err->code = BMAP_ERR_NONE;
	free(index->units);
	return false;
}

struct search {
	struct source_gaps *found;
	uint64_t least_bytes;
	struct source_gap run; /* of units that are not wanted, so far */
	size_t run_units;
};

/* A run that is worth it becomes a gap, or one for each unit. */
static void end_run(struct search *search, const struct indexed_unit *units)
{
	struct source_gap gap = search->run;
	bool worth = search->run_units && gap.unit.source_bytes >= search->least_bytes &&
		     gap.unit.image_bytes >= LEAST_IMAGE_BYTES;

	if (worth && !units->fact) {
		search->found->gaps[search->found->count++] = gap;
	} else if (worth) {
		for (size_t i = 0; i < search->run_units; i++) {
			gap.unit = units[i];
			search->found->gaps[search->found->count++] = gap;
			gap.source_offset += gap.unit.source_bytes;
			gap.image_offset += gap.unit.image_bytes;
		}
	}
	search->run_units = 0;
}

static bool is_wanted(const struct image_plan *plan, size_t *range, uint64_t begin, uint64_t end)
{
	size_t count = plan_range_count(plan);

	while (*range < count && plan_range_end(plan, *range) <= begin)
		++*range;
	return *range < count && plan_range_begin(plan, *range) < end;
}

/* False: index and map do not belong together; that is said when the units were decoded. */
static bool find_runs(struct search *search, const struct unit_index *index,
		      const struct image_plan *plan)
{
	uint64_t source = index->first_offset, image = 0, end;
	size_t range = 0;

	for (size_t i = 0; i < index->count; i++, image = end) {
		const struct indexed_unit *unit = &index->units[i];

		if (!checked_add(image, unit->image_bytes, &end) || end > plan->image_size_bytes)
			return false;
		if (is_wanted(plan, &range, image, end)) {
			end_run(search, unit - search->run_units);
		} else {
			if (!search->run_units++)
				search->run = (struct source_gap){ source, image, { 0 } };
			search->run.unit.source_bytes += unit->source_bytes;
			search->run.unit.image_bytes += unit->image_bytes;
		}
		source += unit->source_bytes; /* all of it is no more than the source has */
	}
	end_run(search, index->units + index->count - search->run_units);
	return image == plan->image_size_bytes;
}

bool source_gaps_find(struct source_gaps *found, struct source *source,
		      const struct source_gaps_config *config, struct bmap_error *err)
{
	struct search search = { .found = found };
	struct unit_index index;

	*found = (struct source_gaps){ 0 };
	search.least_bytes = source->seekable ? LEAST_LOCAL_BYTES : LEAST_REMOTE_BYTES;
	if (!config->format->read_index || !config->plan->map || !source->has_size ||
	    source->size_bytes < search.least_bytes + source->head_len ||
	    !has_wide_hole(config->plan))
		return true;
	/* Reading the end takes two requests more: not for what is one frame, as most are. */
	if (!source->seekable && !(source->cheap_skip && config->one_of_many))
		return true;
	if (!read_index(&index, source, config->format, err) &&
	    (err->code != BMAP_ERR_NONE || !follow_marks(&index, source, config->format, err)))
		return err->code == BMAP_ERR_NONE;
	found->gaps = calloc(index.count, sizeof(*found->gaps));
	if (!found->gaps)
		bmap_error_memory(err, source->name);
	else if (!find_runs(&search, &index, config->plan))
		source_gaps_free(found);
	free(index.units);
	return err->code == BMAP_ERR_NONE;
}

void source_gaps_free(struct source_gaps *gaps)
{
	free(gaps->gaps);
	*gaps = (struct source_gaps){ 0 };
}
