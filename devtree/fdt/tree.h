/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_FDT_TREE_H
#define DEVTREE_FDT_TREE_H

/*
 * A board's device tree, read from its blob through libfdt: nodes in document order, with their properties as bounded
 * ranges of bytes.
 *
 * Loading checks the whole structure of the blob, so that nothing later can read outside it. What a property *says* is not
 * checked here: each getter looks at the length first and says no where the bytes are not there. Nodes are kept
 * however deep they are; Linux drops those at depth DT_DEPTH_MAX and more, and dt_node_dropped() says so.
 *
 * Kinds of problem are named once, for messages, for `devtree check` and for the facts. Where Linux reads a tree in its own
 * way (drivers/of, version 7.0), the function says so.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/** A blob announcing more is refused: arm64 boots none above 2 MiB, the largest board in Linux has a quarter of one. */
#define DT_BLOB_BYTES_MAX (4u << 20)
#define DT_DEPTH_MAX	  63 /* depth at which Linux drops a node, the root's is 0 (FDT_MAX_DEPTH - 1) */
#define DT_ARGS_MAX	  16 /* cells kept of a reference (MAX_PHANDLE_ARGS) */

/** What can be wrong, by the layer that finds it. */
enum dt_kind {
	DT_FINE,
	/* the blob: it cannot be read at all */
	DT_TRUNCATED,
	DT_BAD_MAGIC,
	DT_BAD_OFFSET,
	DT_BAD_VERSION,
	DT_BAD_STRUCTURE,
	/* the tree */
	DT_DUPLICATE_PHANDLE,
	DT_TOO_DEEP,
	/* a binding: one property cannot be resolved, the rest is usable */
	DT_DANGLING_PHANDLE,
	DT_MISSING_CELLS, /* the target lacks #iommu-cells */
	DT_BAD_CELL_COUNT,
	DT_BAD_LENGTH,
	DT_BASE_OUTSIDE_MASK,
	DT_PHANDLE_CYCLE,
	DT_MAP_OVERLAP, /* legal: a warning */
	/* a driver: this one cannot work with what the tree says */
	DT_WRONG_CELL_COUNT,
	DT_LARB_COUNT,
	DT_LARB_ID_RANGE,
	DT_LARB_ID_DUPLICATE,
	DT_ASID_RANGE,
	DT_MISSING_REG,
	DT_KINDS,
};

enum dt_layer { DT_LAYER_NONE, DT_LAYER_BLOB, DT_LAYER_TREE, DT_LAYER_BINDING, DT_LAYER_DRIVER };

struct dt_kind_info {
	const char *name;  /* "missing-iommu-cells" */
	const char *facts; /* how the facts spell it: "no-cells"; NULL where they never do */
	enum dt_layer layer;
	bool warning;
};

extern const struct dt_kind_info dt_kinds[DT_KINDS];

struct dt_property {
	const char *name;
	const uint8_t *value; /* @len bytes in the blob, big-endian cells, any alignment */
	uint32_t len;
};

/** What the default populate pass makes of a node. */
enum dt_device {
	DT_DEVICE_NONE, /* nothing, or another driver does later */
	DT_DEVICE_PLATFORM,
	DT_DEVICE_AMBA,
};

struct dt_node {
	struct dt_node *parent, *child, *sibling; /* first child and next sibling, in document order */
	const char *name;			  /* with its unit address: "iommu@1000"; "" for the root */
	const struct dt_property *properties;
	uint32_t property_count;
	uint32_t index;	     /* place in document order, the root's is 0 */
	uint32_t depth;	     /* the root's is 0 */
	uint32_t phandle;    /* 0: none */
	bool phandle_reused; /* an earlier node has the same phandle, and keeps it */
	bool status_okay; /* its own status is absent, "okay" or "ok": what of_device_is_available() says */
	bool available;	  /* so is that of every ancestor */
	enum dt_device device; /* made at boot, see populate.h */
	/* #address-cells and #size-cells for its children: its own, else those of the nearest ancestor that has them, else 1
	 * (of_bus_n_addr_cells()). Not bounded. */
	uint32_t address_cells, size_cells;
	GHashTable *by_name; /* the reader's own: name -> property, where there are many */
};

struct devtree {
	char *name;	       /* as the user gave it, for messages */
	struct dt_node *nodes; /* @node_count in document order */
	uint32_t node_count;
	/* the rest is the reader's own */
	uint8_t *blob;
	struct dt_property *properties;
	GHashTable *phandles; /* phandle -> first node that has it */
};

/** Reads @path ("-" is stdin, .gz and .zst as any input). Returns NULL with "PATH@OFFSET: KIND: sentence" in *@error and
 *  the kind in *@reterr_kind (may be NULL; DT_FINE when the file itself could not be read). Free with devtree_free(). */
struct devtree *devtree_load(const char *path, enum dt_kind *reterr_kind, GError **error);

/** The same of @size bytes at @blob, which are copied; called @name in messages. */
struct devtree *devtree_parse(const char *name, const void *blob, size_t size, enum dt_kind *reterr_kind,
			      GError **error);
/** NULL is allowed. */
void devtree_free(struct devtree *tree);

/** Returns the node at @path ("/soc/iommu@1000"; unit addresses are not optional), or NULL. */
const struct dt_node *dt_find_path(const struct devtree *tree, const char *path);

/** Returns the first node that has @phandle, NULL for none and for 0. */
const struct dt_node *dt_find_phandle(const struct devtree *tree, uint32_t phandle);

/** Returns the child called @name, with its unit address, or NULL. */
const struct dt_node *dt_find_child(const struct dt_node *node, const char *name);

/** Returns the path; free with g_free(). It is made on demand: the paths of a hostile tree together are far larger than it. */
char *dt_node_path(const struct dt_node *node);
void dt_append_path(GString *string, const struct dt_node *node);

/** Whether Linux drops the node, because it lies too deep. */
static inline bool dt_node_dropped(const struct dt_node *node)
{
	return node->depth >= DT_DEPTH_MAX;
}

/** Returns the property, or NULL. Of two with one name the first counts. */
const struct dt_property *dt_find_property(const struct dt_node *node, const char *name);

static inline bool dt_has(const struct dt_node *node, const char *name)
{
	return dt_find_property(node, name) != NULL;
}

/** Returns cell @i, which must lie inside: (@i + 1) * 4 <= len. */
uint32_t dt_cell(const struct dt_property *property, uint32_t i);

/** Returns how many whole cells there are; 0 for NULL. Tail bytes are ignored, as Linux does. */
uint32_t dt_cell_count(const struct dt_property *property);

/** Reads cell 0 of @name. Returns false, leaving *@ret_value alone, when it is absent or shorter (of_property_read_u32()). */
bool dt_read_u32(const struct dt_node *node, const char *name, uint32_t *ret_value);

/** Returns @count (at most the cells that are there, from cell @first) cells as one number; the low 64 bits count
 *  (of_read_number()). */
uint64_t dt_read_number(const struct dt_property *property, uint32_t first, uint32_t count);

/** Steps through the strings of a property. *@at starts at 0. Returns the next string, NULL at the end or where a string
 *  is not terminated; borrowed from the tree. */
const char *dt_next_string(const struct dt_property *property, uint32_t *at);

/** Whether one of the strings of "compatible" is @compatible. */
bool dt_is_compatible(const struct dt_node *node, const char *compatible);

/** Appends text out of the tree with what is not a visible ASCII character as \xNN, so that a line stays one line. */
void dt_append_text(GString *string, const char *text, size_t len);

#endif
