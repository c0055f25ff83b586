/* SPDX-License-Identifier: MIT */
#include "cli/list.h"
#include "cli/text.h"

#include <stdarg.h>
#include <string.h>

#define COLUMNS 6 /* and what is to be said about it as a target, the last one */
#define CELL_ROOM LIST_CONTENT_ROOM

/* A longer text moves the rest of its line: better than to be cut off, or to move all lines. Only
 * of a model (of a loop device the path of its file) the end has to do. */
static const unsigned widest[COLUMNS] = { 24, 12, 16, 32, 24, 44 };

struct row {
	char cells[COLUMNS][CELL_ROOM];
	const char *verdict;
};

/* Room for text that is too long ends with it: what is a number of parts is bounded by nobody. */
static void append(char text[LIST_CONTENT_ROOM], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void append(char text[LIST_CONTENT_ROOM], const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + len, LIST_CONTENT_ROOM - len, fmt, args);
	va_end(args);
}

static void add_file_system(char text[LIST_CONTENT_ROOM], const char *type, const char *label,
			    const char *mounted_at)
{
	append(text, "%.32s", type ? type : "?");
	if (label)
		append(text, " %.64s", label);
	if (mounted_at)
		append(text, " (mounted at %.96s)", mounted_at);
}

void list_content(const struct bmap_device *device, char text[LIST_CONTENT_ROOM])
{
	text[0] = '\0';
	if (device->content || device->mounted_at)
		add_file_system(text, device->content, device->label, device->mounted_at);
	for (size_t i = 0; i < device->part_count; i++) {
		const struct bmap_device_part *part = &device->parts[i];

		if (strlen(text) > LIST_CONTENT_ROOM / 2) {
			append(text, ", %zu more", device->part_count - i);
			break;
		}
		append(text, "%s", i ? ", " : text[0] ? ": " : "");
		add_file_system(text, part->type, part->label, part->mounted_at);
	}
}

static void fill(struct row *row, const struct bmap_device *device)
{
	const char *vendor = device->vendor ? device->vendor : "";
	const char *model = device->model ? device->model : "";
	char size[TEXT_ROOM], name[CELL_ROOM];

	snprintf(row->cells[0], CELL_ROOM, "%s", device->path);
	snprintf(row->cells[1], CELL_ROOM, "%s",
		 device->size_bytes ? text_size(size, device->size_bytes) : "");
	snprintf(row->cells[2], CELL_ROOM, "%s%s%s", device->transport ? device->transport : "",
		 device->usb_path ? " " : "", device->usb_path ? device->usb_path : "");
	snprintf(name, sizeof(name), "%s%s%s", vendor, *vendor && *model ? " " : "", model);
	text_tail(row->cells[3], widest[3], name);
	snprintf(row->cells[4], CELL_ROOM, "%s", device->serial ? device->serial : "");
	list_content(device, row->cells[5]);
	row->verdict = device->refusal ? device->refusal : "ok";
}

/* Characters, not bytes; those of double width are not known here. */
static unsigned width_of(const char *text)
{
	unsigned width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void widen(unsigned widths[COLUMNS], const struct row *row)
{
	for (int i = 0; i < COLUMNS; i++) {
		unsigned width = width_of(row->cells[i]);

		width = width > widest[i] ? widest[i] : width;
		widths[i] = width > widths[i] ? width : widths[i];
	}
}

static void print(FILE *to, const struct row *row, const unsigned widths[COLUMNS])
{
	for (int i = 0; i < COLUMNS; i++) {
		unsigned width = width_of(row->cells[i]);

		fprintf(to, "%s%*s", row->cells[i],
			(int)(width < widths[i] ? widths[i] - width : 0) + 2, "");
	}
	fprintf(to, "%s\n", row->verdict);
}

void list_text(FILE *to, const struct bmap_device_list *list)
{
	static const struct row titles = {
		{ "DEVICE", "SIZE", "TRANSPORT", "MODEL", "SERIAL", "CONTENT" }, "AS A TARGET"
	};
	unsigned widths[COLUMNS] = { 0 };
	struct row row;

	widen(widths, &titles);
	for (size_t i = 0; i < list->count; i++) {
		fill(&row, &list->devices[i]);
		widen(widths, &row);
	}
	print(to, &titles, widths);
	for (size_t i = 0; i < list->count; i++) {
		fill(&row, &list->devices[i]);
		print(to, &row, widths);
	}
}
