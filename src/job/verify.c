/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "job/job_internal.h"
#include "job/range_loop.h"
#include "job/stream_format.h"
#include "source/url.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

struct verify {
	const struct bmap_verify_options *options;
	const struct bmap_map *map;
	struct bmap_verify_result *result;
	pthread_mutex_t lock; /* result while the workers run; the callbacks: one at a time */
};

/* What is to be read, and how. */
struct input {
	int fd; /* -1: it cannot be read by ranges: verify_stream() */
	bool is_device; /* fd was opened with O_DIRECT */
	uint64_t size_bytes;
};

static struct map_request map_request(const struct bmap_verify_options *options);
static bool verify_local(const struct bmap_verify_options *options,
			 struct bmap_verify_result *result, struct bmap_error *err);
static bool refuse_member(const struct bmap_verify_options *options, struct bmap_error *err);
static bool load_map(struct bmap_map **map, const struct bmap_verify_options *options,
		     struct bmap_error *err);
static bool input_open(struct input *input, const char *path, struct bmap_error *err);
static bool check_size(const struct input *input, const char *path, const struct bmap_map *map,
		       struct bmap_error *err);
static bool verify_ranges(const struct bmap_verify_options *options, const struct input *input,
			  const struct bmap_map *map, struct bmap_verify_result *result,
			  struct bmap_error *err);

bool bmap_verify(const struct bmap_verify_options *options, struct bmap_verify_result *result,
		 struct bmap_error *err)
{
	const struct map_request request = map_request(options);
	struct bmap_verify_options local = *options;
	CLEANUP_FREE char *input = url_to_local(options->input, err);

	memset(result, 0, sizeof(*result));
	if (!input || !map_request_check(&request, false, err))
		return false;
	local.input = input;
	return url_is_remote(input) ? verify_stream(&local, result, err)
				    : verify_local(&local, result, err);
}

static bool verify_local(const struct bmap_verify_options *options,
			 struct bmap_verify_result *result, struct bmap_error *err)
{
	uint64_t began = clock_now_ns();
	struct bmap_map *map = NULL;
	struct input input;
	bool good;

	if (!input_open(&input, options->input, err))
		return false;
	if (input.fd < 0)
		return verify_stream(options, result, err);
	good = refuse_member(options, err) && load_map(&map, options, err) &&
	       check_size(&input, options->input, map, err) &&
	       verify_ranges(options, &input, map, result, err);
	bmap_map_free(map);
	close(input.fd);
	result->elapsed_ns = clock_now_ns() - began;
	return good;
}

static bool refuse_member(const struct bmap_verify_options *options, struct bmap_error *err)
{
	return !options->member ||
	       bmap_error_set(err, BMAP_ERR_USAGE,
			      "%s: is no archive: there is no file in it that --member could "
			      "choose",
			      options->input);
}

static struct map_request map_request(const struct bmap_verify_options *options)
{
	return (struct map_request){
		.image = options->input,
		.bmap = options->bmap,
		.signature = options->bmap_signature,
		.no_signature = options->no_signature,
		.keyring = options->keyring,
		.fingerprint = options->fingerprint,
		.stop = options->stop,
		.log = options->log,
	};
}

static bool load_map(struct bmap_map **map, const struct bmap_verify_options *options,
		     struct bmap_error *err)
{
	const struct map_request request = map_request(options);
	CLEANUP_FREE char *found = NULL;

	return map_find(&request, map, &found, err);
}

static bool file_open(struct input *input, const char *path, struct bmap_error *err)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	bool compressed = false;

	if (fd < 0)
		return bmap_error_errno(err, "%s: cannot open it for reading", path);
	if (fstat(fd, &st))
		return bmap_error_errno(err, "%s: cannot examine it", path);
	if (!stream_format_is_packed(fd, path, &compressed, err))
		return false;
	input->size_bytes = (uint64_t)st.st_size;
	if (!compressed)
		input->fd = take_fd(&fd);
	return true;
}

static bool device_open(struct input *input, const char *path, struct bmap_error *err)
{
	/* Without O_EXCL: it is only read, so it may be mounted. */
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		return bmap_error_errno(err, "%s: cannot open the device for reading", path);
	if (ioctl(fd, BLKGETSIZE64, &input->size_bytes))
		return bmap_error_errno(err, "%s: cannot read the device's size", path);
	input->is_device = true;
	input->fd = take_fd(&fd);
	return true;
}

