/* SPDX-License-Identifier: MIT */
#include "faulty_engine.h"
#include "job/range_loop.h"
#include "base/checked.h"
#include "digest/digest.h"

#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit_test.h"

#define BLOCK 4096u
#define FILE_BYTES (9 * MIB + 1234)
#define RANGES 700u

#ifdef __SANITIZE_ADDRESS__
#define LEAKS_ARE_ERRORS true
#else
#define LEAKS_ARE_ERRORS false
#endif

/* A file of random bytes and a map of it with ranges of all sizes. */
struct fixture {
	char path[64];
	int fd;
	uint8_t *data;
	struct bmap_range ranges[RANGES];
	uint8_t digests[RANGES * 32];
	struct bmap_map map;
	/* What the loop said: */
	_Atomic unsigned seen[RANGES];
	_Atomic unsigned wrong;
	uint64_t last_progress;
	pthread_mutex_t lock; /* all below */
	unsigned infos;
	char info[256];
};

static void make_ranges(struct fixture *f)
{
	uint64_t blocks = div_round_up(FILE_BYTES, BLOCK), next = 1;
	struct bmap_map *map = &f->map;

	while (next < blocks - 2 && map->range_count < RANGES - 1) {
		uint64_t len = rand() % 60 ? 1 + rand() % 2 : 1 + rand() % 700;

		if (next + len > blocks - 2)
			len = blocks - 2 - next;
		f->ranges[map->range_count++] = (struct bmap_range){ next, next + len - 1 };
		next += len + 1 + (uint64_t)(rand() % 2);
	}
	f->ranges[map->range_count++] = (struct bmap_range){ blocks - 1, blocks - 1 };
	map->ranges = f->ranges;
	map->digests = f->digests;
	map->digest = BMAP_DIGEST_SHA256;
	map->digest_bytes = 32;
	map->image_size_bytes = FILE_BYTES;
	map->block_size_bytes = BLOCK;
	map->blocks_count = blocks;
	for (size_t i = 0; i < map->range_count; i++) {
		uint64_t begin = bmap_range_begin(map, i);

		map->mapped_blocks += f->ranges[i].last_block - f->ranges[i].first_block + 1;
		assert_true(digest_of(BMAP_DIGEST_SHA256, f->data + begin,
				      bmap_range_end(map, i) - begin, f->digests + 32 * i, NULL));
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->path, "/var/tmp/range_loop_test.XXXXXX");
	f->fd = mkstemp(f->path);
	f->data = malloc(FILE_BYTES);
	if (f->fd < 0 || !f->data)
		return -1;
	srand(11);
	for (size_t i = 0; i < FILE_BYTES; i++)
		f->data[i] = (uint8_t)rand();
	if (write(f->fd, f->data, FILE_BYTES) != FILE_BYTES)
		return -1;
	make_ranges(f);
	pthread_mutex_init(&f->lock, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	unlink(f->path);
	free(f->data);
	free(f);
	return 0;
}

static void on_range(void *arg, size_t range, const uint8_t *digest)
{
	struct fixture *f = arg;

	f->seen[range]++;
	if (memcmp(digest, f->digests + 32 * range, 32))
		f->wrong++;
}

static void on_progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct fixture *f = arg;

	assert_true(done_bytes >= f->last_progress && done_bytes <= total_bytes);
	f->last_progress = done_bytes;
}

static void on_message(void *user, enum bmap_log_level level, const char *text)
{
	struct fixture *f = user;

	if (level != BMAP_LOG_INFO)
		return;
	pthread_mutex_lock(&f->lock);
	f->infos++;
	snprintf(f->info, sizeof(f->info), "%s", text);
	pthread_mutex_unlock(&f->lock);
}

static struct range_loop loop_of(struct fixture *f)
{
	memset(f->seen, 0, sizeof(f->seen));
	f->wrong = 0;
	f->last_progress = 0;
	f->infos = 0;
	return (struct range_loop){ .fd = f->fd,
				    .name = "disk.img",
				    .size_bytes = FILE_BYTES,
				    .map = &f->map,
				    .on_range = on_range,
				    .progress = on_progress,
				    .arg = f };
}

