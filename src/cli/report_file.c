/* SPDX-License-Identifier: MIT */
#include "cli/report_file.h"
#include "cli/flash_json.h"

#include <bmap/bmap.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SCHEMA_VERSION 1
#define WHAT "the report"

static json_t *document(const struct job_record *record, const struct bmap_flash_result *result,
			const struct bmap_error *failure, int exit_code);
static json_t *options_object(const struct bmap_flash_options *options);
static json_t *list_of_targets(const struct job_record *record,
			       const struct bmap_flash_result *result,
			       const struct bmap_error *failure);

bool report_file_check(const struct job_record *record, struct bmap_error *err)
{
	return bmap_file_save_check(record->report_path, WHAT, err);
}

static bool cannot(const struct job_record *record, enum bmap_error_code code, const char *why,
		   struct bmap_error *err)
{
	*err = (struct bmap_error){ .code = code };
	snprintf(err->text, sizeof(err->text), "%s: cannot write " WHAT ": %s", record->report_path,
		 why);
	return false;
}

/* The library refuses that beforehand as far as names tell; here is what became of them. */
static bool is_a_target(const struct job_record *record)
{
	struct stat report, target;

	if (stat(record->report_path, &report))
		return false;
	for (size_t i = 0; i < record->options->target_count; i++)
		if (!stat(record->options->targets[i], &target) && target.st_dev == report.st_dev &&
		    target.st_ino == report.st_ino)
			return true;
	return false;
}

bool report_file_write(const struct job_record *record, const struct bmap_flash_result *result,
		       const struct bmap_error *failure, int exit_code, struct bmap_error *err)
{
	json_t *value;
	char *text, *line = NULL;
	int len = -1;
	bool good;

	if (is_a_target(record))
		return cannot(record, BMAP_ERR_REFUSED, "it is one of the targets", err);
	value = document(record, result, failure, exit_code);
	text = json_dumps(value, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	json_decref(value);
	if (text)
		len = asprintf(&line, "%s\n", text);
	free(text);
	if (len < 0)
		return cannot(record, BMAP_ERR_MEMORY, "out of memory", err);
	good = bmap_file_save(record->report_path, WHAT, line, (size_t)len, err);
	free(line);
	return good;
}

static json_t *document(const struct job_record *record, const struct bmap_flash_result *result,
			const struct bmap_error *failure, int exit_code)
{
	bool own = failure && error_is_of_a_target(result, failure);

	return json_pack(
		"{s:i,s:s,s:o,s:s,s:s,s:o,s:o,s:o,s:s,s:i,s:o,s:o,s:o,s:o}", "schema",
		SCHEMA_VERSION, "command", "copy", "job", json_text(record->id), "tool", "bmaptool",
		"version", bmap_version(), "start", json_time(&record->began), "end",
		json_time_now(), "elapsed_ms", json_ms(result->elapsed_ns), "verdict",
		job_verdict_word(failure), "exit_code", exit_code, "image",
		json_join(json_image(&result->image, record->image_name),
			  json_pack("{s:o}", "file_sha256", json_text(result->image.file_digest))),
		"options", options_object(record->options), "error",
		json_error(own ? NULL : failure, false), "targets",
		list_of_targets(record, result, failure));
}

static const char *choice_word(enum bmap_choice choice)
{
	static const char *const words[] = { [BMAP_CHOICE_DEFAULT] = "default",
					     [BMAP_CHOICE_NO] = "no",
					     [BMAP_CHOICE_YES] = "yes" };

	return words[choice];
}

static const char *straggler_word(enum bmap_straggler straggler)
{
	static const char *const words[] = { [BMAP_STRAGGLER_DEFAULT] = "default",
					     [BMAP_STRAGGLER_WAIT] = "wait",
					     [BMAP_STRAGGLER_DETACH] = "detach" };

	return words[straggler];
}

static json_t *image_options(const struct bmap_flash_options *o)
{
	return json_pack("{s:b,s:b,s:b,s:o,s:o*,s:o,s:o,s:o*}", "no_bmap", (int)o->no_bmap,
			 "no_verify", (int)o->no_verify, "no_signature", (int)o->no_signature,
			 "keyring", json_text(o->keyring), "keyring_hex", json_text_hex(o->keyring),
			 "fingerprint", json_text(o->fingerprint), "member", json_text(o->member),
			 "member_hex", json_text_hex(o->member));
}

static json_t *target_options(const struct bmap_flash_options *o)
{
	const struct bmap_expect *expect = &o->expect;

	return json_pack("{s:b,s:b,s:o,s:o,s:o,s:o*,s:o,s:s,s:s,s:o}", "removable_only",
			 (int)o->removable_only, "allow_dev_files", (int)o->allow_dev_files,
			 "expect_least_bytes", json_number_or_null(expect->least_bytes),
			 "expect_most_bytes", json_number_or_null(expect->most_bytes),
			 "expect_model", json_text(expect->model), "expect_model_hex",
			 json_text_hex(expect->model), "expect_count",
			 json_number_or_null(expect->count), "read_back", choice_word(o->read_back),
			 "straggler", straggler_word(o->straggler), "stall_seconds",
			 json_number_or_null(o->stall_seconds));
}

/* What decides of what is written, and how it is judged. */
static json_t *options_object(const struct bmap_flash_options *o)
{
	json_t *resources =
		json_pack("{s:o,s:o,s:o}", "memory_bytes", json_number_or_null(o->memory_bytes),
			  "queue_depth", json_number_or_null(o->queue_depth), "workers",
			  json_number_or_null(o->workers));

	return json_join(json_join(image_options(o), target_options(o)), resources);
}

static json_t *target_object(const struct bmap_target_report *target, size_t index,
			     const struct bmap_image_report *image)
{
	return json_join(json_identity(target, index), json_outcome(target, image));
}

/* Of a job that ended before it looked at them, what can be said of each. */
static struct bmap_target_report unseen(const char *name, const struct bmap_error *failure)
{
	bool interrupted = failure && failure->code == BMAP_ERR_INTERRUPTED;

	return (struct bmap_target_report){
		.name = name,
		.state = interrupted ? BMAP_TARGET_INTERRUPTED : BMAP_TARGET_FAILED,
		.error = failure,
		.whole_job = true,
	};
}

static json_t *list_of_targets(const struct job_record *record,
			       const struct bmap_flash_result *result,
			       const struct bmap_error *failure)
{
	json_t *list = json_array();

	for (size_t i = 0; i < record->options->target_count; i++) {
		const struct bmap_target_report none = unseen(record->options->targets[i], failure);

		const struct bmap_target_report *target =
			i < result->target_count ? &result->targets[i] : &none;

		list = json_append(list, target_object(target, i, &result->image));
	}
	return list;
}
