/* SPDX-License-Identifier: MIT */
#include "sim/core/error.h"

G_DEFINE_QUARK(iommusim - error, sim_error)

int sim_error_line(GError **error, const char *file, uint64_t line, const char *format, ...)
{
	g_autofree char *message = NULL;
	va_list args;

	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, SIM_ERROR, SIM_ERROR_INPUT, "%s:%" G_GUINT64_FORMAT ": %s", file, line, message);
	return -1;
}

int sim_error_offset(GError **error, const char *file, uint64_t offset, const char *format, ...)
{
	g_autofree char *message = NULL;
	va_list args;

	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error(error, SIM_ERROR, SIM_ERROR_INPUT, "%s@%" G_GUINT64_FORMAT ": %s", file, offset, message);
	return -1;
}

int sim_error_plain(GError **error, const char *format, ...)
{
	g_autofree char *message = NULL;
	va_list args;

	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error_literal(error, SIM_ERROR, SIM_ERROR_INPUT, message);
	return -1;
}