static void expect_all(struct fixture *f, const struct range_loop *loop)
{
	struct bmap_error err = { 0 };
	uint64_t hashed;

	if (!range_loop_run(loop, &hashed, &err))
		fail_msg("%s", err.text);
	for (size_t i = 0; i < f->map.range_count; i++)
		assert_int_equal(f->seen[i],
				 !loop->only_with_digest || bmap_range_digest(&f->map, i) != NULL);
	assert_int_equal(f->wrong, 0);
	assert_int_equal(f->last_progress, hashed);
	if (!loop->only_with_digest)
		assert_int_equal(hashed, bmap_mapped_bytes(&f->map));
}

static struct io_engine *open_psync(void *arg, unsigned depth, const struct bmap_log *log,
				    struct bmap_error *err)
{
	(void)arg, (void)log;
	return psync_open(depth, err);
}

static void drop_cache(const struct fixture *f)
{
	assert_int_equal(fsync(f->fd), 0);
	posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void every_range_is_hashed_once_with_any_sizes(void **state)
{
	static const struct {
		unsigned workers, depth;
		uint64_t memory;
	} cases[] = {
		{ 0, 0, 0 },   { 1, 0, 0 },        { 2, 1, 0 },       { 5, 64, 0 },
		{ 3, 7, MIB }, { 9, 0, 64 * KIB }, { 300, 10000, 0 }, { 1, 2, 1 },
	};
	struct fixture *f = *state;
	struct engine_factory psync = { .open = open_psync };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct range_loop loop = loop_of(f);

		loop.workers = cases[i].workers;
		loop.queue_depth = cases[i].depth;
		loop.memory_bytes = cases[i].memory;
		loop.engines = i % 2 ? &psync : NULL;
		expect_all(f, &loop); /* in the page cache: just written or read */
		loop = loop_of(f);
		loop.workers = cases[i].workers;
		loop.queue_depth = cases[i].depth;
		loop.memory_bytes = cases[i].memory;
		loop.engines = i % 2 ? &psync : NULL;
		drop_cache(f);
		expect_all(f, &loop);
	}
}

static void ranges_without_digest_are_left_out_if_asked(void **state)
{
	struct fixture *f = *state;
	struct range_loop loop = loop_of(f);
	uint8_t has[RANGES / 8 + 1];

	for (size_t i = 0; i < sizeof(has); i++)
		has[i] = (uint8_t)rand();
	f->map.has_digest = has;
	loop.only_with_digest = true;
	expect_all(f, &loop);
	f->map.has_digest = NULL;
}

static void note_digest(void *arg, size_t range, const uint8_t *digest)
{
	(void)range;
	memcpy(arg, digest, BMAP_DIGEST_MAX_BYTES);
}

/* One range alone, and digests for which there is no faster way in pairs. */
static void any_digest_and_a_single_range_work(void **state)
{
	static const enum bmap_digest digests[] = { BMAP_DIGEST_MD5, BMAP_DIGEST_SHA256,
						    BMAP_DIGEST_SHA512 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(digests); i++) {
		struct bmap_range all = { 0, f->map.blocks_count - 1 };
		struct bmap_map map = f->map;
		struct range_loop loop = loop_of(f);
		uint8_t found[BMAP_DIGEST_MAX_BYTES], want[BMAP_DIGEST_MAX_BYTES];

		map.ranges = &all;
		map.range_count = 1;
		map.digests = NULL;
		map.digest = digests[i];
		map.digest_bytes = digest_length(digests[i]);
		loop.map = &map;
		loop.on_range = note_digest;
		loop.progress = NULL;
		loop.arg = found;
		assert_true(digest_of(digests[i], f->data, FILE_BYTES, want, NULL));
		assert_true(range_loop_run(&loop, NULL, NULL));
		assert_memory_equal(found, want, map.digest_bytes);
	}
}

