/* SPDX-License-Identifier: MIT */
/* The picture: the image as one strip, the darker the more of a column is mapped, with its
 * partitions below and a scale. Drawn by cairo, in a place of memory that is then saved whole. */
#include "cli/report.h"

#include "cli/text.h"

#include <cairo-svg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 1280
#define HEIGHT 300
#define LEFT 40
#define COLUMNS (WIDTH - 2 * LEFT)
#define STRIP_TOP 90
#define STRIP_HEIGHT 70
#define PARTS_TOP (STRIP_TOP + STRIP_HEIGHT + 34)
#define PARTS_HEIGHT 40
#define MIN_LABEL_WIDTH 24.0
#define TICKS 8

struct memory {
	unsigned char *bytes;
	size_t len, room;
};

static cairo_status_t keep(void *user, const unsigned char *data, unsigned len)
{
	struct memory *memory = user;

	if (len > memory->room - memory->len) {
		size_t room = 2 * (memory->len + len);
		unsigned char *grown = realloc(memory->bytes, room);

		if (!grown)
			return CAIRO_STATUS_NO_MEMORY;
		memory->bytes = grown;
		memory->room = room;
	}
	memcpy(memory->bytes + memory->len, data, len);
	memory->len += len;
	return CAIRO_STATUS_SUCCESS;
}

static double x_of(uint64_t offset, uint64_t size)
{
	return LEFT + (double)offset / (double)size * COLUMNS;
}

static void write_text(cairo_t *cr, double x, double y, double points, const char *text)
{
	cairo_set_font_size(cr, points);
	cairo_move_to(cr, x, y);
	cairo_show_text(cr, text);
}

/* As much of the text as fits; cairo wants whole UTF-8 and draws nothing else. */
static void write_text_in(cairo_t *cr, double x, double y, double width, const char *text)
{
	char cut[200];
	cairo_text_extents_t extents;
	size_t len;

	snprintf(cut, sizeof(cut), "%s", text);
	for (len = strlen(cut); len; len--) {
		cut[len] = '\0';
		while (len && ((unsigned char)cut[len - 1] & 0xC0) == 0x80)
			cut[--len] = '\0'; /* never half a character */
		cairo_text_extents(cr, cut, &extents);
		if (extents.x_advance <= width)
			break;
	}
	if (len) {
		cairo_move_to(cr, x, y);
		cairo_show_text(cr, cut);
	}
}

static void draw_title(cairo_t *cr, const struct bmap_report *report)
{
	const struct bmap_map *map = report->map;
	char line[400], size[TEXT_ROOM], mapped[TEXT_ROOM];

	cairo_set_source_rgb(cr, 0.1, 0.1, 0.1);
	cairo_set_font_size(cr, 18);
	write_text_in(cr, LEFT, 36, COLUMNS, report->name);
	snprintf(line, sizeof(line), "%s, %s mapped (%.1f %%) in %zu range%s",
		 text_size(size, map->image_size_bytes), text_size(mapped, report->mapped_bytes),
		 100.0 * (double)report->mapped_bytes / (double)map->image_size_bytes,
		 map->range_count, map->range_count == 1 ? "" : "s");
	write_text(cr, LEFT, 62, 13, line);
}

/* What is mapped at all is seen, however little of a column it is. */
static double shade(uint64_t mapped, uint64_t size)
{
	return mapped ? 0.15 + 0.85 * (double)mapped / (double)size : 0;
}

/* Columns of one shade are one rectangle. */
static void draw_strip(cairo_t *cr, const struct bmap_map *map)
{
	uint64_t size = map->image_size_bytes, begin = 0;
	double run_shade = -1, run_begin = LEFT;

	for (int i = 0; i <= COLUMNS; i++) {
		uint64_t end = (uint64_t)((double)size / COLUMNS * (i + 1));
		double now = -1;

		if (i < COLUMNS) {
			end = i + 1 == COLUMNS || end > size ? size : end;
			/* An image of fewer bytes than columns has empty ones. */
			now = end > begin ? round(shade(bmap_mapped_between(map, begin, end),
							end - begin) *
						  32) /
						    32
					  : run_shade;
			begin = end;
		}
		if (now == run_shade)
			continue;
		if (run_shade >= 0) {
			cairo_set_source_rgb(cr, 0.93 - 0.80 * run_shade, 0.94 - 0.56 * run_shade,
					     0.95 - 0.30 * run_shade);
			cairo_rectangle(cr, run_begin, STRIP_TOP, LEFT + i - run_begin,
					STRIP_HEIGHT);
			cairo_fill(cr);
		}
		run_shade = now;
		run_begin = LEFT + i;
	}
	cairo_set_source_rgb(cr, 0.4, 0.4, 0.4);
	cairo_set_line_width(cr, 1);
	cairo_rectangle(cr, LEFT - 0.5, STRIP_TOP - 0.5, COLUMNS + 1, STRIP_HEIGHT + 1);
	cairo_stroke(cr);
}

