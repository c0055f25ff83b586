/* SPDX-License-Identifier: MIT */
/* Options that make no sense together. */
#include "cli/command.h"

#include <stdio.h>

bool conflicts_check(const struct conflict *pairs, size_t count, char *error)
{
	for (size_t i = 0; i < count; i++) {
		if (pairs[i].first && pairs[i].second) {
			snprintf(error, OPTION_ERROR_ROOM, "%s cannot be used together",
				 pairs[i].names);
			return false;
		}
	}
	return true;
}

bool signature_args_check(const struct signature_args *args, char *error)
{
	const struct conflict pairs[] = {
		{ args->bmap_sig, args->no_sig_verify, "--bmap-sig and --no-sig-verify" },
		{ args->no_sig_verify, args->keyring, "--no-sig-verify and --keyring" },
		{ args->no_sig_verify, args->fingerprint, "--no-sig-verify and --fingerprint" },
	};

	return conflicts_check(pairs, COUNT_OF(pairs), error);
}