static bool input_open(struct input *input, const char *path, struct bmap_error *err)
{
	struct stat st;

	*input = (struct input){ .fd = -1 };
	if (!strcmp(path, "-"))
		return true;
	if (stat(path, &st))
		return bmap_error_errno(err, "%s: cannot open it for reading", path);
	if (S_ISDIR(st.st_mode))
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s is a directory: name an image or a device", path);
	if (S_ISREG(st.st_mode))
		return file_open(input, path, err);
	if (S_ISBLK(st.st_mode))
		return device_open(input, path, err);
	return true; /* a pipe, or anything else that gives bytes */
}

static bool check_size(const struct input *input, const char *path, const struct bmap_map *map,
		       struct bmap_error *err)
{
	uint64_t size = input->size_bytes, want = map->image_size_bytes;

	if (input->is_device && size < want)
		return bmap_error_set(err, BMAP_ERR_DATA,
				      "%s: the device has %" PRIu64 " bytes, the image of this "
				      "bmap %" PRIu64 ": it cannot hold it",
				      path, size, want);
	if (!input->is_device && size != want)
		return bmap_error_set(err, BMAP_ERR_DATA,
				      "%s: the file has %" PRIu64 " bytes, the image of this bmap "
				      "%" PRIu64 ": %s, or the bmap is of another image",
				      path, size, want,
				      size < want ? "it is cut off" : "it is longer");
	return true;
}

static void report_bad(struct verify *verify, size_t range, const uint8_t *expected,
		       const uint8_t *found)
{
	const struct bmap_map *map = verify->map;
	uint64_t begin = bmap_range_begin(map, range);
	struct bmap_bad_range bad = {
		.first_block = map->ranges[range].first_block,
		.last_block = map->ranges[range].last_block,
		.offset_bytes = begin,
		.len_bytes = bmap_range_end(map, range) - begin,
		.expected = expected,
		.found = found,
		.digest_bytes = map->digest_bytes,
	};

	if (verify->options->bad_range)
		verify->options->bad_range(verify->options->user, &bad);
}

static void check_digest(void *arg, size_t range, const uint8_t *digest)
{
	struct verify *verify = arg;
	const uint8_t *expected = bmap_range_digest(verify->map, range);
	bool bad = memcmp(expected, digest, verify->map->digest_bytes) != 0;

	pthread_mutex_lock(&verify->lock);
	verify->result->ranges_checked++;
	verify->result->ranges_bad += bad;
	if (bad)
		report_bad(verify, range, expected, digest);
	pthread_mutex_unlock(&verify->lock);
}

static void tell_progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct verify *verify = arg;

	pthread_mutex_lock(&verify->lock);
	verify->options->progress(verify->options->user, done_bytes, total_bytes);
	pthread_mutex_unlock(&verify->lock);
}

static size_t count_without_digest(const struct bmap_map *map)
{
	size_t n = 0;

	for (size_t i = 0; i < map->range_count; i++)
		n += !bmap_range_digest(map, i);
	return n;
}

static bool verify_ranges(const struct bmap_verify_options *options, const struct input *input,
			  const struct bmap_map *map, struct bmap_verify_result *result,
			  struct bmap_error *err)
{
	struct verify verify = {
		.options = options, .map = map, .result = result, .lock = PTHREAD_MUTEX_INITIALIZER
	};
	struct range_loop loop = {
		.fd = input->fd,
		.name = options->input,
		.is_device = input->is_device,
		.size_bytes = input->size_bytes,
		.map = map,
		.only_with_digest = true,
		.workers = options->workers,
		.queue_depth = options->queue_depth,
		.memory_bytes = options->memory_bytes,
		.log = options->log,
		.stop = options->stop,
		.on_range = check_digest,
		.progress = options->progress ? tell_progress : NULL,
		.arg = &verify,
	};
	bool whole;

	result->ranges_without_checksum = count_without_digest(map);
	if (result->ranges_without_checksum == map->range_count)
		return true; /* also a map without ranges; the caller says that nothing was read */
	whole = range_loop_run(&loop, &result->checked_bytes, err);
	pthread_mutex_destroy(&verify.lock);
	if (whole && result->ranges_bad)
		return bmap_error_set(err, BMAP_ERR_DATA,
				      "%s: %zu of %zu checked ranges do not match their checksum",
				      options->input, result->ranges_bad, result->ranges_checked);
	return whole;
}
