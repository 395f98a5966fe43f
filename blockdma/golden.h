/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_GOLDEN_H
#define BLOCKDMA_GOLDEN_H

/*
 * Replays a recording of the kernel's block DMA path, from requests to NVMe commands and back: its cases, requests and
 * scripts are read, the answers to them are the model's, under the kernel that the first line names.
 */
#include "sim/core/golden.h"

extern const struct golden_runner blockdma_golden_runner;

#endif
