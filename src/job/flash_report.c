/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/clock.h"
#include "job/flash_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the reports point to, in one object that the result frees. */
struct owned {
	char *image, *bmap, *format;
	char **names; /* target_count */
	struct bmap_error *errors; /* target_count */
	struct bmap_device *devices; /* target_count */
	size_t target_count;
	char bmap_digest[FILE_DIGEST_ROOM], file_digest[FILE_DIGEST_ROOM];
	char content_digest[BMAP_CONTENT_DIGEST_ROOM];
};

bool flash_prepare_result(struct flash *flash, struct bmap_error *err)
{
	struct bmap_flash_result *result = flash->result;
	size_t count = flash->options->target_count;
	struct owned *owned = calloc(1, sizeof(*owned));

	result->owned = owned;
	flash->targets = calloc(count, sizeof(*flash->targets));
	result->targets = calloc(count, sizeof(*result->targets));
	if (owned) {
		owned->names = calloc(count, sizeof(*owned->names));
		owned->errors = calloc(count, sizeof(*owned->errors));
		owned->devices = calloc(count, sizeof(*owned->devices));
	}
	if (!owned || !owned->names || !owned->errors || !owned->devices || !flash->targets ||
	    !result->targets)
		return bmap_error_memory(err, "targets");
	owned->target_count = count;
	for (size_t i = 0; i < count; i++) {
		owned->names[i] = strdup(flash->options->targets[i]);
		if (!owned->names[i])
			return bmap_error_memory(err, "targets");
		flash->targets[i].report = &result->targets[i];
		flash->targets[i].error = &owned->errors[i];
		flash->targets[i].device = &owned->devices[i];
		result->targets[i] = (struct bmap_target_report){
			.name = owned->names[i],
			.state = BMAP_TARGET_WAITING,
		};
	}
	result->target_count = count;
	return true;
}

static bool set_text(char **place, const char *text, struct bmap_error *err)
{
	free(*place);
	*place = text ? strdup(text) : NULL;
	return !text || *place || bmap_error_memory(err, "the report");
}

/* That not every range has a checksum is no failure. */
static bool describe_content(const struct bmap_map *map, char *text, struct bmap_error *err)
{
	struct bmap_error why;

	if (!map || bmap_map_content_digest(map, text, &why) || why.code == BMAP_ERR_NOT_FOUND)
		return true;
	*err = why;
	return false;
}

static const char *known(const char *digest)
{
	return *digest ? digest : NULL;
}

bool flash_describe_image(struct flash *flash, struct bmap_error *err)
{
	const struct image_stream *stream = &flash->pass.stream;
	struct bmap_image_report *report = &flash->result->image;
	struct owned *owned = flash->result->owned;
	uint64_t image_bytes = stream->plan.image_size_bytes;
	char format[64];

	snprintf(format, sizeof(format), "%s%s%s", stream->format ? stream->format->name : "raw",
		 stream->archive ? " " : "", stream->archive ? stream->archive->name : "");
	if (!set_text(&owned->image, stream->source->name, err) ||
	    !set_text(&owned->bmap, stream->bmap_path, err) ||
	    !set_text(&owned->format, format, err))
		return false;
	strcpy(owned->bmap_digest, stream->bmap_digest);
	if (!describe_content(stream->map, owned->content_digest, err))
		return false;
	*report = (struct bmap_image_report){
		.name = owned->image,
		.bmap = owned->bmap,
		.format = owned->format,
		.image_bytes = image_bytes == SIZE_UNKNOWN ? 0 : image_bytes,
		.mapped_bytes = stream->mapped_bytes == SIZE_UNKNOWN ? 0 : stream->mapped_bytes,
		.bmap_digest = known(owned->bmap_digest),
		.content_digest = known(owned->content_digest),
		.verified = stream->verifies,
	};
	return true;
}

