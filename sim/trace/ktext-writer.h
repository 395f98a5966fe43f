/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_KTEXT_WRITER_H
#define SIM_TRACE_KTEXT_WRITER_H

/*
 * The other direction of ktext.h: what the writers of Linux's text have in common.
 */
#include "sim/trace/writer.h"

/** Devices of the stream as block devices, MAJOR,MINOR. */
struct ktext_devices {
	GArray *devices; /* of struct ktext_device, by index in the stream */
	uint32_t count;	 /* of block devices so far */
};

struct ktext_device {
	bool known;
	bool is_controller;    /* "nvme3": its commands are not for any block device */
	uint32_t major, minor; /* 0,0 for a controller */
	uint32_t instance;     /* of the controller; of a block device some, to each its own */
};

#define KTEXT_MADE_MAJOR 2047 /* of devices that have another name; MINOR is their index */

void ktext_devices_init(struct ktext_devices *devices);
void ktext_devices_finish(struct ktext_devices *devices);

/** Returns device @index, borrowed until the next call. Where its name is no MAJOR,MINOR, that is counted once, unless it is a
 *  controller's and @controllers says that the format names those. */
const struct ktext_device *ktext_device_of(struct ktext_devices *devices, struct trace_writer *writer,
					   uint32_t index, bool controllers);

/** Returns what a recording prints as @error of a block completion: itself, or, counted, -EIO. */
int ktext_error_of(struct trace_writer *writer, int32_t error);

#endif
