/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/cleanup.h"
#include "target/safety.h"
#include "target/target_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* statx(2) since Linux 6.1; older headers know neither the flag nor the fields. */
#define WANT_DIOALIGN 0x2000u
#define STATX_BYTES 256u
#define STATX_DIO_MEM_ALIGN_AT 0x98u
#define STATX_DIO_OFFSET_ALIGN_AT 0x9cu

static bool open_existing(struct target *target, const struct stat *st,
			  const struct target_rules *rules, struct bmap_error *err);
static bool check_creatable(struct target *target, const struct target_rules *rules,
			    struct bmap_error *err);
static bool check_size_limit(const struct target *target, uint64_t size_bytes,
			     struct bmap_error *err);
static bool create(struct target *target, struct bmap_error *err);
static bool set_size(const struct target *target, uint64_t size_bytes, struct bmap_error *err);
static bool switch_to_direct(struct target *target, const struct bmap_log *log,
			     struct bmap_error *err);

bool regular_file_open(struct target *target, const struct stat *st,
		       const struct target_rules *rules, const struct bmap_log *log,
		       struct bmap_error *err)
{
	(void)log;
	target->kind = TARGET_REGULAR_FILE;
	target->needs_flush = true;
	if (!refuse_if_not_removable(target->name, rules, err))
		return false;
	if (st ? !open_existing(target, st, rules, err) : !check_creatable(target, rules, err))
		return false;
	return rules->image_size_bytes == UINT64_MAX ||
	       check_size_limit(target, rules->image_size_bytes, err);
}

bool regular_file_begin(struct target *target, uint64_t image_size_bytes,
			const struct bmap_log *log, struct bmap_error *err)
{
	target->size_pending = image_size_bytes == UINT64_MAX;
	if (target->fd < 0 && !create(target, err))
		return false;
	if (!set_size(target, 0, err) || !switch_to_direct(target, log, err))
		return false;
	return target->size_pending || set_size(target, image_size_bytes, err);
}

static void remove_created(const struct target *target)
{
	struct stat by_fd, by_name;

	/* Only what this run made: somebody may have put another file in its place. */
	if (!fstat(target->fd, &by_fd) && !lstat(target->real_path, &by_name) &&
	    by_fd.st_dev == by_name.st_dev && by_fd.st_ino == by_name.st_ino)
		unlink(target->real_path);
}

/* So that the new name, too, is on stable storage; what cannot be synced (some network file
 * systems) keeps its names in other ways. */
static void sync_directory_of(const char *path)
{
	CLEANUP_FREE char *copy = strdup(path);
	CLEANUP_CLOSE int fd = -1;

	if (!copy)
		return;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
}

bool regular_file_end(struct target *target, bool good, uint64_t size_bytes, struct bmap_error *err)
{
	if (target->fd < 0)
		return true;
	if (!good) {
		if (target->created)
			remove_created(target);
		else if (ftruncate(target->fd, 0))
			return true; /* the error that is reported is why the flash failed */
		return true;
	}
	if (target->size_pending) {
		if (!set_size(target, size_bytes, err))
			return false;
		if (fsync(target->fd))
			return bmap_error_errno(err, "%s: cannot flush the file", target->name);
	}
	if (target->created)
		sync_directory_of(target->real_path);
	return true;
}

