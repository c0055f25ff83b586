/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "base/cleanup.h"

#include <bmap/file.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

/* Each test has an empty folder and stands in it. */
static int enter_folder(void **state)
{
	char folder[] = "/tmp/bmap-unit-XXXXXX";

	if (!mkdtemp(folder) || chdir(folder) < 0)
		return -1;
	*state = strdup(folder);
	return 0;
}

static int leave_folder(void **state)
{
	CLEANUP_FREE char *folder = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return chdir("/") < 0 || system(command) != 0 ? -1 : 0;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void expect_content(const char *path, const char *want)
{
	char got[64] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(got, want);
}

static size_t files_here(void)
{
	DIR *dir = opendir(".");
	size_t count = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		count += e->d_name[0] != '.' || e->d_name[1] == 'b';
	closedir(dir);
	return count;
}

static void a_file_is_written_and_replaced(void **state)
{
	struct bmap_error err;
	struct stat st;

	(void)state;
	assert_true(bmap_file_save("new", "the report", "one", 3, &err));
	expect_content("new", "one");
	assert_int_equal(chmod("new", 0640), 0);
	assert_int_equal(symlink("new", "link"), 0);
	assert_true(bmap_file_save("link", "the report", "two", 3, &err));
	expect_content("new", "two");
	assert_int_equal(stat("new", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(files_here(), 2);
}

static void the_check_leaves_everything_as_it_is(void **state)
{
	struct bmap_error err;

	(void)state;
	put("old", "before");
	assert_true(bmap_file_save_check("old", "the report", &err));
	assert_true(bmap_file_save_check("new", "the report", &err));
	expect_content("old", "before");
	assert_int_equal(files_here(), 1);
}

static void where_no_file_can_appear_is_said_by_both(void **state)
{
	static const struct {
		const char *path;
		enum bmap_error_code code;
		const char *says;
	} cases[] = {
		{ "absent/report", BMAP_ERR_NOT_FOUND, "absent/report: cannot write the report" },
		{ "file/report", BMAP_ERR_IO, "file/report" },
		{ "folder", BMAP_ERR_IO, "folder: cannot write the report" },
		{ "/dev/null", BMAP_ERR_REFUSED, "/dev/null: is no regular file" },
		{ "fifo", BMAP_ERR_REFUSED, "fifo: is no regular file" },
		{ "", BMAP_ERR_USAGE, "no name" },
	};

	(void)state;
	put("file", "");
	assert_int_equal(mkdir("folder", 0700), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_error err = { 0 }, check = { 0 };

		assert_false(bmap_file_save(cases[i].path, "the report", "x", 1, &err));
		assert_false(bmap_file_save_check(cases[i].path, "the report", &check));
		assert_string_equal(err.text, check.text);
		if (err.code != cases[i].code || !strstr(err.text, cases[i].says))
			fail_msg("'%s': code %d, '%s'", cases[i].path, err.code, err.text);
	}
}

static void save_with_little_room(void)
{
	const struct rlimit limit = { 2, 2 };
	struct bmap_error err;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	_exit(bmap_file_save("old", "the report", "after", 5, &err) || err.errnum != EFBIG);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	put("old", "before");
	pid = fork();
	if (!pid)
		save_with_little_room();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	expect_content("old", "before");
	assert_int_equal(files_here(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_is_written_and_replaced, enter_folder,
						leave_folder),
		cmocka_unit_test_setup_teardown(the_check_leaves_everything_as_it_is, enter_folder,
						leave_folder),
		cmocka_unit_test_setup_teardown(where_no_file_can_appear_is_said_by_both,
						enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(a_full_disk_leaves_the_old_file, enter_folder,
						leave_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