/* The file has zeros in their place, as a device has that was written but for its head. */
static void bytes_laid_over_are_hashed_in_place_of_what_is_read(void **state)
{
	static const uint64_t lengths[] = { 1, BLOCK, MIB, 3 * MIB + 17 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		for (int direct = 0; direct < 2; direct++) {
			struct range_loop loop = loop_of(f);
			struct bmap_error err;
			uint8_t *zeros = calloc(1, lengths[i]);

			assert_int_equal(pwrite(f->fd, zeros, lengths[i], 0), lengths[i]);
			if (direct)
				drop_cache(f);
			loop.buffered = !direct;
			loop.memory_bytes = MIB / 2;
			assert_true(range_loop_run(&loop, NULL, &err));
			assert_true(f->wrong > 0 || lengths[i] <= BLOCK); /* block 0 is a hole */
			loop = loop_of(f);
			loop.overlay = f->data;
			loop.overlay_bytes = lengths[i];
			expect_all(f, &loop);
			assert_int_equal(pwrite(f->fd, f->data, lengths[i], 0), lengths[i]);
			free(zeros);
		}
}

static void two_long_ranges_go_to_two_workers_and_the_rest_follows(void **state)
{
	/* 40 MiB, which are long, twice, between short ones. */
	struct bmap_range ranges[] = {
		{ 0, 0 }, { 2, 10241 }, { 10250, 10260 }, { 10300, 20539 }, { 20541, 20541 }
	};
	struct fixture *f = *state;
	struct bmap_map map = f->map;
	struct range_loop loop = loop_of(f);
	char path[80];
	uint64_t hashed;

	snprintf(path, sizeof(path), "%s.long", f->path);
	loop.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(ftruncate(loop.fd, 20542 * BLOCK), 0);
	unlink(path);
	map.ranges = ranges;
	map.range_count = ARRAY_LEN(ranges);
	map.mapped_blocks = 1 + 10240 + 11 + 10240 + 1;
	map.digests = NULL;
	map.image_size_bytes = loop.size_bytes = 20542 * BLOCK;
	loop.map = &map;
	loop.progress = NULL;
	loop.workers = 2;
	assert_true(range_loop_run(&loop, &hashed, NULL));
	assert_int_equal(hashed, bmap_mapped_bytes(&map));
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		assert_int_equal(f->seen[i], 1);
	close(loop.fd);
}

static void nothing_to_hash_is_no_error(void **state)
{
	struct fixture *f = *state;
	struct bmap_map empty = f->map;
	struct range_loop loop = loop_of(f);
	uint64_t hashed = 1;

	empty.range_count = 0;
	loop.map = &empty;
	assert_true(range_loop_run(&loop, &hashed, NULL));
	assert_int_equal(hashed, 0);
}

static void a_device_is_read_directly(void **state)
{
	static const uint32_t block_bytes[] = { 512, 4096 };
	struct fixture *f = *state;

	if (loop_missing()) {
		printf("skipped: %s\n", loop_missing());
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(block_bytes); i++) {
		struct loop_options options = { .block_bytes = block_bytes[i], .read_only = true };
		struct loop_device device = LOOP_DEVICE_INIT;
		struct range_loop loop = loop_of(f);
		char path[80];
		int fd;

		/* Whole sectors; what is behind the image does not matter. */
		snprintf(path, sizeof(path), "%s.dev", f->path);
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		assert_int_equal(write(fd, f->data, FILE_BYTES), FILE_BYTES);
		assert_int_equal(ftruncate(fd, align_up(FILE_BYTES, 4096)), 0);
		close(fd);
		assert_true(loop_attach(&device, path, &options));
		loop.fd = open(device.path, O_RDONLY | O_DIRECT);
		assert_true(loop.fd >= 0);
		loop.is_device = true;
		loop.size_bytes = align_up(FILE_BYTES, 4096);
		expect_all(f, &loop);
		close(loop.fd);
		loop_detach(&device);
		unlink(path);
	}
}

static void refuse_direct(void *arg, uint64_t number, struct io_request *req)
{
	(void)arg, (void)number;
	if (fcntl(req->fd, F_GETFL) & O_DIRECT)
		req->result = -EINVAL;
}

static void a_file_system_that_refuses_direct_reads_is_read_through_the_cache(void **state)
{
	struct fixture *f = *state;
	struct range_loop loop = loop_of(f);
	struct bmap_log log = { .message = on_message, .user = f };
	struct faulty_plan plan = { .hook = refuse_direct, .inner = psync_open };
	struct engine_factory factory = { .open = faulty_open, .arg = &plan };

	drop_cache(f);
	loop.engines = &factory;
	loop.log = &log;
	expect_all(f, &loop);
	if (f->infos != 1)
		fail_msg("%u info lines, last: %s", f->infos, f->info);
	assert_non_null(strstr(f->info, "O_DIRECT"));
}

static void a_read_error_ends_it_with_the_offset(void **state)
{
	struct fixture *f = *state;

	for (uint64_t at = 1; at <= 5; at++) {
		struct range_loop loop = loop_of(f);
		struct faulty_plan plan = { .fail_at = at, .fail_all_after = true, .errnum = EIO };
		struct engine_factory factory = { .open = faulty_open, .arg = &plan };
		struct bmap_error err = { 0 };

		loop.engines = &factory;
		loop.workers = (unsigned)at;
		assert_false(range_loop_run(&loop, NULL, &err));
		assert_int_equal(err.code, BMAP_ERR_IO);
		assert_int_equal(err.errnum, EIO);
		assert_true(err.has_offset && err.offset_bytes < FILE_BYTES);
		assert_non_null(strstr(err.text, "disk.img: cannot read"));
		assert_int_equal(f->wrong, 0);
	}
}

/* A bad sector: all requests that touch it fail. */
static void fail_at_sector(void *arg, uint64_t number, struct io_request *req)
{
	uint64_t bad = *(const uint64_t *)arg;

	(void)number;
	if (req->offset_bytes <= bad && bad < req->offset_bytes + req->len_bytes)
		req->result = -EIO;
}

static void an_unreadable_sector_counts_only_where_it_is_mapped(void **state)
{
	struct fixture *f = *state;
	unsigned gaps = 0, mapped = 0;

	for (size_t i = 5; i < f->map.range_count - 1 && gaps + mapped < 40; i += 17) {
		uint64_t begin = bmap_range_begin(&f->map, i), bad;
		struct faulty_plan plan = { .hook = fail_at_sector, .arg = &bad };
		struct engine_factory factory = { .open = faulty_open, .arg = &plan };
		struct range_loop loop = loop_of(f);
		struct bmap_error err = { 0 };

		loop.engines = &factory;
		if (i % 2)
			drop_cache(f);
		bad = bmap_range_end(&f->map, i); /* the block behind it is not mapped */
		expect_all(f, &loop);
		gaps++;
		bad = begin + 100;
		loop = loop_of(f);
		loop.engines = &factory;
		assert_false(range_loop_run(&loop, NULL, &err));
		assert_int_equal(err.errnum, EIO);
		assert_true(err.offset_bytes <= bad);
		assert_true(err.offset_bytes >= begin ||
			    f->ranges[i].last_block - f->ranges[i].first_block > 1);
		mapped++;
	}
	assert_true(gaps > 5 && mapped > 5);
}

static void engines_that_cannot_be_opened_are_an_error(void **state)
{
	struct fixture *f = *state;
	struct range_loop loop = loop_of(f);
	struct faulty_plan plan = { .fail_open = EMFILE };
	struct engine_factory factory = { .open = faulty_open, .arg = &plan };
	struct bmap_error err = { 0 };

	loop.engines = &factory;
	assert_false(range_loop_run(&loop, NULL, &err));
	assert_int_equal(err.errnum, EMFILE);
}

static void a_file_that_got_shorter_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct bmap_error err = { 0 };

	for (int cached = 0; cached < 2; cached++) {
		struct range_loop loop = loop_of(f);

		assert_int_equal(ftruncate(f->fd, FILE_BYTES - 10), 0);
		if (!cached)
			drop_cache(f);
		assert_false(range_loop_run(&loop, NULL, &err));
		assert_int_equal(err.code, BMAP_ERR_DATA);
		assert_true(err.has_offset);
		assert_int_equal(err.offset_bytes, FILE_BYTES - 10);
	}
	assert_int_equal(pwrite(f->fd, f->data, FILE_BYTES, 0), FILE_BYTES);
}

