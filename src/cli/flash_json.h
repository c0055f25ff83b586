/* SPDX-License-Identifier: MIT */
/* cli/flash_json.h - parts that the events of a flash and its report have in common.
 *
 * Ownership and errors: as json_value.h. */
#ifndef CLI_FLASH_JSON_H
#define CLI_FLASH_JSON_H

#include "cli/json_value.h"

#include <bmap/flash.h>

/* "success", "failed", "interrupted": of a final state, or of a job that ended with err (NULL: a
 * success). */
const char *target_verdict_word(enum bmap_target_state state);
const char *job_verdict_word(const struct bmap_error *err);
const char *target_state_word(enum bmap_target_state state);
/* Is err one that a target has for itself? */
bool error_is_of_a_target(const struct bmap_flash_result *result, const struct bmap_error *err);

/* Object, without the digest of the file; name: shown as long as the report has none. */
json_t *json_image(const struct bmap_image_report *image, const char *name);
/* Of the target: size and device. Object. */
json_t *json_identity(const struct bmap_target_report *target, size_t index);
/* What became of a target that is final. Object. */
json_t *json_outcome(const struct bmap_target_report *target,
		     const struct bmap_image_report *image);
/* Object, null for NULL. of_target: an offset is one on a device, and has a sector. */
json_t *json_error(const struct bmap_error *err, bool of_target);
/* Puts the members of part (taken) behind those of object (NULL: gives NULL). */
json_t *json_join(json_t *object, json_t *part);

struct target_counts {
	size_t named, good, failed, interrupted;
};
/* A job that ended before it looked at its targets counts for all of them. */
struct target_counts count_targets(const struct bmap_flash_result *result, size_t named,
				   const struct bmap_error *err);

#endif
