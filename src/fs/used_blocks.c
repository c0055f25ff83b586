/* SPDX-License-Identifier: MIT */
#include "fs/used_blocks.h"
#include "base/checked.h"
#include "base/units.h"
#include "fs/fs_internal.h"

#include <blkid/blkid.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR_BYTES 512u /* what libblkid counts partitions in */
#define MAX_PARTS 1024 /* a GPT may name more; then the disk is taken whole */
/* Boot loaders and their settings lie between partitions, too, not only in front of them. */
#define KEPT_GAP_BYTES (16u * (uint64_t)MIB)
/* The entries of a GPT lie close to its header: 16 KiB of them as a rule. */
#define GPT_BYTES (uint64_t) MIB

struct part {
	uint64_t begin, end; /* bytes of the disk */
	bool is_extended; /* holds others, and tables between them */
	int number;
};

struct search {
	struct used_spans *spans;
	struct fs_volume disk;
	const struct bmap_log *log;
	struct part *parts;
	size_t count;
	struct bmap_error *err;
};

static bool look_at_disk(struct search *search);
static int compare_spans(const void *a, const void *b);

bool used_blocks_find(struct used_spans *spans, int fd, const char *name, uint64_t size_bytes,
		      const struct bmap_log *log, struct bmap_error *err)
{
	struct search search = {
		.spans = spans,
		.disk = { .name = name, .fd = fd, .size_bytes = size_bytes },
		.log = log,
		.err = err,
	};
	bool good;

	*spans = (struct used_spans){ 0 };
	good = look_at_disk(&search);
	free(search.parts);
	if (!good)
		used_spans_free(spans);
	else if (spans->count)
		qsort(spans->items, spans->count, sizeof(*spans->items), compare_spans);
	return good;
}

static int compare_spans(const void *a, const void *b)
{
	const struct used_span *x = a, *y = b;

	return x->begin_bytes < y->begin_bytes ? -1 : x->begin_bytes > y->begin_bytes;
}

static bool add(struct search *search, uint64_t begin, uint64_t end)
{
	return fs_add(&search->disk, search->spans, begin, end, search->err);
}

/* number 0: the disk has no partitions. why: "holds ...", "was not ..." */
static bool take_whole(struct search *search, const struct fs_volume *volume, int number,
		       const char *why)
{
	char size[SIZE_TEXT_BYTES], what[32] = "what is on it";

	if (number)
		snprintf(what, sizeof(what), "partition %d", number);
	log_info(search->log, "%s: %s (%s) is mapped as a whole: it %s", search->disk.name, what,
		 size_text(volume->size_bytes, size), why);
	return add(search, volume->begin_bytes, volume->begin_bytes + volume->size_bytes);
}

/* The type of what is at volume, "" if there is nothing that is known. False: several. */
static bool probe_type(const struct fs_volume *volume, char *type, size_t room)
{
	blkid_probe probe = blkid_new_probe();
	const char *data = NULL;
	size_t len = 0;
	int rc = -1;

	*type = '\0';
	if (probe &&
	    !blkid_probe_set_device(probe, volume->fd, (blkid_loff_t)volume->begin_bytes,
				    (blkid_loff_t)volume->size_bytes) &&
	    !blkid_probe_enable_superblocks(probe, 1) &&
	    !blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE))
		rc = blkid_do_safeprobe(probe);
	if (rc == 0 && !blkid_probe_lookup_value(probe, "TYPE", &data, &len))
		snprintf(type, room, "%.*s", (int)min_u64(len, room - 1), data);
	blkid_free_probe(probe);
	return rc >= 0;
}

static bool look_at_volume(struct search *search, const struct fs_volume *volume, int number)
{
	static const struct {
		const char *type;
		fs_reader *reader;
	} readers[] = {
		{ "ext2", ext_used },
		{ "ext3", ext_used },
		{ "ext4", ext_used },
		{ "vfat", fat_used },
	};
	char type[32], why[FS_WHY_BYTES];
	enum fs_verdict verdict;
	size_t i = 0;

	if (!probe_type(volume, type, sizeof(type)))
		return take_whole(search, volume, number,
				  "cannot be told from its contents, which several fit");
	while (i < ARRAY_LEN(readers) && strcmp(readers[i].type, type) != 0)
		i++;
	if (i == ARRAY_LEN(readers)) {
		snprintf(why, sizeof(why), "holds %s", *type ? type : "nothing that is known");
		return take_whole(search, volume, number, why);
	}
	verdict = readers[i].reader(volume, search->spans, why, search->err);
	return verdict == FS_FOUND ||
	       (verdict == FS_WHOLE && take_whole(search, volume, number, why));
}

