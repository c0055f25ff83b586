/* SPDX-License-Identifier: MIT */
#include "bmap/discovery.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".bmap"

static bool is_there(const char *path, bool *there, struct bmap_error *err);
static void tried_add(char *tried, size_t size, const char *path);

bool discover_local(const char *image, char **path, struct bmap_error *err)
{
	char tried[768] = "";
	CLEANUP_FREE char *stem = strdup(image);
	bool there = false;

	*path = NULL;
	if (!stem)
		return bmap_error_memory(err, image);
	do {
		CLEANUP_FREE char *candidate = NULL;

		if (asprintf(&candidate, "%s%s", stem, SUFFIX) < 0) {
			candidate = NULL;
			return bmap_error_memory(err, image);
		}
		if (!is_there(candidate, &there, err))
			return false;
		if (there) {
			*path = take_ptr(candidate);
			return true;
		}
		tried_add(tried, sizeof(tried), candidate);
	} while (discover_drop_extension(stem));
	return bmap_error_set(err, BMAP_ERR_NOT_FOUND,
			      "%s: no bmap file found beside it (looked for %s): name one with "
			      "--bmap (\"copy --nobmap\" needs none)",
			      image, tried);
}

/* A file that cannot be opened is there all the same: opening it says why not. */
static bool is_there(const char *path, bool *there, struct bmap_error *err)
{
	struct stat st;

	*there = false;
	if (stat(path, &st) == 0) {
		*there = !S_ISDIR(st.st_mode);
		return true;
	}
	if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG)
		return true;
	return bmap_error_errno(err, "%s: cannot see whether this bmap file exists", path);
}

bool discover_drop_extension(char *path)
{
	char *name = strrchr(path, '/');
	char *dot;

	name = name ? name + 1 : path;
	dot = strrchr(name, '.');
	if (!dot || dot == name)
		return false;
	*dot = '\0';
	return true;
}

static void tried_add(char *tried, size_t size, const char *path)
{
	size_t len = strlen(tried);
	const char *name = strrchr(path, '/');

	snprintf(tried + len, size - len, "%s%s", len ? ", " : "", name ? name + 1 : path);
}
