/* SPDX-License-Identifier: MIT */
/* FAT12, FAT16, FAT32, as Microsoft's "FAT: General Overview of On-Disk Format" 1.03 says, and
 * where that leaves it open as Linux reads them. */
#include "base/checked.h"
#include "fs/fs_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define BOOT_BYTES 512u
/* Of the table at once: a multiple of 3, as FAT12 has two entries in three bytes. */
#define CHUNK_BYTES (48u * KIB)

/* The boot sector's numbers, and what follows from them. */
struct fat {
	uint32_t sector_bytes;
	uint64_t cluster_bytes;
	unsigned bits; /* of an entry: 12, 16, 32 */
	uint64_t table_begin; /* of the one in use: bytes, as are all below */
	uint64_t data_begin; /* cluster 2 */
	uint64_t clusters; /* numbers 2..clusters + 1 */
};

static enum fs_verdict read_boot(struct fat *fat, const uint8_t *boot, uint64_t size_bytes,
				 char *why);
static enum fs_verdict read_table(const struct fat *fat, const struct fs_volume *volume,
				  struct used_spans *spans, char *why, struct bmap_error *err);

enum fs_verdict fat_used(const struct fs_volume *volume, struct used_spans *spans,
			 char why[FS_WHY_BYTES], struct bmap_error *err)
{
	uint8_t boot[BOOT_BYTES];
	struct fat fat = { 0 };
	enum fs_verdict verdict;
	uint64_t end;

	if (volume->size_bytes < sizeof(boot))
		return fs_whole(why, "is too small for FAT");
	if (!fs_read(volume, 0, boot, sizeof(boot), err))
		return FS_FAILED;
	verdict = read_boot(&fat, boot, volume->size_bytes, why);
	if (verdict != FS_FOUND)
		return verdict;
	if (!fs_add(volume, spans, 0, fat.data_begin, err))
		return FS_FAILED;
	verdict = read_table(&fat, volume, spans, why, err);
	if (verdict != FS_FOUND)
		return verdict;
	end = fat.data_begin + fat.clusters * fat.cluster_bytes;
	return fs_add(volume, spans, end, volume->size_bytes, err) ? FS_FOUND : FS_FAILED;
}

static uint32_t get16(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8;
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) | get16(at + 2) << 16;
}

static bool is_power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

/* No sum overflows: sectors have 32 bits, and there are at most 255 tables. */
static enum fs_verdict read_boot(struct fat *fat, const uint8_t *boot, uint64_t size_bytes,
				 char *why)
{
	uint32_t sector = get16(boot + 11), per_cluster = boot[13], reserved = get16(boot + 14);
	uint32_t tables = boot[16], root_entries = get16(boot + 17), active = 0;
	bool is_32 = get16(boot + 22) == 0;
	uint64_t table = is_32 ? get32(boot + 36) : get16(boot + 22);
	uint64_t total = get16(boot + 19) ? get16(boot + 19) : get32(boot + 32);
	uint64_t data;

	if (sector < 512 || sector > 4096 || !is_power_of_two(sector) ||
	    !is_power_of_two(per_cluster) || !reserved || !tables || !table ||
	    (is_32 && root_entries))
		return fs_whole(why, "has a boot sector that is broken");
	data = reserved + tables * table + div_round_up(root_entries * 32u, sector);
	if (data >= total || total > size_bytes / sector)
		return fs_whole(why, "has a boot sector with sizes that do not fit it");
	if (is_32 && get16(boot + 40) & 0x80) { /* the tables are not copies of each other */
		active = get16(boot + 40) & 0xf;
		if (active >= tables)
			return fs_whole(why, "has a boot sector that is broken");
	}
	/* Linux's mark; the one in the table is looked at with it. */
	if (boot[is_32 ? 65 : 37] & 1)
		return fs_whole(why, "was not unmounted cleanly");
	fat->sector_bytes = sector;
	fat->cluster_bytes = (uint64_t)per_cluster * sector;
	fat->clusters = (total - data) / per_cluster;
	fat->bits = is_32 ? 32 : fat->clusters > 4084 ? 16 : 12;
	fat->table_begin = (reserved + active * table) * sector;
	fat->data_begin = data * sector;
	if (table * sector * 8 / fat->bits < fat->clusters + 2)
		return fs_whole(why, "has a table that is too short for its clusters");
	if (!is_32 && fat->clusters > 65524)
		return fs_whole(why, "has more clusters than FAT16 can have");
	return FS_FOUND;
}

/* Entry i of what begins at table. */
static uint32_t entry_at(const struct fat *fat, const uint8_t *table, size_t i)
{
	uint32_t two;

	if (fat->bits == 32)
		return get32(table + 4 * i) & 0x0fffffff;
	if (fat->bits == 16)
		return get16(table + 2 * i);
	two = get16(table + i * 3 / 2);
	return i % 2 ? two >> 4 : two & 0xfff;
}

/* Of entry 1: bits that are set on a file system that was unmounted cleanly, and without errors. */
static bool is_dirty(const struct fat *fat, uint32_t entry)
{
	uint32_t good = fat->bits == 32 ? 0x0c000000 : fat->bits == 16 ? 0xc000 : 0;

	return (entry & good) != good;
}

/* A bad cluster holds nothing, and may be unreadable. */
static bool is_used(const struct fat *fat, uint32_t entry)
{
	uint32_t bad = fat->bits == 32 ? 0x0ffffff7 : fat->bits == 16 ? 0xfff7 : 0xff7;

	return entry != 0 && entry != bad;
}

/* Entries [first, first + count) are in chunk. */
static bool take_chunk(const struct fat *fat, const struct fs_volume *volume,
		       struct used_spans *spans, const uint8_t *chunk, uint64_t first, size_t count,
		       struct bmap_error *err)
{
	for (size_t i = first < 2 ? 2 - (size_t)first : 0; i < count; i++) {
		uint64_t begin = fat->data_begin + (first + i - 2) * fat->cluster_bytes;

		if (is_used(fat, entry_at(fat, chunk, i)) &&
		    !fs_add(volume, spans, begin, begin + fat->cluster_bytes, err))
			return false;
	}
	return true;
}

static enum fs_verdict read_table(const struct fat *fat, const struct fs_volume *volume,
				  struct used_spans *spans, char *why, struct bmap_error *err)
{
	uint64_t entries = fat->clusters + 2, each = CHUNK_BYTES * 8u / fat->bits;
	enum fs_verdict verdict = FS_FOUND;
	uint8_t *chunk = malloc(CHUNK_BYTES);

	if (!chunk) {
		bmap_error_memory(err, volume->name);
		return FS_FAILED;
	}
	for (uint64_t first = 0; verdict == FS_FOUND && first < entries; first += each) {
		size_t count = (size_t)min_u64(each, entries - first);
		uint64_t at = fat->table_begin + first * fat->bits / 8;

		if (!fs_read(volume, at, chunk, (size_t)div_round_up(count * fat->bits, 8), err))
			verdict = FS_FAILED;
		else if (first == 0 && is_dirty(fat, entry_at(fat, chunk, 1)))
			verdict = fs_whole(why, "was not unmounted cleanly, or has errors");
		else if (!take_chunk(fat, volume, spans, chunk, first, count, err))
			verdict = FS_FAILED;
	}
	free(chunk);
	return verdict;
}
