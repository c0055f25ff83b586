/* SPDX-License-Identifier: MIT */
#include "cli/report.h"

#include "cli/options.h"
#include "cli/text.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_S 1000000000u

bool report_speeds_parse(const char *text, struct report_speeds *speeds, char *error)
{
	char one[32];

	speeds->count = 0;
	for (;;) {
		size_t len = strcspn(text, ",");
		uint64_t *speed = &speeds->bytes_per_s[speeds->count];

		if (speeds->count == REPORT_SPEEDS_MAX) {
			snprintf(error, OPTION_ERROR_ROOM, "--speed takes at most %u speeds",
				 REPORT_SPEEDS_MAX);
			return false;
		}
		snprintf(one, sizeof(one), "%.*s", (int)(len < sizeof(one) ? len : sizeof(one)),
			 text);
		if (len >= sizeof(one) || !parse_size(one, speed)) {
			snprintf(error, OPTION_ERROR_ROOM,
				 "--speed: '%.40s' is no speed such as 100M (bytes a second)", one);
			return false;
		}
		speeds->count++;
		if (!text[len])
			return true;
		text += len + 1;
	}
}

const char *report_check_word(enum bmap_check check)
{
	static const char *const words[] = { [BMAP_CHECK_ABSENT] = "none",
					     [BMAP_CHECK_UNKNOWN] = "not checked",
					     [BMAP_CHECK_GOOD] = "good",
					     [BMAP_CHECK_BAD] = "WRONG" };

	return words[check];
}

const char *report_change_word(enum bmap_change change)
{
	static const char *const words[BMAP_CHANGE_COUNT] = { [BMAP_CHANGE_NONE] = "same",
							      [BMAP_CHANGE_CONTENT] = "content",
							      [BMAP_CHANGE_BORDERS] = "borders",
							      [BMAP_CHANGE_NEW] = "new",
							      [BMAP_CHANGE_GONE] = "gone" };

	return words[change];
}

static void print_spread(FILE *to, const char *what, const struct bmap_spread *spread)
{
	char least[TEXT_ROOM], median[TEXT_ROOM], most[TEXT_ROOM];

	fprintf(to, "%-16s %zu", what, spread->count);
	if (spread->count)
		fprintf(to, ": smallest %s, median %s, largest %s", text_size(least, spread->least),
			text_size(median, spread->median), text_size(most, spread->most));
	fputc('\n', to);
}

static void print_sizes(FILE *to, const struct bmap_report *report)
{
	const struct bmap_map *map = report->map;
	char size[TEXT_ROOM];

	fprintf(to, "image size:      %" PRIu64 " bytes (%s)\n", map->image_size_bytes,
		text_size(size, map->image_size_bytes));
	fprintf(to, "block size:      %" PRIu64 " bytes\n", map->block_size_bytes);
	fprintf(to, "blocks:          %" PRIu64 "\n", report->blocks_count);
	fprintf(to, "mapped blocks:   %" PRIu64, map->mapped_blocks);
	if (map->image_size_bytes)
		fprintf(to, " (%s, %.1f %% of the image)", text_size(size, report->mapped_bytes),
			100.0 * (double)report->mapped_bytes / (double)map->image_size_bytes);
	fputc('\n', to);
}

static size_t without_checksum(const struct bmap_map *map)
{
	size_t count = 0;

	for (size_t i = 0; i < map->range_count; i++)
		count += !bmap_range_digest(map, i);
	return count;
}

static void print_checks(FILE *to, const struct bmap_report *report)
{
	size_t bare = without_checksum(report->map);

	fprintf(to, "checksum type:   %s", bmap_digest_name(report->map->digest));
	if (bare && bare < report->map->range_count)
		fprintf(to, " (%zu ranges have none)", bare);
	else if (bare && report->map->digest != BMAP_DIGEST_NONE)
		fputs(" (no range has one)", to);
	fprintf(to, "\nown checksum:    %s\n", report_check_word(report->own_checksum));
	fprintf(to, "signature:       %s", report_check_word(report->signature));
	if (report->signature_name)
		fprintf(to, " (%s)", report->signature_name);
	else if (report->signature != BMAP_CHECK_ABSENT)
		fputs(" (inside the bmap)", to);
	fputc('\n', to);
}

static void print_times(FILE *to, const struct bmap_report *report,
			const struct report_speeds *speeds)
{
	for (size_t i = 0; i < speeds->count; i++) {
		uint64_t speed = speeds->bytes_per_s[i];
		double seconds = (double)report->mapped_bytes / (double)speed;
		char time[TEXT_ROOM], text[TEXT_ROOM];

		fprintf(to, "%-16s %s at %s a second\n",
			i ? "" : "flash time:", text_time(time, (uint64_t)(seconds * NS_PER_S)),
			text_size(text, speed));
	}
}

static void print_parts(FILE *to, const struct bmap_report *report)
{
	const struct bmap_device *image = report->image;
	char size[TEXT_ROOM];

	if (!image || !image->content)
		return;
	fprintf(to, "content:         %s%s%s\n", image->content, image->label ? " " : "",
		image->label ? image->label : "");
	for (size_t i = 0; i < image->part_count; i++) {
		const struct bmap_device_part *part = &image->parts[i];
		uint64_t end = part->offset_bytes + part->size_bytes;
		uint64_t mapped = bmap_mapped_between(report->map, part->offset_bytes, end);

		fprintf(to, "partition %-6zu %s at byte %" PRIu64, i + 1,
			text_size(size, part->size_bytes), part->offset_bytes);
		fprintf(to, ": %s%s%s, %u %% mapped\n", part->type ? part->type : "unknown",
			part->label ? " " : "", part->label ? part->label : "",
			part->size_bytes ? percent_of(mapped, part->size_bytes) : 0);
	}
}

