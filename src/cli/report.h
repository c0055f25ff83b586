/* SPDX-License-Identifier: MIT */
/* cli/report.h - how a report on a bmap looks: as text, as a strip of characters, as JSON.
 *
 * Threads: the main thread's. Errors: what cannot be written shows in ferror(to). */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <bmap/bmap.h>
#include <stdio.h>

#define REPORT_SPEEDS_MAX 16u

/* Bytes a second that flash times are told for. */
struct report_speeds {
	uint64_t bytes_per_s[REPORT_SPEEDS_MAX];
	size_t count;
};

/* "20M,100M"; false, with error (OPTION_ERROR_ROOM) filled, if it is none. */
bool report_speeds_parse(const char *text, struct report_speeds *speeds, char *error);

void report_text(FILE *to, const struct bmap_report *report, const struct report_speeds *speeds);
void report_text_ranges(FILE *to, const struct bmap_map *map);
/* rows lines of columns characters each: the darker, the more of it is mapped. utf8: with blocks,
 * else ASCII. */
void report_strip(FILE *to, const struct bmap_map *map, unsigned columns, unsigned rows, bool utf8);

/* A picture as SVG or PNG, as the name ends. check: false, with error (REPORT_ERROR_ROOM) filled,
 * for another end, or if this build cannot draw. The file appears whole or not at all. */
#define REPORT_ERROR_ROOM 512
bool report_plot_check(const char *path, char *error);
bool report_plot(const char *path, const struct bmap_report *report, struct bmap_error *err);

/* problem: NULL, or what is wrong. ranges: list them, too. */
bool report_json(FILE *to, const struct bmap_report *report, const struct report_speeds *speeds,
		 bool ranges, const struct bmap_error *problem);

void report_difference(FILE *to, const struct bmap_report *older, const struct bmap_report *newer,
		       bool ranges);
bool report_difference_json(FILE *to, const struct bmap_report *older,
			    const struct bmap_report *newer, bool ranges);

/* "good", ... */
const char *report_check_word(enum bmap_check check);
/* "same", "content", "borders", "new", "gone". */
const char *report_change_word(enum bmap_change change);

#endif
