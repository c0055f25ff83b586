/* SPDX-License-Identifier: MIT */
/* cli/command.h - what a sub-command is, and what all of them share. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "cli/options.h"
#include "cli/output.h"

#include <bmap/bmap.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/* Options that every command takes, before its name too. First in each command's own struct. */
struct common_args {
	bool help;
	bool quiet;
	bool debug;
};

/* Of the commands that read a bmap; in their structs as "signature". */
struct signature_args {
	const char *bmap_sig, *keyring, *fingerprint;
	bool no_sig_verify;
};

struct run {
	const struct command *command;
	struct output out;
	struct bmap_stop *stop; /* requested by signals */
};

struct command {
	const char *name;
	const char *alias; /* may be NULL */
	const char *summary; /* half a line */
	const char *description; /* lines, each with its newline */
	struct option_table table;
	size_t args_bytes; /* of the struct that the table fills, zeroed before */
	/* Returns the exit code. A false from check means that args make no sense together: it
	 * has filled error (OPTION_ERROR_ROOM), nothing was touched. */
	bool (*check)(const void *args, char *error);
	int (*run)(struct run *run, const void *args);
};

extern const struct command command_bench;
extern const struct command command_copy;
extern const struct command command_create;
extern const struct command command_list;
extern const struct command command_pack;
extern const struct command command_report;
extern const struct command command_verify;

/* Prints the error of a job that failed and gives its exit code: 128 + signal if it ended because
 * of one. */
int report_failure(struct run *run, const struct bmap_error *err);

/* A check of a command: false, with error filled, if both halves of one of the pairs were given. */
struct conflict {
	bool first, second;
	const char *names; /* "--this and --that" */
};
bool conflicts_check(const struct conflict *pairs, size_t count, char *error);
bool signature_args_check(const struct signature_args *args, char *error);

/* The first rows of a command's option table; type begins with a struct common_args. */
#define COMMON_OPTIONS(type)                                                                       \
	{ OPTION_GROUP, .help = "general options" },                                               \
		{ OPTION_FLAG, "help", 'h', .help = "show this help and exit",                     \
		  .place = offsetof(type, common.help) },                                          \
		{ OPTION_FLAG,                                                                     \
		  "quiet",                                                                         \
		  'q',                                                                             \
		  .added = true,                                                                   \
		  .help = "print only warnings and errors",                                        \
		  .place = offsetof(type, common.quiet) },                                         \
	{                                                                                          \
		OPTION_FLAG, "debug", 'd', .added = true, .help = "print debugging information",   \
					   .place = offsetof(type, common.debug)                   \
	}

#define SIGNATURE_OPTIONS(type)                                                                    \
	{ OPTION_TEXT, "bmap-sig", .value_name = "FILE",                                           \
	  .help = "the detached signature of the bmap (default: the bmap's name with .asc or "     \
		  ".sig behind it, if there is such a file; a clearsigned bmap holds its own)",    \
	  .place = offsetof(type, signature.bmap_sig) },                                           \
		{ OPTION_FLAG, "no-sig-verify",                                                    \
		  .help = "take the bmap without a look at its signature",                         \
		  .place = offsetof(type, signature.no_sig_verify) },                              \
		{ OPTION_TEXT, "keyring", .value_name = "FILE",                                    \
		  .help = "the keys that may sign the bmap, for gpgv; a signature is then needed " \
			  "(default: gpg and your own keyring)",                                   \
		  .place = offsetof(type, signature.keyring) },                                    \
	{                                                                                          \
		OPTION_TEXT, "fingerprint",                                                        \
			.value_name = "HEX",                                                       \
			.help = "the key that must have signed the bmap: its full fingerprint, "   \
				"or that of its primary key",                                      \
			.place = offsetof(type, signature.fingerprint)                             \
	}

#define MEMBER_OPTION(type)                                                                        \
	{                                                                                          \
		OPTION_TEXT, "member", .added = true, .value_name = "NAME",                        \
				       .help = "the file to take out of a tar or zip archive, by " \
					       "its full name or base name (default: its first "   \
					       "regular file)",                                    \
				       .place = offsetof(type, member)                             \
	}

#define MEMORY_OPTION(type)                                                                        \
	{                                                                                          \
		OPTION_SIZE, "memory", .added = true, .value_name = "SIZE",                        \
				       .help = "use at most so much memory, such as 64M or 1G "    \
					       "(default: 256M, or a quarter of "                  \
					       "the machine's if that is less)",                   \
				       .place = offsetof(type, memory_bytes)                       \
	}

#define QUEUE_DEPTH_OPTION(type, what)                                                             \
	{                                                                                          \
		OPTION_COUNT, "queue-depth", .added = true, .value_name = "N", .help = what,       \
					     .place = offsetof(type, queue_depth), .max = 4096     \
	}

#define WORKERS_OPTION(type, what)                                                                 \
	{                                                                                          \
		OPTION_COUNT, "workers",                                                           \
			.added = true, .value_name = "N",                                          \
			.help = what " with N threads (default: one per processor)",               \
			.place = offsetof(type, workers), .max = 1024                              \
	}

#endif
