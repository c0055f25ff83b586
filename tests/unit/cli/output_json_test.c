/* SPDX-License-Identifier: MIT */
/* Events from made-up reports of a job, read back from a pipe. */
#include "unit_test.h"

#include "cli/output_json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define NS_PER_MS 1000000ull
#define ROOM 65536

static const char *const names[] = { "a", "b" };

struct bed {
	int fd[2];
	struct output out;
	struct bmap_flash_options options;
	struct job_record record;
	struct json_events events;
	struct bmap_image_report image;
	struct bmap_target_report targets[2];
	struct bmap_flash_progress progress;
	char text[ROOM];
};

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	if (!bed || pipe2(bed->fd, O_CLOEXEC | O_NONBLOCK))
		return -1;
	output_init(&bed->out, true, false);
	bed->options = (struct bmap_flash_options)BMAP_FLASH_OPTIONS_INIT;
	bed->options.image = "img";
	bed->options.targets = names;
	bed->options.target_count = 2;
	job_record_begin(&bed->record, &bed->options, "job", NULL);
	json_events_begin(&bed->events, bed->fd[1], &bed->out, NULL, &bed->record);
	for (size_t i = 0; i < 2; i++)
		bed->targets[i].name = names[i];
	bed->progress = (struct bmap_flash_progress){
		.image = &bed->image, .targets = bed->targets, .target_count = 2, .total_bytes = 100
	};
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	job_record_end(&bed->record);
	close(bed->fd[0]);
	close(bed->fd[1]);
	free(bed);
	return 0;
}

/* The names of the events since it was asked last, each with a space behind it. */
static const char *heard(struct bed *bed)
{
	static char list[1024];
	ssize_t n = read(bed->fd[0], bed->text, ROOM - 1);
	char *line, *rest = bed->text;

	list[0] = '\0';
	bed->text[n > 0 ? n : 0] = '\0';
	while ((line = strsep(&rest, "\n")) && *line) {
		json_t *event = json_loads(line, 0, NULL);

		assert_non_null(event);
		strcat(list, json_string_value(json_object_get(event, "event")));
		strcat(list, " ");
		json_decref(event);
	}
	return list;
}

static void report_at(struct bed *bed, uint64_t ms)
{
	bed->progress.elapsed_ns = ms * NS_PER_MS;
	json_events_progress(&bed->events, &bed->progress);
}

static void end(struct bed *bed, const struct bmap_error *err)
{
	const struct bmap_flash_result result = { .image = bed->image,
						  .targets = bed->targets,
						  .target_count = bed->progress.target_count };

	json_events_end(&bed->events, &result, err, NULL, err ? 1 : 0);
}

static void progress_is_told_twice_a_second_at_most(void **state)
{
	static const struct {
		uint64_t ms;
		const char *events;
	} cases[] = {
		{ 3, "start target target " },
		{ 499, "" },
		{ 500, "progress " },
		{ 999, "" },
		{ 1001, "progress " },
		{ 1500, "" },
		{ 1501, "progress " },
		{ 9000, "progress " },
		{ 9001, "" },
	};
	struct bed *bed = *state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		report_at(bed, cases[i].ms);
		assert_string_equal(heard(bed), cases[i].events);
	}
	bed->targets[0].state = bed->targets[1].state = BMAP_TARGET_DONE;
	end(bed, NULL);
	assert_string_equal(heard(bed), "target-done target-done summary ");
}

static void a_failure_is_told_once_and_at_once(void **state)
{
	const struct bmap_error own = { .code = BMAP_ERR_IO, .text = "a: broken" };
	struct bed *bed = *state;

	report_at(bed, 1);
	heard(bed);
	bed->targets[0].state = BMAP_TARGET_FAILED;
	bed->targets[0].error = &own;
	report_at(bed, 2);
	assert_string_equal(heard(bed), "error target-done ");
	report_at(bed, 3);
	assert_string_equal(heard(bed), "");
	bed->targets[1].state = BMAP_TARGET_DONE;
	report_at(bed, 4); /* what ends it comes at the end */
	assert_string_equal(heard(bed), "");
	end(bed, &own);
	assert_string_equal(heard(bed), "target-done summary ");
}

static void what_ends_the_whole_job_is_one_error(void **state)
{
	const struct bmap_error job = { .code = BMAP_ERR_DATA, .text = "img: broken" };
	struct bed *bed = *state;

	report_at(bed, 1);
	heard(bed);
	for (size_t i = 0; i < 2; i++) {
		bed->targets[i].state = BMAP_TARGET_FAILED;
		bed->targets[i].error = &job;
		bed->targets[i].whole_job = true;
	}
	report_at(bed, 2);
	end(bed, &job);
	assert_string_equal(heard(bed), "target-done target-done error summary ");
}

static void a_job_that_never_began_has_start_error_and_summary(void **state)
{
	const struct bmap_error job = { .code = BMAP_ERR_NOT_FOUND, .text = "img: not there" };
	struct bed *bed = *state;

	bed->progress.target_count = 0;
	end(bed, &job);
	assert_string_equal(heard(bed), "start error summary ");
}

static void a_full_pipe_loses_progress_only(void **state)
{
	struct bed *bed = *state;
	char line[4096];
	size_t filled = 0;
	ssize_t n;

	memset(line, ' ', sizeof(line));
	report_at(bed, 1);
	heard(bed);
	while ((n = write(bed->fd[1], line, sizeof(line))) > 0)
		filled += (size_t)n;
	report_at(bed, 1000); /* waits in memory */
	report_at(bed, 2000);
	report_at(bed, 3000);
	bed->targets[0].state = BMAP_TARGET_FAILED;
	report_at(bed, 3001);
	while (filled && (n = read(bed->fd[0], bed->text, filled)) > 0)
		filled -= (size_t)n;
	report_at(bed, 3002);
	assert_string_equal(heard(bed), "progress target-done ");
	bed->targets[1].state = BMAP_TARGET_DONE;
	end(bed, NULL);
	assert_string_equal(heard(bed), "target-done summary ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(progress_is_told_twice_a_second_at_most, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_failure_is_told_once_and_at_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_ends_the_whole_job_is_one_error, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_job_that_never_began_has_start_error_and_summary,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_pipe_loses_progress_only, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
