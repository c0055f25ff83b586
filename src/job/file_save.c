/* SPDX-License-Identifier: MIT */
#include <bmap/file.h>

#include "job/output_file.h"

#include <sys/stat.h>

/* Only a regular file can appear whole. */
static bool refuse_others(const char *path, const char *what, struct bmap_error *err)
{
	struct stat st;

	if (!*path)
		return bmap_error_set(err, BMAP_ERR_USAGE, "%s: its file has no name", what);
	if (stat(path, &st) || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return true;
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: is no regular file: %s cannot be written to it whole or not at "
			      "all; name a file",
			      path, what);
}

bool bmap_file_save(const char *path, const char *what, const void *data, size_t len,
		    struct bmap_error *err)
{
	struct output_file out;
	bool good;

	if (!refuse_others(path, what, err) || !output_file_open(&out, path, what, NULL, err))
		return false;
	good = output_file_write(&out, data, len, err) && output_file_commit(&out, err);
	output_file_discard(&out);
	return good;
}

bool bmap_file_save_check(const char *path, const char *what, struct bmap_error *err)
{
	return refuse_others(path, what, err) && output_file_check(path, what, err);
}