static bool open_existing(struct target *target, const struct stat *st,
			  const struct target_rules *rules, struct bmap_error *err)
{
	struct footprint footprint = { 0 };
	char real[PATH_MAX];
	struct stat opened;

	footprint_add_file(&footprint, st->st_dev, st->st_ino);
	if (!refuse_if_source(&footprint, target->name, rules, err))
		return false;
	if (!rules->allow_dev_files && realpath(target->name, real) &&
	    !refuse_if_in_dev(dirname(real), target->name, err))
		return false;
	/* Opened now, truncated later: whatever the system has against it, it says now. */
	target->fd = open(target->name, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (target->fd < 0 && errno == EACCES)
		target->fd = open(target->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (target->fd < 0)
		return bmap_error_errno(err, "%s: cannot open for writing", target->name);
	if (fstat(target->fd, &opened) || !S_ISREG(opened.st_mode) || opened.st_dev != st->st_dev ||
	    opened.st_ino != st->st_ino)
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: refused: the name means another file than a moment "
				      "ago: try again",
				      target->name);
	return true;
}

/* Follows a name that leads to nothing yet to where open(2) would create the file. */
static bool resolve_links(const char *name, char path[PATH_MAX], struct bmap_error *err)
{
	char link[PATH_MAX], folder[PATH_MAX], joined[2 * PATH_MAX];
	struct stat st;

	if (strlen(name) >= PATH_MAX)
		return bmap_error_errnum(err, ENAMETOOLONG, "%s", name);
	strcpy(path, name);
	for (int hops = 0; hops < 40; hops++) { /* as the kernel: path_resolution(7) */
		ssize_t n;

		if (lstat(path, &st) || !S_ISLNK(st.st_mode))
			return true;
		n = readlink(path, link, sizeof(link) - 1);
		if (n <= 0)
			break;
		link[n] = '\0';
		strcpy(folder, path);
		snprintf(joined, sizeof(joined), "%s%s%s", link[0] == '/' ? "" : dirname(folder),
			 link[0] == '/' ? "" : "/", link);
		if (strlen(joined) >= PATH_MAX)
			break;
		strcpy(path, joined);
	}
	return bmap_error_errnum(err, ELOOP, "%s: cannot follow its links", name);
}

static bool check_creatable(struct target *target, const struct target_rules *rules,
			    struct bmap_error *err)
{
	char path[PATH_MAX], folder[PATH_MAX], *base, *slash;
	CLEANUP_FREE char *real_folder = NULL;

	if (!resolve_links(target->name, path, err))
		return false;
	slash = strrchr(path, '/');
	base = slash ? slash + 1 : path;
	if (!*base)
		return bmap_error_errnum(err, EISDIR, "%s: cannot create as a file", target->name);
	strcpy(folder, path);
	real_folder = realpath(dirname(folder), NULL);
	strcpy(folder, path); /* dirname(3) changed it */
	if (!real_folder)
		return bmap_error_errno(err, "%s: cannot create: its folder %s", target->name,
					dirname(folder));
	if (!rules->allow_dev_files && !refuse_if_in_dev(real_folder, target->name, err))
		return false;
	if (faccessat(AT_FDCWD, real_folder, W_OK | X_OK, AT_EACCESS))
		return bmap_error_errno(err, "%s: cannot create a file in %s", target->name,
					real_folder);
	if (asprintf(&target->real_path, "%s/%s", real_folder, base) < 0) {
		target->real_path = NULL;
		return bmap_error_memory(err, target->name);
	}
	return true;
}

static bool check_size_limit(const struct target *target, uint64_t size_bytes,
			     struct bmap_error *err)
{
	struct rlimit limit;

	/* Where ftruncate(2) would raise SIGXFSZ. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY &&
	    size_bytes > limit.rlim_cur)
		return bmap_error_errnum(err, EFBIG,
					 "%s: the image has %" PRIu64
					 " bytes, the limit on file sizes (ulimit -f) is %" PRIu64,
					 target->name, size_bytes, (uint64_t)limit.rlim_cur);
	if (size_bytes > INT64_MAX)
		return bmap_error_errnum(err, EFBIG, "%s: the image has %" PRIu64 " bytes",
					 target->name, size_bytes);
	return true;
}

static bool create(struct target *target, struct bmap_error *err)
{
	target->fd =
		open(target->real_path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (target->fd < 0)
		return bmap_error_errno(err, "%s: cannot create the file", target->name);
	target->created = true;
	return true;
}

static bool set_size(const struct target *target, uint64_t size_bytes, struct bmap_error *err)
{
	int rc;

	if (!check_size_limit(target, size_bytes, err))
		return false;
	do
		rc = ftruncate(target->fd, (off_t)size_bytes);
	while (rc && errno == EINTR);
	return !rc || bmap_error_errno(err, "%s: cannot set its size to %" PRIu64 " bytes",
				       target->name, size_bytes);
}

/* A second descriptor of the same file with O_DIRECT, or -1. */
static int open_direct(const struct target *target)
{
	const char *path = target->real_path ? target->real_path : target->name;
	CLEANUP_CLOSE int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC | O_NOCTTY);
	struct stat first, second;

	if (fd < 0 || fstat(fd, &second) || fstat(target->fd, &first) ||
	    first.st_dev != second.st_dev || first.st_ino != second.st_ino)
		return -1;
	return take_fd(&fd);
}

/* What O_DIRECT wants on this file. False: the system does not say (before Linux 6.1, and many
 * file systems later too). *offset_align 0: there is no O_DIRECT. */
static bool ask_alignment(int fd, uint32_t *memory_align, uint32_t *offset_align)
{
	union {
		uint8_t bytes[STATX_BYTES];
		uint32_t mask;
		uint64_t aligned;
	} answer = { 0 };

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, WANT_DIOALIGN, &answer) ||
	    !(answer.mask & WANT_DIOALIGN))
		return false;
	memcpy(memory_align, answer.bytes + STATX_DIO_MEM_ALIGN_AT, sizeof(*memory_align));
	memcpy(offset_align, answer.bytes + STATX_DIO_OFFSET_ALIGN_AT, sizeof(*offset_align));
	return true;
}

/* The question by trial, on a file that was just truncated: some file systems let it be opened
 * with O_DIRECT and then refuse every write. Leaves the file empty. */
static bool direct_write_works(const struct target *target, int fd, bool *works,
			       struct bmap_error *err)
{
	CLEANUP_FREE void *zeros = NULL;
	ssize_t n;

	if (posix_memalign(&zeros, TARGET_MAX_ALIGN_BYTES, TARGET_MAX_ALIGN_BYTES))
		return bmap_error_memory(err, target->name);
	memset(zeros, 0, TARGET_MAX_ALIGN_BYTES);
	do
		n = pwrite(fd, zeros, TARGET_MAX_ALIGN_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EINVAL && errno != EOPNOTSUPP)
		return bmap_error_errno(err, "%s: cannot write at offset 0", target->name);
	*works = n >= 0;
	return set_size(target, 0, err);
}

/* The descriptor without O_DIRECT becomes the one for the tail. */
static bool switch_to_direct(struct target *target, const struct bmap_log *log,
			     struct bmap_error *err)
{
	CLEANUP_CLOSE int direct = open_direct(target);
	uint32_t memory_align = TARGET_MAX_ALIGN_BYTES, offset_align = TARGET_MAX_ALIGN_BYTES;
	bool works = direct >= 0;

	if (works && ask_alignment(direct, &memory_align, &offset_align))
		works = target_align_usable(memory_align) && target_align_usable(offset_align);
	else if (works && !direct_write_works(target, direct, &works, err))
		return false;
	if (!works) {
		log_info(log,
			 "%s: the file system does not take O_DIRECT: writing through the page "
			 "cache",
			 target->name);
		return true;
	}
	target->direct = true;
	target->buffered_fd = target->fd;
	target->fd = take_fd(&direct);
	target->align_bytes = offset_align;
	target->memory_align_bytes = memory_align;
	return true;
}
