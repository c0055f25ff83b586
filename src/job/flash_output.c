/* SPDX-License-Identifier: MIT */
/* What a program wants to write beside a flash must not be what is flashed. */
#include <bmap/flash.h>

#include "base/cleanup.h"
#include "bmap/discovery.h"
#include "bmap/signature.h"
#include "source/url.h"
#include "target/safety.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct output {
	const char *path;
	struct footprint print; /* of what is there */
	char *place; /* malloc'ed: where it would be made; NULL: it is there, or has no folder */
};

/* The real path of a file that is not there yet, in a folder that is; malloc'ed. */
static char *place_of(const char *path)
{
	CLEANUP_FREE char *folder = NULL;
	const char *slash = strrchr(path, '/');
	char real[PATH_MAX], *place;
	struct stat st;

	if (!stat(path, &st))
		return NULL;
	folder = slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".");
	if (!folder || !realpath(folder, real) ||
	    asprintf(&place, "%s/%s", real, slash ? slash + 1 : path) < 0)
		return NULL;
	return place;
}

/* path NULL: nothing to compare with. */
static bool refuse_same(const struct output *output, const char *path, const char *what,
			struct bmap_error *err)
{
	CLEANUP_FREE char *place = NULL;
	struct footprint print = { 0 };

	if (!path)
		return true;
	footprint_add_path(&print, path);
	place = place_of(path);
	if (!footprints_share(&output->print, &print) &&
	    !(place && output->place && !strcmp(place, output->place)))
		return true;
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: it is, or lies on the same disk or file as, the %s "
			      "(%s), which would be destroyed; name another file",
			      output->path, what, path);
}

/* Local files; of a URL there is nothing here to be destroyed. */
static bool refuse_local(const struct output *output, const char *path, const char *what,
			 struct bmap_error *err)
{
	CLEANUP_FREE char *local = NULL;
	struct bmap_error ignored;

	if (!path || !strcmp(path, "-") || url_is_remote(path))
		return true;
	local = url_to_local(path, &ignored);
	return refuse_same(output, local, what, err);
}

/* The bmap, and where its signature is looked for. */
static bool refuse_bmap(const struct output *output, const char *bmap, struct bmap_error *err)
{
	bool good = refuse_local(output, bmap, "bmap", err);

	for (size_t i = 0; good && signature_endings[i] && strcmp(bmap, "-") != 0; i++) {
		CLEANUP_FREE char *name = signature_name(bmap, signature_endings[i]);

		good = refuse_local(output, name, "bmap's signature", err);
	}
	return good;
}

static bool check_bmap(const struct output *output, const struct bmap_flash_options *options,
		       struct bmap_error *err)
{
	CLEANUP_FREE char *image = NULL, *found = NULL;
	struct bmap_error ignored;

	if (options->no_bmap)
		return true;
	if (options->bmap)
		return refuse_bmap(output, options->bmap, err);
	if (!strcmp(options->image, "-") || url_is_remote(options->image))
		return true;
	image = url_to_local(options->image, &ignored);
	if (!image || !discover_local(image, &found, &ignored))
		return true;
	return refuse_bmap(output, found, err);
}

bool bmap_flash_check_output(const struct bmap_flash_options *options, const char *path,
			     struct bmap_error *err)
{
	struct output output = { .path = path };
	bool good;

	footprint_add_path(&output.print, path);
	output.place = place_of(path);
	good = refuse_local(&output, options->image, "image", err) &&
	       check_bmap(&output, options, err) &&
	       refuse_local(&output, options->bmap_signature, "bmap's signature", err) &&
	       refuse_local(&output, options->keyring, "keyring", err);
	for (size_t i = 0; good && i < options->target_count; i++)
		good = refuse_same(&output, options->targets[i], "target", err);
	free(output.place);
	return good;
}
