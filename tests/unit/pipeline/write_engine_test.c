/* SPDX-License-Identifier: MIT */
/* The write stage on real engines and a real file, opened with O_DIRECT. */
#include "write_bed.h"
#include "faulty_engine.h"
#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGN 4096u

struct real_file {
	char path[64];
	int fd, buffered_fd;
};

static bool open_file(struct real_file *file)
{
	strcpy(file->path, "write_engine_test.XXXXXX");
	file->buffered_fd = mkstemp(file->path);
	assert_true(file->buffered_fd >= 0);
	file->fd = open(file->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	unlink(file->path);
	if (file->fd < 0)
		close(file->buffered_fd);
	return file->fd >= 0;
}

static void expect_image(const struct write_bed *bed, const struct real_file *file)
{
	uint8_t *bytes = malloc(bed->image_size + 1);

	assert_non_null(bytes);
	assert_int_equal(pread(file->buffered_fd, bytes, bed->image_size + 1, 0), bed->image_size);
	for (uint64_t at = 0; at < bed->image_size; at++)
		if (bytes[at] != (bed->mapped[at] ? bed->image[at] : 0))
			fail_msg("byte %llu is %u", (unsigned long long)at, bytes[at]);
	free(bytes);
}

/* A flash of a file whose size is no multiple of anything, with a map finer than the alignment. */
static void flash_file(struct write_bed *bed, struct real_file *file, struct faulty_plan *plan)
{
	const struct engine_factory factory = { .open = faulty_open, .arg = plan };
	struct target *target;

	bed_init(bed, 5, 5 * MIB + 1234);
	bed_random_map(bed, 1024, 200, 30);
	target = bed_add(bed, TARGET_REGULAR_FILE, ALIGN);
	target->fd = file->fd;
	target->buffered_fd = file->buffered_fd;
	assert_int_equal(ftruncate(file->fd, (off_t)bed->image_size), 0);
	bed->engine = &factory;
	bed_run(bed);
	bed->engine = NULL;
}

static struct io_engine *open_uring(unsigned depth, struct bmap_error *err)
{
	return uring_open(depth, err);
}

static bool works(struct io_engine *(*open_engine)(unsigned depth, struct bmap_error *err))
{
	struct bmap_error err;
	struct io_engine *engine = open_engine(1, &err);

	if (!engine)
		print_message("skipped: %s\n", err.text);
	engine_free(engine);
	return engine != NULL;
}

static void flash_with(struct io_engine *(*open_engine)(unsigned depth, struct bmap_error *err))
{
	struct faulty_plan plan = { .inner = open_engine };
	struct real_file file;
	struct write_bed bed;

	if (!works(open_engine))
		skip();
	if (!open_file(&file)) {
		print_message("skipped: no O_DIRECT in this folder\n");
		skip();
	}
	flash_file(&bed, &file, &plan);
	assert_int_equal(bed.status[0].state, BMAP_TARGET_DONE);
	assert_int_equal(bed.status[0].completed_bytes, bed.mapped_bytes);
	assert_true(bed.counters.edge_writes > 0);
	assert_true(bed.targets[0].direct);
	assert_int_equal(bed.infos, 0);
	expect_image(&bed, &file);
	bed_free(&bed);
	close(file.fd);
	close(file.buffered_fd);
}

static void io_uring_writes_a_file(void **state)
{
	(void)state;
	flash_with(open_uring);
}

static void threads_write_a_file(void **state)
{
	(void)state;
	flash_with(psync_open);
}

/* As a file system does that refuses direct I/O only when it is tried. */
static void refuse_direct(void *arg, uint64_t number, struct io_request *req)
{
	(void)arg, (void)number;
	if (req->op != IO_DATASYNC && fcntl(req->fd, F_GETFL) & O_DIRECT)
		req->result = -EINVAL;
}

static void a_file_system_that_refuses_the_first_direct_request_is_written_to(void **state)
{
	struct faulty_plan plan = { .inner = psync_open, .hook = refuse_direct };
	struct real_file file;
	struct write_bed bed;

	(void)state;
	if (!open_file(&file)) {
		print_message("skipped: no O_DIRECT in this folder\n");
		skip();
	}
	flash_file(&bed, &file, &plan);
	assert_int_equal(bed.status[0].state, BMAP_TARGET_DONE);
	assert_false(bed.targets[0].direct);
	assert_int_equal(bed.infos, 1);
	expect_image(&bed, &file);
	bed_free(&bed);
	close(file.fd);
	close(file.buffered_fd);
}

static void einval_that_stays_is_an_error(void **state)
{
	struct faulty_plan plan = {
		.inner = psync_open, .fail_at = 1, .fail_all_after = true, .errnum = EINVAL
	};
	struct real_file file;
	struct write_bed bed;

	(void)state;
	if (!open_file(&file)) {
		print_message("skipped: no O_DIRECT in this folder\n");
		skip();
	}
	flash_file(&bed, &file, &plan);
	assert_int_equal(bed.status[0].state, BMAP_TARGET_FAILED);
	assert_int_equal(bed.status[0].error.errnum, EINVAL);
	bed_free(&bed);
	close(file.fd);
	close(file.buffered_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(io_uring_writes_a_file),
		cmocka_unit_test(threads_write_a_file),
		cmocka_unit_test(a_file_system_that_refuses_the_first_direct_request_is_written_to),
		cmocka_unit_test(einval_that_stays_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
