/* SPDX-License-Identifier: MIT */
/* pipeline/archive_stage.h - for decode_stage.c: the stage that feeds another one. */
#ifndef PIPELINE_ARCHIVE_STAGE_H
#define PIPELINE_ARCHIVE_STAGE_H

#include "pipeline/decode_stage.h"

struct inner_stage;
/* config->archive is set. The stage that is returned owns its inner one. */
struct decode_stage *archive_stage_start(const struct decode_stage_config *config,
					 struct bmap_error *err);
/* As decode_stage_stop() and so on; after the outer stage's. */
void inner_stage_stop(struct inner_stage *inner);
void inner_stage_join(struct inner_stage *inner);
void inner_stage_free(struct inner_stage *inner);
uint64_t inner_stage_source_bytes(const struct inner_stage *inner);

#endif
