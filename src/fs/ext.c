/* SPDX-License-Identifier: MIT */
/* ext2, ext3, ext4: the block bitmap, as libext2fs reads it (groups whose bitmap was never written
 * included; the journal, the copies of the superblock and the inode tables are blocks like any
 * other). */
#include "base/checked.h"
#include "fs/fs_internal.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Where the superblock lies, and what boot loaders may put in front of it. */
#define HEAD_BYTES 4096u
#define FIRST_LIBRARY_ERROR 65536 /* below, errors are errno */

static enum fs_verdict failed(errcode_t code, const struct fs_volume *volume, char *why,
			      struct bmap_error *err);
static enum fs_verdict check(ext2_filsys fs, const struct fs_volume *volume, char *why);
static enum fs_verdict add_used(ext2_filsys fs, const struct fs_volume *volume,
				struct used_spans *spans, char *why, struct bmap_error *err);

enum fs_verdict ext_used(const struct fs_volume *volume, struct used_spans *spans,
			 char why[FS_WHY_BYTES], struct bmap_error *err)
{
	char path[64], options[64];
	enum fs_verdict verdict;
	ext2_filsys fs = NULL;
	errcode_t code;

	/* The same file, whatever its name means by now. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", volume->fd);
	snprintf(options, sizeof(options), "offset=%" PRIu64, volume->begin_bytes);
	/* Read-only, and without O_EXCL: it may be mounted. */
	code = ext2fs_open2(path, options, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs);
	if (code)
		return failed(code, volume, why, err);
	verdict = check(fs, volume, why);
	if (verdict == FS_FOUND) {
		code = ext2fs_read_block_bitmap(fs);
		verdict = code ? failed(code, volume, why, err)
			       : add_used(fs, volume, spans, why, err);
	}
	ext2fs_close_free(&fs);
	return verdict;
}

static enum fs_verdict failed(errcode_t code, const struct fs_volume *volume, char *why,
			      struct bmap_error *err)
{
	if (code == EXT2_ET_NO_MEMORY || code == ENOMEM) {
		bmap_error_memory(err, volume->name);
		return FS_FAILED;
	}
	if (code == EXT2_ET_UNSUPP_FEATURE || code == EXT2_ET_RO_UNSUPP_FEATURE)
		return fs_whole(why, "has features that this libext2fs does not know");
	if (code > 0 && code < FIRST_LIBRARY_ERROR) {
		bmap_error_errnum(err, (int)code,
				  "%s: cannot read the file system at offset %" PRIu64,
				  volume->name, volume->begin_bytes);
		return FS_FAILED;
	}
	return fs_whole(why, "is damaged: run fsck on it (libext2fs: error %ld)", (long)code);
}

/* What libext2fs relies on when it reads bitmaps, but does not check when it opens: it would write
 * beyond its memory. */
static bool groups_make_sense(ext2_filsys fs)
{
	const struct ext2_super_block *super = fs->super;
	uint64_t ratio = EXT2FS_CLUSTER_RATIO(fs), clusters = super->s_clusters_per_group;
	uint64_t bits = 8u * (uint64_t)fs->blocksize;

	return super->s_first_data_block == (fs->blocksize == 1024 && ratio == 1) && clusters &&
	       clusters % 8 == 0 && clusters <= bits &&
	       super->s_blocks_per_group == clusters * ratio &&
	       super->s_inodes_per_group % 8 == 0 && super->s_inodes_per_group <= bits;
}

static enum fs_verdict check(ext2_filsys fs, const struct fs_volume *volume, char *why)
{
	struct ext2_super_block *super = fs->super;
	uint64_t bytes;

	if (!groups_make_sense(fs))
		return fs_whole(why, "is damaged: run fsck on it");

	if (!checked_mul(ext2fs_blocks_count(super), fs->blocksize, &bytes) ||
	    bytes > volume->size_bytes)
		return fs_whole(why, "is larger than its place");
	/* What the journal holds is not in the bitmaps yet. */
	if (ext2fs_has_feature_journal_needs_recovery(super) ||
	    ext2fs_has_feature_orphan_present(super) || !(super->s_state & EXT2_VALID_FS))
		return fs_whole(why, "was not unmounted cleanly: run fsck on it, or mount and "
				     "unmount it");
	if (super->s_state & EXT2_ERROR_FS)
		return fs_whole(why, "has errors: run fsck on it");
	return FS_FOUND;
}

/* Moves first to the first used block from there on, *after behind the last one in a row: end if
 * there is none. */
static errcode_t find_used(ext2_filsys fs, blk64_t *first, blk64_t *after, blk64_t end)
{
	errcode_t code = ext2fs_find_first_set_block_bitmap2(fs->block_map, *first, end - 1, first);

	*after = end;
	if (code == ENOENT)
		*first = end;
	else if (code == 0)
		code = ext2fs_find_first_zero_block_bitmap2(fs->block_map, *first, end - 1, after);
	return code == ENOENT ? 0 : code;
}

static enum fs_verdict add_used(ext2_filsys fs, const struct fs_volume *volume,
				struct used_spans *spans, char *why, struct bmap_error *err)
{
	blk64_t first = fs->super->s_first_data_block, end = ext2fs_blocks_count(fs->super);
	uint64_t block = fs->blocksize;
	blk64_t after;

	if (!fs_add(volume, spans, 0, max_u64(HEAD_BYTES, block), err))
		return FS_FAILED;
	for (; first < end; first = after) {
		errcode_t code = find_used(fs, &first, &after, end);

		if (code)
			return failed(code, volume, why, err);
		if (!fs_add(volume, spans, first * block, after * block, err))
			return FS_FAILED;
	}
	return fs_add(volume, spans, end * block, volume->size_bytes, err) ? FS_FOUND : FS_FAILED;
}