static void request_stop(void *arg, uint64_t number, struct io_request *req)
{
	(void)req;
	if (number == 3)
		bmap_stop_request(arg);
}

static void a_stop_ends_it_in_the_middle(void **state)
{
	struct fixture *f = *state;
	struct range_loop loop = loop_of(f);
	struct bmap_stop *stop = bmap_stop_new(NULL);
	struct faulty_plan plan = { .hook = request_stop, .arg = stop };
	struct engine_factory factory = { .open = faulty_open, .arg = &plan };
	struct bmap_error err = { 0 };
	uint64_t hashed;

	loop.engines = &factory;
	loop.stop = stop;
	loop.memory_bytes = 256 * KIB; /* many small reads */
	assert_false(range_loop_run(&loop, &hashed, &err));
	assert_int_equal(err.code, BMAP_ERR_INTERRUPTED);
	assert_true(hashed < bmap_mapped_bytes(&f->map));
	assert_int_equal(f->wrong, 0);
	/* Once requested, it is never taken back. */
	f->last_progress = 0;
	assert_false(range_loop_run(&loop, &hashed, &err));
	assert_int_equal(hashed, 0);
	bmap_stop_free(stop);
}

static void a_broken_engine_ends_it_and_nothing_is_freed_under_it(void **state)
{
	struct fixture *f = *state;
	struct range_loop loop = loop_of(f);
	struct faulty_plan plan = { .break_at = 2, .errnum = ENXIO };
	struct engine_factory factory = { .open = faulty_open, .arg = &plan };
	struct bmap_error err = { 0 };

	if (LEAKS_ARE_ERRORS) {
		printf("skipped: leaks what the kernel may still use, which this build reports\n");
		skip();
	}
	loop.engines = &factory;
	assert_false(range_loop_run(&loop, NULL, &err));
	assert_int_equal(err.errnum, ENXIO);
	assert_non_null(strstr(err.text, "disk.img"));
}

