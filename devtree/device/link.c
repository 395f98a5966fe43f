/* SPDX-License-Identifier: MIT */
/*
 * Device links. One exists per pair, however often it is added, and holds both ends until its release, which a work item
 * runs some time after it was deleted. Source: drivers/base/core.c of Linux 7.0.
 */
#include "devtree/device/device.h"

#include "devtree/device/faults.h"

static void link_count(struct device_link *link, void (*count)(struct device *, const char *, const char *),
		       const char *site)
{
	g_autofree char *to_consumer = g_strconcat("link of ", link->consumer->path, NULL);
	g_autofree char *to_supplier = g_strconcat("link to ", link->supplier->path, NULL);

	count(link->supplier, to_consumer, site);
	count(link->consumer, to_supplier, site);
}

struct device_link *device_link_find(struct device *consumer, struct device *supplier)
{
	GPtrArray *links = consumer->core->links;

	for (guint i = 0; i < links->len; i++) {
		struct device_link *link = g_ptr_array_index(links, i);

		if (!link->gone && link->consumer == consumer && link->supplier == supplier)
			return link;
	}
	return NULL;
}

struct device_link *device_link_add(struct device *consumer, struct device *supplier, unsigned flags)
{
	struct device_link *link;

	if (sim_fault(consumer->core->sim, FAULT_DEVTREE_LINK))
		return NULL;
	link = device_link_find(consumer, supplier);
	if (link) {
		link->refs++;
		return link;
	}
	link = g_new0(struct device_link, 1);
	link->consumer = consumer;
	link->supplier = supplier;
	link->flags = flags;
	link->refs = 1;
	g_ptr_array_add(consumer->core->links, link);
	link_count(link, device_get_own, "device_link_add");
	return link;
}

/** Takes it off the lists; the references go when the work item runs. */
static void link_drop(struct device_link *link)
{
	link->gone = true;
	g_ptr_array_add(link->consumer->core->link_work, link);
}

void device_link_del(struct device_link *link)
{
	if (!link || link->gone)
		return;
	g_assert(link->flags & LINK_STATELESS);
	if (--link->refs == 0)
		link_drop(link);
}

void device_links_flush(struct device_core *core)
{
	for (guint i = 0; i < core->link_work->len; i++) {
		struct device_link *link = g_ptr_array_index(core->link_work, i);

		link_count(link, device_put_own, "device_link_release_fn");
	}
	g_ptr_array_set_size(core->link_work, 0);
}

bool device_links_suppliers_bound(const struct device *dev)
{
	GPtrArray *links = dev->core->links;

	for (guint i = 0; i < links->len; i++) {
		const struct device_link *link = g_ptr_array_index(links, i);

		if (!link->gone && link->consumer == dev && !(link->flags & LINK_STATELESS) &&
		    !link->supplier->bound)
			return false;
	}
	return true;
}

void device_links_unbind_consumers(struct device *supplier)
{
	GPtrArray *links = supplier->core->links;

	for (guint i = 0; i < links->len; i++) {
		struct device_link *link = g_ptr_array_index(links, i);

		if (!link->gone && link->supplier == supplier && !(link->flags & LINK_STATELESS) &&
		    link->consumer->bound)
			device_release_driver(link->consumer);
	}
}

void device_links_supplier_unbound(struct device *supplier)
{
	GPtrArray *links = supplier->core->links;

	for (guint i = 0; i < links->len; i++) {
		struct device_link *link = g_ptr_array_index(links, i);

		if (!link->gone && link->supplier == supplier && (link->flags & LINK_AUTOREMOVE_SUPPLIER))
			link_drop(link);
	}
}

void device_links_purge(struct device *dev)
{
	GPtrArray *links = dev->core->links;

	for (guint i = 0; i < links->len; i++) {
		struct device_link *link = g_ptr_array_index(links, i);

		if (!link->gone && (link->supplier == dev || link->consumer == dev))
			link_drop(link);
	}
}
