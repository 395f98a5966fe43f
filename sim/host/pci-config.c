/* SPDX-License-Identifier: MIT */
#include "sim/host/pci-config.h"

#include <string.h>

#define STATUS_HAS_CAPS 0x10u
#define FIRST_CAP	0x40u
#define FIRST_EXTENDED	0x100u

/** Returns the little-endian number of @width bytes at @offset; what is not known is 0. */
static uint64_t get(const struct pci_config *config, size_t offset, unsigned width)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < width && offset + i < config->len; i++)
		value |= (uint64_t)config->bytes[offset + i] << 8 * i;
	return value;
}

static bool damaged(struct pci_damage *damage, unsigned offset, const char *format, ...) G_GNUC_PRINTF(3, 4);

static bool damaged(struct pci_damage *damage, unsigned offset, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	damage->offset = offset;
	damage->what = g_strdup_vprintf(format, args);
	va_end(args);
	return false;
}

/* ---- header ---- */

/** Decodes the BAR @number. Returns how many registers it takes. */
static unsigned decode_bar(struct pci_config *config, unsigned number, unsigned count)
{
	uint32_t low = (uint32_t)get(config, 0x10 + 4 * number, 4);
	struct pci_bar bar = {.number = number, .io = low & 1};

	if (bar.io) {
		bar.address = low & ~3u;
	} else {
		bar.wide = (low >> 1 & 3) == 2 && number + 1 < count;
		bar.prefetchable = low & 8;
		bar.address = low & ~15u;
		if (bar.wide)
			bar.address |= get(config, 0x14 + 4 * number, 4) << 32;
	}
	/* An unused one reads as 0, and so does one that nobody has placed. */
	if (low || bar.address)
		config->bars[config->bar_count++] = bar;
	return bar.wide ? 2 : 1;
}

static bool decode_header(struct pci_config *config, struct pci_damage *damage)
{
	unsigned type = config->bytes[0x0e] & 0x7f, bars = type == 0 ? 6 : type == 1 ? 2 : 0;

	config->vendor = (uint16_t)get(config, 0x00, 2);
	config->device = (uint16_t)get(config, 0x02, 2);
	config->revision = config->bytes[0x08];
	config->class_code = (uint32_t)get(config, 0x09, 3);
	config->is_bridge = type == 1;
	if (config->vendor == 0xffff || config->vendor == 0)
		return damaged(damage, 0, "vendor %04x: there is no device", config->vendor);
	if (type > 2)
		return damaged(damage, 0x0e, "header of an unknown type, %u", type);
	if (type == 0) {
		config->subvendor = (uint16_t)get(config, 0x2c, 2);
		config->subdevice = (uint16_t)get(config, 0x2e, 2);
	}
	if (config->is_bridge) {
		config->primary = config->bytes[0x18];
		config->secondary = config->bytes[0x19];
		config->subordinate = config->bytes[0x1a];
	}
	for (unsigned number = 0; number < bars;)
		number += decode_bar(config, number, bars);
	return true;
}

/* ---- capabilities ---- */

/** Adds the capability of @id at @offset, which lies before @end like all of its registers. */
static bool add_cap(struct pci_config *config, unsigned id, unsigned offset, unsigned version, unsigned end,
		    struct pci_damage *damage)
{
	struct pci_cap cap = {.id = id,
			      .offset = (uint16_t)offset,
			      .version = (uint8_t)version,
			      .kind = pci_cap_kind_find(id)};

	if (cap.kind && offset + cap.kind->min_bytes > end)
		return damaged(damage, offset, "capability \"%s\" does not fit before 0x%x", cap.kind->label,
			       end);
	g_array_append_val(config->caps, cap);
	return true;
}