void flash_keep_file_digest(struct flash *flash)
{
	struct owned *owned = flash->result->owned;
	const char *text = file_digest_text(flash->pass.stream.file_digest);

	if (!text)
		return;
	strcpy(owned->file_digest, text);
	flash->result->image.file_digest = owned->file_digest;
}

void flash_mark_errors(struct flash *flash)
{
	const struct bmap_error *ending = &flash->ending;

	for (size_t i = 0; i < flash->result->target_count; i++) {
		struct bmap_target_report *report = &flash->result->targets[i];

		/* One that was interrupted says what it left behind. */
		report->whole_job = report->error && ending->code != BMAP_ERR_NONE &&
				    report->error->code == ending->code &&
				    (ending->code == BMAP_ERR_INTERRUPTED ||
				     !strcmp(report->error->text, ending->text));
	}
}

void bmap_flash_result_free(struct bmap_flash_result *result)
{
	struct owned *owned = result->owned;

	for (size_t i = 0; owned && owned->names && i < owned->target_count; i++)
		free(owned->names[i]);
	for (size_t i = 0; owned && owned->devices && i < owned->target_count; i++)
		bmap_device_free(&owned->devices[i]);
	if (owned) {
		free(owned->names);
		free(owned->errors);
		free(owned->devices);
		free(owned->image);
		free(owned->bmap);
		free(owned->format);
	}
	free(owned);
	free(result->targets);
	*result = (struct bmap_flash_result){ 0 };
}

/* --- progress --- */

static void say_flushing(struct flash *flash, struct flash_target *target)
{
	if (target->said_flushing || target->report->state != BMAP_TARGET_FLUSHING)
		return;
	target->said_flushing = true;
	if (target->target.needs_flush)
		log_info(flash->options->log, "synchronizing '%s'", target->target.name);
}

void flash_read_lanes(struct flash *flash)
{
	const struct flash_pass *pass = &flash->pass;

	for (size_t i = 0; pass->writing && i < pass->lane_count; i++) {
		struct flash_target *target = pass->members[i];
		struct bmap_target_report *report = target->report;
		struct lane_status status;

		if (!target->open) /* its end has said all, perhaps something worse */
			continue;
		write_stage_status(pass->writing, i, &status);
		report->completed_bytes = status.completed_bytes;
		report->busy_ns = status.busy_ns;
		report->flush_ns = status.flush_ns;
		report->retries = status.retries;
		report->read_back_bytes = status.read_back_bytes;
		report->read_back_ns = status.read_back_ns;
		if (report->state == status.state)
			continue;
		report->state = status.state;
		report->read_back = status.state == BMAP_TARGET_DONE && flash->read_back &&
				    target->target.kind != TARGET_CHARACTER_DEVICE;
		if (status.state == BMAP_TARGET_FAILED || status.state == BMAP_TARGET_INTERRUPTED ||
		    status.state == BMAP_TARGET_DONE)
			report->ended_ns = clock_now_ns() - flash->began_ns;
		if (status.error.code != BMAP_ERR_NONE) {
			*target->error = status.error;
			report->error = target->error;
		}
		say_flushing(flash, target);
	}
}

void flash_show_progress(struct flash *flash)
{
	const struct image_stream *stream = &flash->pass.stream;
	struct bmap_flash_progress progress = {
		.total_bytes = stream->mapped_bytes == SIZE_UNKNOWN ? 0 : stream->mapped_bytes,
		.source_total_bytes = stream->source->has_size ? stream->source->size_bytes : 0,
		.source_read_bytes = decode_stage_source_bytes(stream->decode),
		.elapsed_ns = clock_now_ns() - flash->began_ns,
		.read_back = flash->read_back,
		.image = &flash->result->image,
		.target_count = flash->options->target_count,
		.targets = flash->result->targets,
	};

	flash_read_lanes(flash);
	flash_mark_errors(flash);
	if (flash->options->progress)
		flash->options->progress(flash->options->progress_user, &progress);
}
