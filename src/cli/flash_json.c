/* SPDX-License-Identifier: MIT */
#include "cli/flash_json.h"

#include <string.h>

#define SECTOR_BYTES 512u /* as the kernel counts in its messages, whatever the device's are */

const char *target_verdict_word(enum bmap_target_state state)
{
	switch (state) {
	case BMAP_TARGET_DONE:
		return "success";
	case BMAP_TARGET_INTERRUPTED:
		return "interrupted";
	default:
		return "failed";
	}
}

const char *job_verdict_word(const struct bmap_error *err)
{
	if (!err)
		return "success";
	return err->code == BMAP_ERR_INTERRUPTED ? "interrupted" : "failed";
}

const char *target_state_word(enum bmap_target_state state)
{
	static const char *const words[] = {
		[BMAP_TARGET_WAITING] = "waiting",
		[BMAP_TARGET_WRITING] = "writing",
		[BMAP_TARGET_WRITTEN] = "written",
		[BMAP_TARGET_FLUSHING] = "flushing",
		[BMAP_TARGET_READING_BACK] = "reading-back",
		[BMAP_TARGET_HEAD] = "head",
		[BMAP_TARGET_DETACHED] = "detached",
		[BMAP_TARGET_DONE] = "done",
		[BMAP_TARGET_FAILED] = "failed",
		[BMAP_TARGET_INTERRUPTED] = "interrupted",
	};

	return words[state];
}

bool error_is_of_a_target(const struct bmap_flash_result *result, const struct bmap_error *err)
{
	for (size_t i = 0; i < result->target_count; i++) {
		const struct bmap_target_report *target = &result->targets[i];

		if (target->error && !target->whole_job && !strcmp(target->error->text, err->text))
			return true;
	}
	return false;
}

json_t *json_image(const struct bmap_image_report *image, const char *name)
{
	const char *shown = image->name ? image->name : name;

	return json_pack("{s:o,s:o*,s:o,s:o,s:o,s:o,s:o,s:o*,s:o}", "name", json_text(shown),
			 "name_hex", json_text_hex(shown), "format", json_text(image->format),
			 "image_size_bytes", json_number_or_null(image->image_bytes),
			 "mapped_bytes", json_number_or_null(image->mapped_bytes), "content_sha256",
			 json_text(image->content_digest), "bmap", json_text(image->bmap),
			 "bmap_hex", json_text_hex(image->bmap), "bmap_sha256",
			 json_text(image->bmap_digest));
}

static json_t *device_object(const struct bmap_device *device)
{
	if (!device)
		return json_null();
	return json_pack(
		"{s:o,s:o,s:o*,s:o,s:o*,s:o,s:o*,s:o,s:o,s:o*,s:o,s:o*,s:o,s:o,s:b}", "path",
		json_text(device->path), "vendor", json_text(device->vendor), "vendor_hex",
		json_text_hex(device->vendor), "model", json_text(device->model), "model_hex",
		json_text_hex(device->model), "serial", json_text(device->serial), "serial_hex",
		json_text_hex(device->serial), "transport", json_text(device->transport), "by_id",
		json_text(device->by_id), "by_id_hex", json_text_hex(device->by_id), "by_path",
		json_text(device->by_path), "by_path_hex", json_text_hex(device->by_path),
		"usb_path", json_text(device->usb_path), "size_bytes",
		json_number_or_null(device->size_bytes), "removable", (int)device->removable);
}

json_t *json_identity(const struct bmap_target_report *target, size_t index)
{
	return json_pack("{s:o,s:o,s:o*,s:o,s:o}", "index", json_number(index), "target",
			 json_text(target->name), "target_hex", json_text_hex(target->name),
			 "size_bytes", json_number_or_null(target->size_bytes), "device",
			 device_object(target->device));
}

static json_t *first_bad(const struct bmap_error *err, unsigned divisor)
{
	return err && err->has_offset ? json_number(err->offset_bytes / divisor) : json_null();
}

json_t *json_outcome(const struct bmap_target_report *target, const struct bmap_image_report *image)
{
	bool done = target->state == BMAP_TARGET_DONE;
	bool ended = target->ended_ns > target->begun_ns;
	uint64_t took_ns = ended ? target->ended_ns - target->begun_ns : 0;
	const struct bmap_error *own = target->whole_job ? NULL : target->error;

	return json_pack("{s:s,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:b,s:b}}",
			 "verdict", target_verdict_word(target->state), "pass", (int)target->pass,
			 "written_bytes", json_number(target->completed_bytes), "begun_ms",
			 json_ms(target->begun_ns), "ended_ms", json_ms(target->ended_ns),
			 "busy_ms", json_ms(target->busy_ns), "flush_ms", json_ms(target->flush_ns),
			 "read_back_ms", json_ms(target->read_back_ns), "bytes_per_second",
			 json_speed(target->completed_bytes, took_ns), "retries",
			 json_number(target->retries), "first_bad_offset_bytes", first_bad(own, 1),
			 "first_bad_sector", first_bad(own, SECTOR_BYTES), "error",
			 json_error(target->error, own != NULL), "verification", "checksums",
			 (int)(done && image->verified), "read_back",
			 (int)(done && target->read_back));
}

json_t *json_error(const struct bmap_error *err, bool of_target)
{
	bool sector = of_target && err && err->has_offset;

	if (!err)
		return json_null();
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o*}", "code", error_code_word(err->code),
			 "errno", json_number_or_null((uint64_t)err->errnum), "errno_name",
			 json_text(errno_name(err->errnum)), "offset_bytes",
			 err->has_offset ? json_number(err->offset_bytes) : json_null(), "sector",
			 sector ? json_number(err->offset_bytes / SECTOR_BYTES) : json_null(),
			 "message", json_text(err->text), "message_hex", json_text_hex(err->text));
}

json_t *json_join(json_t *object, json_t *part)
{
	if (object && (!part || json_object_update(object, part))) {
		json_decref(object);
		object = NULL;
	}
	json_decref(part);
	return object;
}

struct target_counts count_targets(const struct bmap_flash_result *result, size_t named,
				   const struct bmap_error *err)
{
	struct target_counts counts = { .named = named };

	for (size_t i = 0; i < result->target_count; i++) {
		enum bmap_target_state state = result->targets[i].state;

		counts.good += state == BMAP_TARGET_DONE;
		counts.interrupted += state == BMAP_TARGET_INTERRUPTED;
	}
	if (!result->target_count && err && err->code == BMAP_ERR_INTERRUPTED)
		counts.interrupted = named;
	counts.failed = named - counts.good - counts.interrupted;
	return counts;
}