static bool decode_standard(struct pci_config *config, struct pci_damage *damage)
{
	unsigned pointer_at = (config->bytes[0x0e] & 0x7f) == 2 ? 0x14 : 0x34;
	bool seen[PCI_STANDARD_BYTES / 4] = {false};
	unsigned offset;

	if (!(get(config, 0x06, 2) & STATUS_HAS_CAPS))
		return true;
	offset = config->bytes[pointer_at] & ~3u;
	if (offset && config->len < PCI_STANDARD_BYTES) {
		config->lacks_standard = config->lacks_extended = true;
		return true;
	}
	while (offset) {
		if (offset < FIRST_CAP)
			return damaged(damage, pointer_at, "capability at 0x%02x, in the header", offset);
		if (seen[offset / 4])
			return damaged(damage, pointer_at, "list of capabilities leads back to 0x%02x",
				       offset);
		seen[offset / 4] = true;
		if (config->bytes[offset] == 0xff)
			return damaged(damage, offset, "capability that does not answer (ff)");
		if (!add_cap(config, config->bytes[offset], offset, 0, PCI_STANDARD_BYTES, damage))
			return false;
		pointer_at = offset + 1;
		offset = config->bytes[pointer_at] & ~3u;
	}
	return true;
}

static bool decode_extended(struct pci_config *config, struct pci_damage *damage)
{
	bool seen[PCI_CONFIG_BYTES / 4] = {false};
	unsigned offset = FIRST_EXTENDED, before = FIRST_EXTENDED;

	if (!pci_config_find(config, PCI_CAP_PCIE))
		return true;
	if (config->len < PCI_CONFIG_BYTES) {
		config->lacks_extended = true;
		return true;
	}
	while (offset) {
		uint32_t header = (uint32_t)get(config, offset, 4);

		if (offset < FIRST_EXTENDED)
			return damaged(damage, before, "extended capability at 0x%03x, before 0x100", offset);
		if (seen[offset / 4])
			return damaged(damage, before, "list of extended capabilities leads back to 0x%03x",
				       offset);
		seen[offset / 4] = true;
		/* An empty list; in the middle, nothing but what stands behind it. */
		if (offset == FIRST_EXTENDED && (header == 0 || header == UINT32_MAX))
			return true;
		if (header == UINT32_MAX)
			return damaged(damage, offset, "extended capability that does not answer (ff)");
		if ((header & 0xffff) && !add_cap(config, PCI_EXTENDED | (header & 0xffff), offset,
						  header >> 16 & 0xf, PCI_CONFIG_BYTES, damage))
			return false;
		before = offset;
		offset = header >> 20 & ~3u;
	}
	return true;
}

bool pci_config_decode(const uint8_t *bytes, size_t len, struct pci_config *ret_config,
		       struct pci_damage *ret_damage)
{
	g_assert(len >= PCI_HEADER_BYTES);
	g_assert(len <= PCI_CONFIG_BYTES);
	memset(ret_config, 0, sizeof(*ret_config));
	memcpy(ret_config->bytes, bytes, len);
	ret_config->len = len;
	ret_config->caps = g_array_new(FALSE, FALSE, sizeof(struct pci_cap));
	return decode_header(ret_config, ret_damage) && decode_standard(ret_config, ret_damage) &&
	       decode_extended(ret_config, ret_damage);
}

void pci_config_finish(struct pci_config *config)
{
	g_clear_pointer(&config->caps, g_array_unref);
}

/* ---- asking ---- */

const struct pci_cap *pci_config_find(const struct pci_config *config, unsigned id)
{
	for (guint i = 0; i < config->caps->len; i++)
		if (g_array_index(config->caps, struct pci_cap, i).id == id)
			return &g_array_index(config->caps, struct pci_cap, i);
	return NULL;
}

uint64_t pci_cap_value(const struct pci_config *config, const struct pci_cap *cap,
		       const struct pci_field *field)
{
	unsigned width = (field->low + field->bits + 7u) / 8;
	uint64_t raw = get(config, cap->offset + field->offset, width) >> field->low;

	if (field->bits < 64)
		raw &= (UINT64_C(1) << field->bits) - 1;
	if (!raw && field->zero)
		return field->zero;
	if (field->kind == PCI_POWER)
		return (uint64_t)field->add << raw;
	return (raw + field->add) << field->shift;
}

uint64_t pci_config_value(const struct pci_config *config, unsigned id, const char *key)
{
	const struct pci_cap *cap = pci_config_find(config, id);

	for (const struct pci_field *field = cap ? cap->kind->fields : NULL; field && field->key; field++)
		if (strcmp(field->key, key) == 0)
			return pci_cap_value(config, cap, field);
	return 0;
}