static void memory_stays_small(void **state)
{
	struct fixture *f = *state;
	struct range_loop loop = loop_of(f);
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	loop.workers = 200;
	loop.queue_depth = 10000;
	expect_all(f, &loop);
	getrusage(RUSAGE_SELF, &after);
	/* 16 MiB of buffers, the threads' stacks, hashers. */
	assert_true(after.ru_maxrss - before.ru_maxrss < 40 * 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_range_is_hashed_once_with_any_sizes),
		cmocka_unit_test(ranges_without_digest_are_left_out_if_asked),
		cmocka_unit_test(any_digest_and_a_single_range_work),
		cmocka_unit_test(bytes_laid_over_are_hashed_in_place_of_what_is_read),
		cmocka_unit_test(two_long_ranges_go_to_two_workers_and_the_rest_follows),
		cmocka_unit_test(nothing_to_hash_is_no_error),
		cmocka_unit_test(a_device_is_read_directly),
		cmocka_unit_test(a_file_system_that_refuses_direct_reads_is_read_through_the_cache),
		cmocka_unit_test(a_read_error_ends_it_with_the_offset),
		cmocka_unit_test(an_unreadable_sector_counts_only_where_it_is_mapped),
		cmocka_unit_test(engines_that_cannot_be_opened_are_an_error),
		cmocka_unit_test(a_file_that_got_shorter_is_an_error),
		cmocka_unit_test(a_stop_ends_it_in_the_middle),
		cmocka_unit_test(a_broken_engine_ends_it_and_nothing_is_freed_under_it),
		cmocka_unit_test(memory_stays_small),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
