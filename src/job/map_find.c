/* SPDX-License-Identifier: MIT */
/* Where the bmap of an image is: as named, beside it in its folder, or beside it on its server. */
#include "base/cleanup.h"
#include "bmap/discovery.h"
#include "job/job_internal.h"
#include "source/url.h"

#include <stdio.h>
#include <string.h>

static struct source *open_beside_url(const struct map_request *request, char **opened,
				      struct bmap_error *err);
static bool read_and_close(struct source *source, const char *opened,
			   const struct map_request *request, struct bmap_map **map, char **path,
			   struct bmap_error *err);

bool map_find(const struct map_request *request, struct bmap_map **map, char **path,
	      struct bmap_error *err)
{
	CLEANUP_FREE char *found = NULL;
	const char *opened;
	struct source *source;

	*map = NULL;
	*path = NULL;
	if (!request->bmap && url_is_remote(request->image)) {
		source = open_beside_url(request, &found, err);
		if (source)
			log_info(request->log, "discovered bmap file '%s'", source->name);
		return source && read_and_close(source, found, request, map, path, err);
	}
	if (!request->bmap) {
		if (!discover_local(request->image, &found, err))
			return false;
		log_info(request->log, "discovered bmap file '%s'", found);
	}
	opened = found ? found : request->bmap;
	source = source_open_logged(opened, request->stop, request->log, err);
	return source && read_and_close(source, opened, request, map, path, err);
}

bool bmap_map_discover(const char *image, char **path, struct bmap_error *err)
{
	const struct map_request request = { .image = image };
	CLEANUP_FREE char *local = url_to_local(image, err);
	CLEANUP_FREE char *opened = NULL;
	struct source *source;

	*path = NULL;
	if (!local)
		return false;
	if (!url_is_remote(image))
		return discover_local(local, path, err);
	source = open_beside_url(&request, &opened, err);
	if (!source)
		return false;
	*path = take_ptr(source->name);
	source_close(source);
	return true;
}

static bool read_and_close(struct source *source, const char *opened,
			   const struct map_request *request, struct bmap_map **map, char **path,
			   struct bmap_error *err)
{
	bool good = map_read(map, source, opened, request, err);

	*path = take_ptr(source->name);
	source_close(source);
	return good;
}

/* Only that there is no such file leads on to the next name: everything else is said. *opened is
 * malloc'ed: the name that was found, with all that the image's has. */
static struct source *open_beside_url(const struct map_request *request, char **opened,
				      struct bmap_error *err)
{
	CLEANUP_FREE char *stem = NULL, *shown = url_display(request->image);
	struct bmap_error failed = { 0 };
	struct url url;

	if (!url_parse(&url, request->image, err))
		return NULL;
	if (!url.path.len) { /* the names would be other hosts' */
		bmap_error_set(err, BMAP_ERR_NOT_FOUND, "%s: names no file", shown ? shown : "URL");
		return NULL;
	}
	stem = strndup(request->image, (size_t)(url.tail.at - request->image));
	if (!stem || !shown) {
		bmap_error_memory(err, "bmap");
		return NULL;
	}
	do {
		CLEANUP_FREE char *candidate = NULL;
		struct source *source;

		if (asprintf(&candidate, "%s.bmap%s", stem, url.tail.at) < 0) {
			candidate = NULL;
			bmap_error_memory(err, shown);
			return NULL;
		}
		source = source_open_logged(candidate, request->stop, request->log, &failed);
		if (source) {
			*opened = take_ptr(candidate);
			return source;
		}
	} while (failed.code == BMAP_ERR_NOT_FOUND &&
		 discover_drop_extension(stem + (url.path.at - request->image)));
	if (failed.code == BMAP_ERR_NOT_FOUND)
		bmap_error_set(
			err, BMAP_ERR_NOT_FOUND,
			"%s: no bmap file found beside it (the last name tried: %.700s); name "
			"one with --bmap, or copy the whole image with --nobmap",
			shown, failed.text);
	else if (err)
		*err = failed;
	return NULL;
}
