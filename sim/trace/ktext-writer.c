/* SPDX-License-Identifier: MIT */
#include "sim/trace/ktext-writer.h"

#include <errno.h>
#include <string.h>

#include "sim/trace/ktext.h"

#define ERROR_MAX 4095 /* as readers take it */

void ktext_devices_init(struct ktext_devices *devices)
{
	devices->devices = g_array_new(FALSE, TRUE, sizeof(struct ktext_device));
}

void ktext_devices_finish(struct ktext_devices *devices)
{
	g_array_unref(devices->devices);
}

static bool is_block_device(const char *name, struct ktext_device *device)
{
	struct scan scan = {.at = name, .end = name + strlen(name)};
	uint32_t number;

	if (!ktext_device(&scan, &number) || scan.at != scan.end)
		return false;
	device->major = number >> 20;
	device->minor = number & 0xfffff;
	return true;
}

static bool is_controller(const char *name, struct ktext_device *device)
{
	struct scan scan = {.at = name, .end = name + strlen(name)};
	uint64_t instance;

	if (!SCAN(&scan, "nvme") || !scan_decimal(&scan, &instance) || instance >= 1u << 16 ||
	    scan.at != scan.end)
		return false;
	device->is_controller = true;
	device->instance = (uint32_t)instance;
	return true;
}

const struct ktext_device *ktext_device_of(struct ktext_devices *devices, struct trace_writer *writer,
					   uint32_t index, bool controllers)
{
	const char *name = io_stream_device_name(writer->stream, index);
	struct ktext_device *device;

	if (index >= devices->devices->len)
		g_array_set_size(devices->devices, index + 1);
	device = &g_array_index(devices->devices, struct ktext_device, index);
	if (device->known)
		return device;
	device->known = true;
	if (is_controller(name, device)) {
		if (!controllers)
			trace_writer_drop(writer, TRACE_FACT_DEVICE);
		return device;
	}
	if (!is_block_device(name, device)) {
		trace_writer_drop(writer, TRACE_FACT_DEVICE);
		device->major = KTEXT_MADE_MAJOR;
		device->minor = index;
	}
	device->instance = MIN(devices->count, UINT16_MAX);
	devices->count++;
	return device;
}

int ktext_error_of(struct trace_writer *writer, int32_t error)
{
	if (error >= -ERROR_MAX && error <= ERROR_MAX)
		return error;
	trace_writer_drop(writer, TRACE_FACT_ERROR);
	return -EIO;
}