static void draw_scale(cairo_t *cr, uint64_t size)
{
	cairo_text_extents_t extents;
	char text[TEXT_ROOM];

	cairo_set_source_rgb(cr, 0.3, 0.3, 0.3);
	cairo_set_font_size(cr, 11);
	for (unsigned i = 0; i <= TICKS; i++) {
		double x = LEFT + (double)COLUMNS * i / TICKS;

		text_size(text, size / TICKS * i + size % TICKS * i / TICKS);
		cairo_move_to(cr, x, STRIP_TOP + STRIP_HEIGHT + 1);
		cairo_line_to(cr, x, STRIP_TOP + STRIP_HEIGHT + 6);
		cairo_stroke(cr);
		cairo_text_extents(cr, text, &extents);
		cairo_move_to(cr, x - extents.x_advance / 2, STRIP_TOP + STRIP_HEIGHT + 20);
		cairo_show_text(cr, text);
	}
}

static void draw_part(cairo_t *cr, const struct bmap_report *report,
		      const struct bmap_device_part *part, size_t number)
{
	uint64_t size = report->map->image_size_bytes, end = part->offset_bytes + part->size_bytes;
	double left = x_of(part->offset_bytes, size), width = x_of(end, size) - left;
	char line[300], text[TEXT_ROOM];

	width = width < 1 ? 1 : width;
	cairo_set_source_rgb(cr, 0.98, 0.90, 0.75);
	cairo_rectangle(cr, left, PARTS_TOP, width, PARTS_HEIGHT);
	cairo_fill_preserve(cr);
	cairo_set_source_rgb(cr, 0.6, 0.45, 0.2);
	cairo_stroke(cr);
	if (width < MIN_LABEL_WIDTH)
		return;
	cairo_set_source_rgb(cr, 0.2, 0.15, 0.05);
	cairo_set_font_size(cr, 11);
	snprintf(line, sizeof(line), "%zu: %s%s%s", number, part->type ? part->type : "unknown",
		 part->label ? " " : "", part->label ? part->label : "");
	write_text_in(cr, left + 4, PARTS_TOP + 16, width - 8, line);
	snprintf(line, sizeof(line), "%s, %u %% mapped", text_size(text, part->size_bytes),
		 percent_of(bmap_mapped_between(report->map, part->offset_bytes, end),
			    part->size_bytes));
	write_text_in(cr, left + 4, PARTS_TOP + 32, width - 8, line);
}

static void draw(cairo_t *cr, const struct bmap_report *report)
{
	const struct bmap_device *image = report->image;

	cairo_set_source_rgb(cr, 1, 1, 1);
	cairo_paint(cr);
	cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
	draw_title(cr, report);
	draw_strip(cr, report->map);
	draw_scale(cr, report->map->image_size_bytes);
	for (size_t i = 0; image && i < image->part_count; i++)
		if (image->parts[i].size_bytes)
			draw_part(cr, report, &image->parts[i], i + 1);
	if (image && image->content && !image->part_count) {
		cairo_set_source_rgb(cr, 0.2, 0.15, 0.05);
		write_text(cr, LEFT, PARTS_TOP + 16, 12, image->content);
	}
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && !strcmp(text + len - end_len, end);
}

bool report_plot_check(const char *path, char *error)
{
	if (ends_with(path, ".svg") || ends_with(path, ".png"))
		return true;
	snprintf(error, REPORT_ERROR_ROOM, "--plot: '%.200s' ends neither in .svg nor in .png",
		 path);
	return false;
}

bool report_plot(const char *path, const struct bmap_report *report, struct bmap_error *err)
{
	struct memory memory = { 0 };
	bool png = ends_with(path, ".png"), good;
	cairo_surface_t *surface =
		png ? cairo_image_surface_create(CAIRO_FORMAT_RGB24, WIDTH, HEIGHT)
		    : cairo_svg_surface_create_for_stream(keep, &memory, WIDTH, HEIGHT);
	cairo_t *cr = cairo_create(surface);
	cairo_status_t status;

	draw(cr, report);
	status = cairo_status(cr);
	cairo_destroy(cr);
	if (png && status == CAIRO_STATUS_SUCCESS)
		status = cairo_surface_write_to_png_stream(surface, keep, &memory);
	cairo_surface_finish(surface);
	if (status == CAIRO_STATUS_SUCCESS)
		status = cairo_surface_status(surface);
	cairo_surface_destroy(surface);
	good = status == CAIRO_STATUS_SUCCESS;
	if (!good) {
		err->code = BMAP_ERR_MEMORY;
		snprintf(err->text, sizeof(err->text), "%.1000s: cannot draw the picture: %s", path,
			 cairo_status_to_string(status));
	}
	good = good && bmap_file_save(path, "the picture", memory.bytes, memory.len, err);
	free(memory.bytes);
	return good;
}