void report_text(FILE *to, const struct bmap_report *report, const struct report_speeds *speeds)
{
	fprintf(to, "bmap file:       %s%s\n", report->name,
		report->whole ? "" : " (broken: this is what could be read)");
	fprintf(to, "version:         %u.%u\n", report->map->version_major,
		report->map->version_minor);
	print_sizes(to, report);
	print_checks(to, report);
	print_parts(to, report);
	print_spread(to, "ranges:", &report->ranges);
	if (report->whole) { /* else nobody knows what follows */
		print_spread(to, "gaps:", &report->gaps);
		print_times(to, report, speeds);
	}
}

void report_text_ranges(FILE *to, const struct bmap_map *map)
{
	fputs("\nfirst block - last block, bytes, checksum\n", to);
	for (size_t i = 0; i < map->range_count; i++) {
		const uint8_t *digest = bmap_range_digest(map, i);

		fprintf(to, "%" PRIu64 "-%" PRIu64 " %" PRIu64 " ", map->ranges[i].first_block,
			map->ranges[i].last_block,
			bmap_range_end(map, i) - bmap_range_begin(map, i));
		for (size_t k = 0; digest && k < map->digest_bytes; k++)
			fprintf(to, "%02x", digest[k]);
		fputs(digest ? "\n" : "-\n", to);
	}
}

/* --- the strip --- */

static const char *shade(uint64_t mapped, uint64_t size, bool utf8)
{
	static const char *const ascii[] = { ".", "-", "+", "*", "#" };
	static const char *const blocks[] = { "\u00b7", "\u2591", "\u2592", "\u2593", "\u2588" };
	/* The lightest and the darkest only for nothing and all. */
	unsigned level = mapped == 0      ? 0
			 : mapped == size ? 4
					  : 1 + (unsigned)((double)mapped / (double)size * 2.999);

	return (utf8 ? blocks : ascii)[level];
}

void report_strip(FILE *to, const struct bmap_map *map, unsigned columns, unsigned rows, bool utf8)
{
	uint64_t cells = (uint64_t)columns * rows, size = map->image_size_bytes;
	uint64_t begin = 0;
	char cell[TEXT_ROOM];

	if (!size)
		return;
	cells = cells < map->blocks_count ? cells : map->blocks_count;
	fprintf(to, "\none character is %s; %s nothing mapped, %s all\n",
		text_size(cell, size / cells), shade(0, 1, utf8), shade(1, 1, utf8));
	for (uint64_t i = 0; i < cells; i++) {
		/* size < 2^63, cells < 2^20: in two parts, so that it cannot overflow */
		uint64_t end = size / cells * (i + 1) + size % cells * (i + 1) / cells;

		fputs(shade(bmap_mapped_between(map, begin, end), end - begin, utf8), to);
		if ((i + 1) % columns == 0 || i + 1 == cells)
			fputc('\n', to);
		begin = end;
	}
}

/* --- two maps --- */

static void print_change(void *user, enum bmap_change change, uint64_t begin, uint64_t end)
{
	if (change != BMAP_CHANGE_NONE)
		fprintf(user, "%" PRIu64 "-%" PRIu64 " %s\n", begin, end - 1,
			report_change_word(change));
}

void report_difference(FILE *to, const struct bmap_report *older, const struct bmap_report *newer,
		       bool ranges)
{
	static const char *const texts[BMAP_CHANGE_COUNT] = {
		[BMAP_CHANGE_NONE] = "the same:",         [BMAP_CHANGE_CONTENT] = "other content:",
		[BMAP_CHANGE_BORDERS] = "other borders:", [BMAP_CHANGE_NEW] = "newly mapped:",
		[BMAP_CHANGE_GONE] = "no more mapped:",
	};
	struct bmap_difference difference;
	char size[TEXT_ROOM], before[TEXT_ROOM];

	bmap_map_compare(older->map, newer->map, NULL, NULL, &difference);
	fprintf(to, "older:           %s\nnewer:           %s\n", older->name, newer->name);
	if (older->map->image_size_bytes == newer->map->image_size_bytes)
		fprintf(to, "image size:      %s in both\n",
			text_size(size, newer->map->image_size_bytes));
	else
		fprintf(to, "image size:      %s, was %s\n",
			text_size(size, newer->map->image_size_bytes),
			text_size(before, older->map->image_size_bytes));
	for (size_t i = 0; i < BMAP_CHANGE_COUNT; i++)
		fprintf(to, "%-16s %zu range%s, %s\n", texts[i], difference.ranges[i],
			difference.ranges[i] == 1 ? "" : "s", text_size(size, difference.bytes[i]));
	fprintf(to, "to be written:   %" PRIu64 " bytes (%s)%s\n", difference.to_write_bytes,
		text_size(size, difference.to_write_bytes),
		difference.comparable ? "" : ": the checksums cannot be compared");
	if (ranges) {
		fputs("\nfirst byte - last byte, what is new\n", to);
		bmap_map_compare(older->map, newer->map, print_change, to, &difference);
	}
}
