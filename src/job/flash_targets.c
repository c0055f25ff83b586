/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "bmap/discovery.h"
#include "job/flash_internal.h"
#include "source/url.h"
#include "target/devices.h"
#include "target/safety.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNIFF_BYTES 4096u

void flash_target_failed(struct flash *flash, struct flash_target *target,
			 const struct bmap_error *err)
{
	struct bmap_target_report *report = target->report;

	if (report->state == BMAP_TARGET_DONE || report->state == BMAP_TARGET_FAILED ||
	    report->state == BMAP_TARGET_INTERRUPTED)
		return;
	*target->error = *err;
	report->error = target->error;
	report->state =
		err->code == BMAP_ERR_INTERRUPTED ? BMAP_TARGET_INTERRUPTED : BMAP_TARGET_FAILED;
	report->ended_ns = clock_now_ns() - flash->began_ns;
}

size_t flash_count_in_state(const struct flash *flash, enum bmap_target_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < flash->options->target_count; i++)
		count += flash->targets[i].report->state == state;
	return count;
}

/* --- who was named twice --- */

/* By what they are before any is opened: the second open of a device would only say that it is in
 * use, by ourselves. Files that do not exist yet are compared when they are open. */
static bool refuse_named_twice(const struct flash *flash, struct bmap_error *err)
{
	const char *const *paths = flash->options->targets;
	size_t count = flash->options->target_count;
	struct footprint *prints = calloc(count, sizeof(*prints));
	bool good = true;

	if (!prints)
		return bmap_error_memory(err, "targets");
	for (size_t i = 0; good && i < count; i++) {
		struct stat st = { 0 };

		/* "-" is standard input to footprint_add_path(), and a file's name here. */
		if (strcmp(paths[i], "-") && !stat(paths[i], &st) && !S_ISCHR(st.st_mode))
			footprint_add_path(&prints[i], paths[i]);
		for (size_t j = 0; good && j < i; j++)
			if (footprints_share(&prints[i], &prints[j]))
				good = bmap_error_set(err, BMAP_ERR_REFUSED,
						      "%s and %s are the same %s: name each once",
						      paths[j], paths[i],
						      S_ISREG(st.st_mode) ? "file" : "disk");
	}
	free(prints);
	return good;
}

static bool refuse_same_file(const struct flash *flash, size_t i, struct bmap_error *err)
{
	const struct target *target = &flash->targets[i].target;

	for (size_t j = 0; j < i; j++)
		if (flash->targets[j].open && target->kind == TARGET_REGULAR_FILE &&
		    flash->targets[j].target.kind == TARGET_REGULAR_FILE &&
		    target_same_device(target, &flash->targets[j].target))
			return bmap_error_set(err, BMAP_ERR_REFUSED,
					      "%s and %s are the same file: name each once",
					      flash->options->targets[j], target->name);
	return true;
}

static bool has_bmap_text(const char *path)
{
	char head[SNIFF_BYTES];
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? pread(fd, head, sizeof(head), 0) : 0;

	return n > 0 && memmem(head, (size_t)n, "<bmap", 5);
}

/* "disk.bmap", "disk.bmap.gz" */
static bool has_bmap_name(const char *path)
{
	CLEANUP_FREE char *stem = strdup(path);
	const char *end = strrchr(path, '.');

	if (!stem || (end && !strcmp(end, ".bmap")))
		return stem;
	end = discover_drop_extension(stem) ? strrchr(stem, '.') : NULL;
	return end && !strcmp(end, ".bmap");
}

/* Also a compressed one. */
static bool is_bmap(const char *path)
{
	struct bmap_map *map = NULL;
	struct bmap_error ignored;
	bool is = has_bmap_text(path);

	/* Those would be read from elsewhere than the file of this name. */
	if (is || !strcmp(path, "-") || url_is_remote(path))
		return is;
	is = bmap_map_load(&map, path, &ignored);
	bmap_map_free(map);
	return is;
}

/* A map among several targets was meant as the image's: with one target there was no place for it.
 * By its name, too, as a mistyped one is not there. */
