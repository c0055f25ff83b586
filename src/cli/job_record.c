/* SPDX-License-Identifier: MIT */
#include "cli/job_record.h"
#include "cli/json_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void make_uuid(char out[UUID_ROOM])
{
	unsigned char b[16];

	/* Up to 256 bytes come whole, once the system has any: getrandom(2). */
	while (getrandom(b, sizeof(b), 0) != sizeof(b))
		;
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(out, UUID_ROOM,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

void job_record_begin(struct job_record *record, const struct bmap_flash_options *options,
		      const char *id, const char *report_path)
{
	*record = (struct job_record){
		.options = options,
		.id = id,
		.report_path = report_path,
		.image_name = bmap_name_to_show(options->image),
	};
	clock_gettime(CLOCK_REALTIME, &record->began);
	if (id)
		return;
	make_uuid(record->made_id);
	record->id = record->made_id;
}

void job_record_end(struct job_record *record)
{
	free(record->image_name);
	record->image_name = NULL;
}

bool job_id_is_good(const char *id)
{
	for (const char *p = id; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return *id && strlen(id) <= JOB_ID_MAX_BYTES && text_is_utf8(id);
}