static int compare_parts(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* What of a table lies beyond the disk is left out: an image may be cut short. */
static void take_part(struct search *search, blkid_partition entry)
{
	uint64_t start = (uint64_t)blkid_partition_get_start(entry), begin, end;
	uint64_t len = (uint64_t)blkid_partition_get_size(entry);

	if (!checked_mul(start, SECTOR_BYTES, &begin) || !checked_mul(len, SECTOR_BYTES, &len) ||
	    !checked_add(begin, len, &end))
		end = UINT64_MAX;
	end = min_u64(end, search->disk.size_bytes);
	if (begin < end)
		search->parts[search->count++] = (struct part){
			.begin = begin,
			.end = end,
			.is_extended = blkid_partition_is_extended(entry),
			.number = blkid_partition_get_partno(entry),
		};
}

/* Is there a file system on the whole disk beside the table, or are there several tables? */
static bool is_ambiguous(blkid_probe probe)
{
	int rc = blkid_do_safeprobe(probe);

	return rc < 0 || (rc == 0 && blkid_probe_has_value(probe, "TYPE"));
}

/* The disk's partitions, by their begin; none if it has no table. *whole: it has one, but the disk
 * has to be taken whole. */
static bool read_parts(struct search *search, bool *whole)
{
	blkid_probe probe = blkid_new_probe();
	blkid_partlist table = NULL;
	bool ambiguous = false, good = true;
	int count = 0;

	if (probe &&
	    !blkid_probe_set_device(probe, search->disk.fd, 0,
				    (blkid_loff_t)search->disk.size_bytes) &&
	    !blkid_probe_enable_superblocks(probe, 1) &&
	    !blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE) &&
	    !blkid_probe_enable_partitions(probe, 1)) {
		ambiguous = is_ambiguous(probe);
		table = blkid_probe_get_partitions(probe);
	}
	if (table)
		count = blkid_partlist_numof_partitions(table);
	*whole = count > MAX_PARTS || (count > 0 && ambiguous);
	if (count > 0 && !*whole) {
		search->parts = calloc((size_t)count, sizeof(*search->parts));
		if (!search->parts)
			good = bmap_error_memory(search->err, search->disk.name);
		for (int i = 0; good && i < count; i++)
			take_part(search, blkid_partlist_get_partition(table, i));
	}
	blkid_free_probe(probe);
	if (search->count)
		qsort(search->parts, search->count, sizeof(*search->parts), compare_parts);
	return good;
}

/* Where the extended partition ends that offset lies in; 0: in none. */
static uint64_t extended_end(const struct search *search, uint64_t offset)
{
	for (size_t i = 0; i < search->count; i++)
		if (search->parts[i].is_extended && offset >= search->parts[i].begin &&
		    offset < search->parts[i].end)
			return search->parts[i].end;
	return 0;
}

/* What no partition holds. Each logical one has a table of its own, anywhere in the extended one.
 */
static bool look_at_gap(struct search *search, uint64_t begin, uint64_t end)
{
	uint64_t tables_end = min_u64(extended_end(search, begin), end);
	char size[SIZE_TEXT_BYTES];

	if (begin < tables_end) {
		if (!add(search, begin, tables_end))
			return false;
		begin = tables_end;
	}
	if (begin >= end)
		return true;
	if (end - begin <= KEPT_GAP_BYTES)
		return add(search, begin, end);
	log_info(search->log, "%s: no partition is at offset %" PRIu64 ": %s are not mapped",
		 search->disk.name, begin, size_text(end - begin, size));
	return true;
}

/* The second one is at the disk's end, but not where the image of a smaller disk was written to a
 * larger one. sector: of the disk, which is not known of an image. */
static bool add_gpt(struct search *search, uint32_t sector)
{
	uint64_t other = 0, begin;
	uint8_t header[40];

	if (search->disk.size_bytes < 2 * sector)
		return true;
	if (!fs_read(&search->disk, sector, header, sizeof(header), search->err))
		return false;
	if (memcmp(header, "EFI PART", 8) != 0)
		return true;
	for (size_t i = 0; i < 8; i++)
		other |= (uint64_t)header[32 + i] << 8 * i;
	if (!checked_mul(other, sector, &begin) || begin >= search->disk.size_bytes)
		return true;
	return add(search, begin - min_u64(begin, GPT_BYTES), begin + sector);
}

static bool look_at_parts(struct search *search)
{
	uint64_t at = search->parts[0].begin;

	if (!add(search, 0, at) || !add_gpt(search, 512) || !add_gpt(search, 4096))
		return false;
	for (size_t i = 0; i < search->count; i++) {
		const struct part *part = &search->parts[i];
		struct fs_volume volume = search->disk;

		if (part->is_extended) { /* what of it is in no other is a gap */
			if (!look_at_gap(search, at, part->begin))
				return false;
			at = max_u64(at, part->begin);
			continue;
		}
		volume.begin_bytes = part->begin;
		volume.size_bytes = part->end - part->begin;
		if (!look_at_gap(search, at, part->begin) ||
		    !look_at_volume(search, &volume, part->number))
			return false;
		at = max_u64(at, part->end);
	}
	return look_at_gap(search, at, search->disk.size_bytes);
}

static bool look_at_disk(struct search *search)
{
	bool whole;

	if (!read_parts(search, &whole))
		return false;
	if (whole)
		return take_whole(search, &search->disk, 0,
				  "has a table of partitions beside something else, or too many");
	return search->count ? look_at_parts(search) : look_at_volume(search, &search->disk, 0);
}