static bool refuse_bmap_as_target(const char *path, struct bmap_error *err)
{
	struct stat st;
	bool there = !stat(path, &st);

	if (there && (!S_ISREG(st.st_mode) || !is_bmap(path)))
		return true;
	if (!there && !has_bmap_name(path))
		return true;
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: this is %sa bmap file, not a target: name the bmap with --bmap",
			      path, there ? "" : "the name of ");
}

/* --- opening --- */

/* Also of a target that is refused: the report says what it was. */
static void read_facts(struct flash_target *target, const char *path)
{
	struct stat st;

	if (!target->open && (stat(path, &st) || !S_ISBLK(st.st_mode)))
		return;
	if (target->open && target->target.kind != TARGET_BLOCK_DEVICE)
		return;
	if (!device_facts_read(&device_places_system,
			       target->open ? target->target.device : st.st_rdev, target->device,
			       NULL))
		return;
	target->report->device = target->device;
	target->report->size_bytes = target->device->size_bytes;
}

static bool refuse_not_readable(const struct target *target, struct bmap_error *err)
{
	int flags = target->fd >= 0 ? fcntl(target->fd, F_GETFL) : O_RDWR;

	if (target->kind == TARGET_CHARACTER_DEVICE || (flags & O_ACCMODE) == O_RDWR)
		return true;
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: refused: there is no permission to read it, so it cannot be "
			      "read back: get it, or take --no-read-back",
			      target->name);
}

static void open_one(struct flash *flash, size_t i, const struct target_rules *rules,
		     struct bmap_error *first)
{
	const struct bmap_log *log = flash->options->log;
	struct flash_target *target = &flash->targets[i];
	const char *path = flash->options->targets[i];
	struct bmap_error err;

	target->report->begun_ns = clock_now_ns() - flash->began_ns;
	target->open = target_open(&target->target, path, rules, log, &err);
	read_facts(target, path);
	if (target->open) {
		if (target->target.has_size)
			target->report->size_bytes = target->target.size_bytes;
		if (flash_expect_target(&flash->options->expect, &target->target, target->device,
					&err) &&
		    (!flash->read_back || refuse_not_readable(&target->target, &err)))
			return;
		target_end(&target->target, false, 0, log, NULL);
		target->open = false;
	}
	flash_target_failed(flash, target, &err);
	if (first->code == BMAP_ERR_NONE)
		*first = err;
}

bool flash_open_targets(struct flash *flash, struct bmap_error *err)
{
	const struct bmap_flash_options *options = flash->options;
	const struct image_stream *stream = &flash->pass.stream;
	const char *sources[] = { stream->image, stream->bmap_path, options->bmap_signature,
				  options->keyring };
	const struct target_rules rules = {
		.image_size_bytes = stream->plan.image_size_bytes,
		.removable_only = options->removable_only,
		.allow_dev_files = options->allow_dev_files,
		.sources = sources,
		.source_count = ARRAY_LEN(sources),
	};
	struct bmap_error first = { 0 };
	size_t open = 0;

	if (options->target_count > 1 && !refuse_named_twice(flash, err))
		return false;
	for (size_t i = 0; options->target_count > 1 && i < options->target_count; i++)
		if (!refuse_bmap_as_target(options->targets[i], err))
			return false;
	for (size_t i = 0; i < options->target_count; i++) {
		open_one(flash, i, &rules, &first);
		open += flash->targets[i].open;
		if (flash->targets[i].open && !refuse_same_file(flash, i, err))
			return false;
	}
	if (!open) {
		*err = first;
		return false;
	}
	return flash_expect_count(flash, err);
}

size_t flash_begin_targets(struct flash *flash)
{
	size_t begun = 0;

	for (size_t i = 0; i < flash->options->target_count; i++) {
		struct flash_target *target = &flash->targets[i];
		enum bmap_target_state state = target->report->state;
		struct bmap_error err;

		if (state != BMAP_TARGET_WAITING && state != BMAP_TARGET_DETACHED)
			continue;
		if (target->target.begun ||
		    target_begin(&target->target, flash->pass.stream.plan.image_size_bytes,
				 flash->options->log, &err))
			begun++;
		else
			flash_target_failed(flash, target, &err);
	}
	return begun;
}
