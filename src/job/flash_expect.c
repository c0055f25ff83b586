/* SPDX-License-Identifier: MIT */
/* What belongs on the line, and what does not. */
#include "base/units.h"
#include "job/flash_internal.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool flash_expect_sane(const struct bmap_expect *expect, struct bmap_error *err)
{
	if (!expect->most_bytes || expect->least_bytes <= expect->most_bytes)
		return true;
	return bmap_error_set(err, BMAP_ERR_USAGE,
			      "a target of at least %" PRIu64 " and at most %" PRIu64
			      " bytes was asked for: there is none",
			      expect->least_bytes, expect->most_bytes);
}

static bool size_fits(const struct bmap_expect *expect, uint64_t bytes)
{
	return bytes >= expect->least_bytes && (!expect->most_bytes || bytes <= expect->most_bytes);
}

/* "4096 to 8192 (4.0 KiB to 8.0 KiB)" */
static void describe_sizes(const struct bmap_expect *expect, char *text, size_t size)
{
	char least[SIZE_TEXT_BYTES], most[SIZE_TEXT_BYTES];

	size_text(expect->least_bytes, least);
	size_text(expect->most_bytes, most);
	if (!expect->most_bytes)
		snprintf(text, size, "at least %" PRIu64 " (%s)", expect->least_bytes, least);
	else if (!expect->least_bytes)
		snprintf(text, size, "at most %" PRIu64 " (%s)", expect->most_bytes, most);
	else if (expect->least_bytes == expect->most_bytes)
		snprintf(text, size, "%" PRIu64 " (%s)", expect->most_bytes, most);
	else
		snprintf(text, size, "%" PRIu64 " to %" PRIu64 " (%s to %s)", expect->least_bytes,
			 expect->most_bytes, least, most);
}

static bool expect_size(const struct bmap_expect *expect, const struct target *target,
			struct bmap_error *err)
{
	char wanted[160], found[SIZE_TEXT_BYTES];

	if (!expect->least_bytes && !expect->most_bytes)
		return true;
	describe_sizes(expect, wanted, sizeof(wanted));
	if (!target->has_size)
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: refused: it is no block device, and one of %s bytes is "
				      "expected",
				      target->name, wanted);
	if (size_fits(expect, target->size_bytes))
		return true;
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: it has %" PRIu64 " bytes (%s), expected are %s: is it "
			      "the right device?",
			      target->name, target->size_bytes,
			      size_text(target->size_bytes, found), wanted);
}

static bool model_fits(const char *pattern, const char *vendor, const char *model)
{
	char *both = NULL;
	bool fits = !fnmatch(pattern, model, FNM_CASEFOLD);

	if (fits || !vendor || asprintf(&both, "%s %s", vendor, model) < 0)
		return fits;
	fits = !fnmatch(pattern, both, FNM_CASEFOLD);
	free(both);
	return fits;
}

static bool expect_model(const char *pattern, const struct target *target,
			 const struct bmap_device *device, struct bmap_error *err)
{
	if (!pattern)
		return true;
	if (!device || !device->model)
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: refused: it names no model, and '%s' is expected",
				      target->name, pattern);
	if (model_fits(pattern, device->vendor, device->model))
		return true;
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: its model is '%s%s%s', expected is '%s': is it the "
			      "right device?",
			      target->name, device->vendor ? device->vendor : "",
			      device->vendor ? " " : "", device->model, pattern);
}

bool flash_expect_target(const struct bmap_expect *expect, const struct target *target,
			 const struct bmap_device *device, struct bmap_error *err)
{
	return expect_size(expect, target, err) && expect_model(expect->model, target, device, err);
}

bool flash_expect_count(const struct flash *flash, struct bmap_error *err)
{
	unsigned expected = flash->options->expect.count;
	size_t open = 0;

	if (!expected)
		return true;
	for (size_t i = 0; i < flash->options->target_count; i++)
		open += flash->targets[i].open;
	if (open == expected)
		return true;
	return bmap_error_set(
		err, BMAP_ERR_REFUSED,
		"%zu target%s can be written, but %u %s expected: nothing was written", open,
		open == 1 ? "" : "s", expected, expected == 1 ? "is" : "are");
}
