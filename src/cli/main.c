/* SPDX-License-Identifier: MIT */
/* bmaptool: the program around libbmap. This file finds the command and sets up what all share. */
#include "cli/command.h"
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct command *const commands[] = { &command_copy, &command_create, &command_verify,
						  &command_pack, &command_report, &command_list,
						  &command_bench };

struct main_args {
	struct common_args common;
	bool version;
	const char *command;
};

static const struct option_def main_options[] = {
	{ OPTION_GROUP, .help = "options" },
	{ OPTION_FLAG, "help", 'h', .help = "show this help and exit",
	  .place = offsetof(struct main_args, common.help) },
	{ OPTION_FLAG, "version", .help = "show the program's version and exit",
	  .place = offsetof(struct main_args, version) },
	{ OPTION_FLAG, "quiet", 'q', .help = "print only warnings and errors",
	  .place = offsetof(struct main_args, common.quiet) },
	{ OPTION_FLAG, "debug", 'd', .help = "print debugging information",
	  .place = offsetof(struct main_args, common.debug) },
};

static const struct argument_def main_arguments[] = {
	{ "COMMAND", "see above", offsetof(struct main_args, command) },
};

static const struct option_table main_table = {
	.options = main_options,
	.option_count = COUNT_OF(main_options),
	.arguments = main_arguments,
	.argument_count = COUNT_OF(main_arguments),
	.first_argument_ends = true,
};

static bool reopen_standard_descriptors(void);
static const struct command *find_command(const char *name);
static int print_program_help(void);
static int print_command_help(const struct command *command);
static int usage_error(const struct command *command, const char *error);
static int run_command(const struct command *command, const struct common_args *common, int argc,
		       char *const argv[]);
static int finish_stdout(void);

int main(int argc, char *argv[])
{
	struct main_args args = { 0 };
	const struct command *command;
	char error[OPTION_ERROR_ROOM];
	int used = 0;

	if (!reopen_standard_descriptors())
		return EXIT_FAILED;
	argc -= argc > 0;
	if (!options_parse(&main_table, argc, argv + 1, &args, &used, error))
		return usage_error(NULL, error);
	if (args.common.help)
		return print_program_help();
	if (args.version) {
		printf("bmaptool %s\n", bmap_version());
		return finish_stdout();
	}
	if (!options_complete(&main_table, &args, error))
		return usage_error(NULL, error);
	command = find_command(args.command);
	if (!command) {
		snprintf(error, sizeof(error), "unknown command '%.200s'", args.command);
		return usage_error(NULL, error);
	}
	return run_command(command, &args.common, argc - used, argv + 1 + used);
}

/* A descriptor that is closed now would be given to the next file that is opened, and log lines
 * would end up on the disk. 0 and 1 are opened the wrong way round, so that using them is still
 * the error that it was. */
static bool reopen_standard_descriptors(void)
{
	static const int modes[] = { O_WRONLY, O_RDONLY, O_WRONLY };

	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[fd]) != fd)
			return false;
	return true;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		const struct command *command = commands[i];

		if (!strcmp(command->name, name) ||
		    (command->alias && !strcmp(command->alias, name)))
			return command;
	}
	return NULL;
}

static void print_usage(const struct command *command, FILE *to)
{
	if (!command) {
		fputs("usage: bmaptool [-q | -d] COMMAND [OPTION]... ARGUMENT...\n", to);
		return;
	}
	fprintf(to, "usage: bmaptool %s [OPTION]...", command->name);
	for (size_t i = 0; i < command->table.argument_count; i++)
		fprintf(to, " %s%s", command->table.arguments[i].name,
			command->table.arguments[i].many ? "..." : "");
	fputc('\n', to);
}

static int print_program_help(void)
{
	print_usage(NULL, stdout);
	fputs("\nMakes block maps (bmaps) of disk images and flashes images by them: only the\n"
	      "blocks that hold data are written, and each is checked.\n\ncommands:\n",
	      stdout);
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		printf("  %-10s %s%s%s%s\n", commands[i]->name, commands[i]->summary,
		       commands[i]->alias ? " (also: " : "",
		       commands[i]->alias ? commands[i]->alias : "", commands[i]->alias ? ")" : "");
	options_print_help(&(const struct option_table){ .options = main_options,
							 .option_count = COUNT_OF(main_options) },
			   stdout);
	fputs("\nbmaptool COMMAND --help tells about a command. Exit status: 0 success, 1 "
	      "failure,\n"
	      "2 wrong usage, 128 + the signal's number if one ended the job.\n",
	      stdout);
	return finish_stdout();
}

static int print_command_help(const struct command *command)
{
	print_usage(command, stdout);
	printf("\n%s\narguments:\n", command->description);
	options_print_help(&command->table, stdout);
	return finish_stdout();
}

static int usage_error(const struct command *command, const char *error)
{
	struct output out;

	output_init(&out, false, false);
	print_usage(command, stderr);
	output_error(&out, "%s%s%s (%s%s%s --help tells more)", command ? command->name : "",
		     command ? ": " : "", error, "bmaptool", command ? " " : "",
		     command ? command->name : "");
	return EXIT_USAGE;
}

static int run_job(const struct command *command, const struct common_args *common,
		   const void *args)
{
	struct run run = { .command = command };
	struct bmap_error err = { 0 };
	int code;

	output_init(&run.out, common->quiet, common->debug);
	run.stop = bmap_stop_new(&err);
	if (!run.stop)
		return report_failure(&run, &err);
	signals_install(run.stop, &run.out, common->quiet);
	code = command->run(&run, args);
	signals_forget();
	bmap_stop_free(run.stop);
	return code;
}

static int run_command(const struct command *command, const struct common_args *common, int argc,
		       char *const argv[])
{
	char error[OPTION_ERROR_ROOM];
	struct common_args *args = calloc(1, command->args_bytes);
	int code, used;

	if (!args)
		return EXIT_FAILED;
	*args = *common;
	if (!options_parse(&command->table, argc, argv, args, &used, error))
		code = usage_error(command, error);
	else if (args->help)
		code = print_command_help(command);
	else if (args->quiet && args->debug)
		code = usage_error(command, "--quiet and --debug cannot be used together");
	else if (!options_complete(&command->table, args, error) ||
		 (command->check && !command->check(args, error)))
		code = usage_error(command, error);
	else
		code = run_job(command, args, args);
	options_free(&command->table, args);
	free(args);
	return code;
}

/* What could not be written to standard output is a failure: "--help >/dev/full". */
static int finish_stdout(void)
{
	struct output out;

	output_init(&out, false, false);
	return output_flush_stdout(&out) ? EXIT_OK : EXIT_FAILED;
}

int report_failure(struct run *run, const struct bmap_error *err)
{
	output_error(&run->out, "%s", err->text);
	return err->code == BMAP_ERR_INTERRUPTED && signals_exit_code() ? signals_exit_code()
									: EXIT_FAILED;
}
