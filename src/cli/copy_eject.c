/* SPDX-License-Identifier: MIT */
#include "cli/copy.h"

int copy_eject(struct run *run, const struct bmap_flash_result *result, int code,
	       struct bmap_error *first)
{
	int failed = EXIT_OK;

	*first = (struct bmap_error){ .code = BMAP_ERR_NONE };
	for (size_t i = 0; i < result->target_count; i++) {
		const struct bmap_target_report *target = &result->targets[i];
		struct bmap_error err;

		if (target->state != BMAP_TARGET_DONE)
			continue;
		if (!target->device) {
			output_info(&run->out, "%s: no block device, not ejected", target->name);
		} else if (!bmap_device_eject(target->name, &run->out.log, &err)) {
			failed = report_failure(run, &err);
			if (first->code == BMAP_ERR_NONE)
				*first = err;
		}
	}
	return code != EXIT_OK ? code : failed; /* a signal's code stays */
}
