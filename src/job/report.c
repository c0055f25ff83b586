/* SPDX-License-Identifier: MIT */
/* report.c - reads a bmap as far as it can be read. */
#include <bmap/report.h>

#include "base/cleanup.h"
#include "bmap/signature.h"
#include "bmap/spread.h"
#include "job/job_internal.h"
#include "source/url.h"

#include <stdlib.h>
#include <string.h>

/* Is the input a bmap itself? By its first bytes; of a compressed one, by its name. */
static bool is_bmap(const char *input, struct source *source)
{
	const char *slash = strrchr(input, '/');
	const char *head = (const char *)source->head;
	size_t i = 0;

	while (i < source->head_len && strchr(" \t\r\n", head[i]) && head[i])
		i++;
	return (i < source->head_len && head[i] == '<') || clearsigned(head, source->head_len) ||
	       strstr(slash ? slash + 1 : input, ".bmap");
}

static void take_findings(struct bmap_report *report, struct map_report *found,
			  struct bmap_map *map)
{
	const struct map_findings *findings = &found->findings;

	report->whole = map != NULL;
	report->map = map ? map : findings->partial;
	report->blocks_count = findings->blocks_count;
	report->signature = found->signature;
	report->signature_name = found->signature_name;
	report->own_checksum = findings->has_own_checksum ? BMAP_CHECK_UNKNOWN : BMAP_CHECK_ABSENT;
	if (findings->own_checksum_read)
		report->own_checksum =
			findings->own_checksum_good ? BMAP_CHECK_GOOD : BMAP_CHECK_BAD;
}

static bool measure(struct bmap_report *report, struct bmap_error *err)
{
	if (!report->map)
		return true;
	if (!spread_of_ranges(report->map, &report->ranges) ||
	    !spread_of_gaps(report->map, &report->gaps))
		return bmap_error_memory(err, report->name);
	report->mapped_bytes = report->ranges.total;
	return true;
}

/* The input is an image, or a bmap under a strange name: then what was looked for beside it is not
 * there, and its content tells. */
static bool read_of_image(const struct map_request *request, struct bmap_map **map, char **path,
			  struct bmap_error *err)
{
	struct map_request itself = *request;
	struct bmap_error second;

	if (map_find(request, map, path, err))
		return true;
	if (err->code != BMAP_ERR_NOT_FOUND || *path)
		return false;
	itself.bmap = request->image;
	if (map_find(&itself, map, path, &second))
		return true;
	/* What is compressed and holds a bmap says so; else the first answer is the better one. */
	if (request->report->findings.partial)
		*err = second;
	return false;
}

static bool read_map(const struct map_request *request, struct bmap_map **map, char **path,
		     struct bmap_error *err)
{
	struct source *source;
	bool good;

	if (request->bmap)
		return map_find(request, map, path, err);
	source = source_open_logged(request->image, request->stop, request->log, err);
	if (!source)
		return false;
	if (is_bmap(request->image, source)) {
		good = map_read(map, source, request->image, request, err);
		*path = take_ptr(source->name);
		source_close(source);
		return good;
	}
	source_close(source);
	return read_of_image(request, map, path, err);
}

/* Partitions are an extra: where they cannot be read, the map is reported without. */
static void look_into_image(const char *image, struct bmap_report *report)
{
	struct bmap_error ignored;

	if (!report->map || url_is_remote(image) || (report->name && !strcmp(report->name, image)))
		return;
	report->image = calloc(1, sizeof(*report->image));
	if (report->image && bmap_device_read_image(image, report->image, &ignored) &&
	    report->image->size_bytes == report->map->image_size_bytes)
		return;
	if (report->image)
		bmap_device_free(report->image);
	free(report->image);
	report->image = NULL;
}

bool bmap_report_read(const struct bmap_report_options *options, struct bmap_report *report,
		      struct bmap_error *err)
{
	struct map_report found = { .signature = BMAP_CHECK_ABSENT };
	CLEANUP_FREE char *image = NULL;
	struct map_request request = {
		.bmap = options->bmap,
		.signature = options->bmap_signature,
		.no_signature = options->no_signature,
		.keyring = options->keyring,
		.fingerprint = options->fingerprint,
		.stop = options->stop,
		.log = options->log,
		.report = &found,
	};
	struct bmap_map *map = NULL;
	struct bmap_error dummy, measured;
	bool good;

	if (!err)
		err = &dummy;
	*report = (struct bmap_report){ 0 };
	if (options->struct_size != sizeof(*options))
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "bmap_report: the options are of another library version");
	image = url_to_local(options->input, err);
	request.image = image;
	if (!image || !map_request_check(&request, false, err))
		return false;
	good = read_map(&request, &map, &report->name, err);
	take_findings(report, &found, map);
	look_into_image(image, report);
	if (!measure(report, &measured)) {
		*err = measured;
		return false;
	}
	return good;
}

void bmap_report_free(struct bmap_report *report)
{
	bmap_map_free(report->map);
	free(report->name);
	free(report->signature_name);
	if (report->image)
		bmap_device_free(report->image);
	free(report->image);
	*report = (struct bmap_report){ 0 };
}
