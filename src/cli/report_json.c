/* SPDX-License-Identifier: MIT */
/* The documents of docs/bmap-report.schema.json. */
#include "cli/report.h"

#include "cli/json_value.h"

static json_t *integer(uint64_t n)
{
	/* Only a broken map has numbers of 2^63 and more. */
	return n <= INT64_MAX ? json_integer((json_int_t)n) : json_null();
}

static json_t *check_word(enum bmap_check check)
{
	static const char *const words[] = { [BMAP_CHECK_ABSENT] = "none",
					     [BMAP_CHECK_UNKNOWN] = "unchecked",
					     [BMAP_CHECK_GOOD] = "good",
					     [BMAP_CHECK_BAD] = "bad" };

	return json_string(words[check]);
}

static json_t *spread(const struct bmap_spread *s)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:o}", "count", integer(s->count), "total_bytes",
			 integer(s->total), "smallest_bytes", integer(s->least), "median_bytes",
			 integer(s->median), "largest_bytes", integer(s->most));
}

static json_t *range(const struct bmap_map *map, size_t i)
{
	char hex[2 * BMAP_DIGEST_MAX_BYTES + 1];
	const uint8_t *digest = bmap_range_digest(map, i);

	for (size_t k = 0; digest && k < map->digest_bytes; k++)
		snprintf(hex + 2 * k, 3, "%02x", digest[k]);
	return json_pack("{s:o,s:o,s:o,s:o,s:o}", "first_block",
			 integer(map->ranges[i].first_block), "last_block",
			 integer(map->ranges[i].last_block), "offset_bytes",
			 integer(bmap_range_begin(map, i)), "size_bytes",
			 integer(bmap_range_end(map, i) - bmap_range_begin(map, i)), "checksum",
			 json_text(digest ? hex : NULL));
}

static json_t *ranges_of(const struct bmap_map *map)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < map->range_count; i++)
		if (json_array_append_new(list, range(map, i))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *times(const struct bmap_report *report, const struct report_speeds *speeds)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < speeds->count; i++) {
		uint64_t speed = speeds->bytes_per_s[i];

		if (json_array_append_new(
			    list, json_pack("{s:o,s:f}", "bytes_per_s", integer(speed), "seconds",
					    (double)report->mapped_bytes / (double)speed))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *parts_of(const struct bmap_report *report)
{
	const struct bmap_device *image = report->image;
	json_t *list = json_array();

	for (size_t i = 0; image && i < image->part_count; i++) {
		const struct bmap_device_part *part = &image->parts[i];
		uint64_t end = part->offset_bytes + part->size_bytes;

		list = json_append(
			list, json_pack("{s:o,s:o,s:o,s:o,s:o}", "offset_bytes",
					integer(part->offset_bytes), "size_bytes",
					integer(part->size_bytes), "type", json_text(part->type),
					"label", json_text(part->label), "mapped_bytes",
					integer(bmap_mapped_between(report->map, part->offset_bytes,
								    end))));
	}
	return list;
}

static bool set(json_t *object, const char *key, json_t *value)
{
	return !json_object_set_new(object, key, value);
}

static bool fill_map(json_t *to, const struct bmap_report *report)
{
	const struct bmap_map *map = report->map;
	char version[32];

	snprintf(version, sizeof(version), "%u.%u", map->version_major, map->version_minor);
	return set(to, "version", json_string(version)) &&
	       set(to, "image_size_bytes", integer(map->image_size_bytes)) &&
	       set(to, "block_size_bytes", integer(map->block_size_bytes)) &&
	       set(to, "blocks", integer(report->blocks_count)) &&
	       set(to, "mapped_blocks", integer(map->mapped_blocks)) &&
	       set(to, "mapped_bytes", integer(report->mapped_bytes)) &&
	       set(to, "checksum_type", json_text(bmap_digest_name(map->digest)));
}

/* Takes over the document. */
static bool print(FILE *to, json_t *document, bool good)
{
	if (good) {
		json_dumpf(document, to, JSON_INDENT(2)); /* what is not written shows in ferror */
		fputc('\n', to);
	}
	json_decref(document);
	return good;
}

bool report_json(FILE *to, const struct bmap_report *report, const struct report_speeds *speeds,
		 bool ranges, const struct bmap_error *problem)
{
	json_t *document = json_object();
	bool good = document && set(document, "bmap", json_text(report->name)) &&
		    set(document, "whole", json_boolean(report->whole)) &&
		    set(document, "problem", json_text(problem ? problem->text : NULL)) &&
		    fill_map(document, report) &&
		    set(document, "own_checksum", check_word(report->own_checksum)) &&
		    set(document, "signature", check_word(report->signature)) &&
		    set(document, "signature_file", json_text(report->signature_name)) &&
		    set(document, "content",
			json_text(report->image ? report->image->content : NULL)) &&
		    set(document, "partitions", parts_of(report)) &&
		    set(document, "range_lengths", spread(&report->ranges)) &&
		    set(document, "gap_lengths", spread(&report->gaps)) &&
		    set(document, "flash_times", times(report, speeds)) &&
		    (!ranges || set(document, "ranges", ranges_of(report->map)));

	return print(to, document, good);
}

/* --- two maps --- */

static void add_change(void *user, enum bmap_change change, uint64_t begin, uint64_t end)
{
	json_t **list = user;

	if (change == BMAP_CHANGE_NONE || !*list)
		return;
	if (json_array_append_new(*list, json_pack("{s:o,s:o,s:s}", "offset_bytes", integer(begin),
						   "size_bytes", integer(end - begin), "change",
						   report_change_word(change)))) {
		json_decref(*list);
		*list = NULL;
	}
}

static json_t *totals(const struct bmap_difference *difference)
{
	json_t *object = json_object();

	for (int i = 0; object && i < BMAP_CHANGE_COUNT; i++)
		if (!set(object, report_change_word((enum bmap_change)i),
			 json_pack("{s:o,s:o}", "ranges", integer(difference->ranges[i]),
				   "size_bytes", integer(difference->bytes[i])))) {
			json_decref(object);
			return NULL;
		}
	return object;
}

bool report_difference_json(FILE *to, const struct bmap_report *older,
			    const struct bmap_report *newer, bool ranges)
{
	json_t *document = json_object(), *list = json_array();
	struct bmap_difference d;
	bool good;

	bmap_map_compare(older->map, newer->map, add_change, &list, &d);
	good = document && list && set(document, "older", json_text(older->name)) &&
	       set(document, "newer", json_text(newer->name)) &&
	       set(document, "older_image_size_bytes", integer(older->map->image_size_bytes)) &&
	       set(document, "newer_image_size_bytes", integer(newer->map->image_size_bytes)) &&
	       set(document, "comparable", json_boolean(d.comparable)) &&
	       set(document, "changes", totals(&d)) &&
	       set(document, "to_write_bytes", integer(d.to_write_bytes)) &&
	       (!ranges || set(document, "ranges", json_incref(list)));
	json_decref(list);
	return print(to, document, good);
}
