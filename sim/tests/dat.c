/* SPDX-License-Identifier: MIT */
#include "sim/tests/dat.h"

#include <string.h>

#define PAGE	    4096
#define COMMON	    8 /* bytes of the fields that all records begin with */
#define ID	    100
#define LEN_IN_TYPE 28 /* words of a record that has its length in its type */

static const char header_page[] = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
				  "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
				  "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
				  "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";
static const char header_event[] = "# compressed entry header\n"
				   "\ttype_len    :    5 bits\n"
				   "\ttime_delta  :   27 bits\n"
				   "\tarray       :   32 bits\n\n"
				   "\tpadding     : type == 29\n"
				   "\ttime_extend : type == 30\n"
				   "\ttime_stamp : type == 31\n"
				   "\tdata max type_len  == 28\n";
static const char common[] = "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
			     "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
			     "\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
			     "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n";

static void put(GByteArray *file, uint64_t value, unsigned bytes)
{
	uint64_t little = GUINT64_TO_LE(value);

	g_byte_array_append(file, (const uint8_t *)&little, bytes);
}

static void put_string(GByteArray *file, const char *text)
{
	g_byte_array_append(file, (const uint8_t *)text, (guint)strlen(text) + 1);
}

/** Text behind its length. */
static void put_text(GByteArray *file, const char *text)
{
	put(file, strlen(text), 8);
	g_byte_array_append(file, (const uint8_t *)text, (guint)strlen(text));
}

static void pad(GByteArray *file, unsigned size)
{
	while (file->len % size)
		put(file, 0, 1);
}

static unsigned align(unsigned offset, unsigned size)
{
	return size > 1 && (size & (size - 1)) == 0 ? (offset + size - 1) / size * size : offset;
}

static void put_format(GByteArray *file, const struct dat_event *event, unsigned id)
{
	GString *text = g_string_new(NULL);
	unsigned offset = COMMON;

	g_string_append_printf(text, "name: %s\nID: %u\nformat:\n%s", event->name, id, common);
	for (unsigned i = 0; i < DAT_FIELDS_MAX && event->fields[i].declaration; i++) {
		const struct dat_field *field = &event->fields[i];

		offset = align(offset, field->size);
		g_string_append_printf(text, "\tfield:%s;\toffset:%u;\tsize:%u;\tsigned:%d;\n",
				       field->declaration, offset, field->size, field->is_signed);
		offset += field->size;
	}
	g_string_append(text, "\nprint fmt: \"x\"\n");
	put_string(file, event->system);
	put(file, 1, 4);
	put_text(file, text->str);
	g_string_free(text, TRUE);
}

static void put_record(GByteArray *file, const struct dat_event *event, unsigned id)
{
	GByteArray *record = g_byte_array_new();

	put(record, id, 2);
	put(record, DAT_FLAGS, 2);
	put(record, DAT_PID, 4);
	for (unsigned i = 0; i < DAT_FIELDS_MAX && event->fields[i].declaration; i++) {
		const struct dat_field *field = &event->fields[i];

		while (record->len != align(record->len, field->size))
			put(record, 0, 1);
		put(record, field->value, field->size);
	}
	if (event->text)
		put_string(record, event->text);
	pad(record, 4);
	g_byte_array_set_size(record, record->len - event->cut);
	if (record->len / 4 <= LEN_IN_TYPE) {
		put(file, DAT_DELTA_NS << 5 | record->len / 4, 4);
	} else {
		put(file, DAT_DELTA_NS << 5, 4);
		put(file, record->len + 4, 4);
	}
	g_byte_array_append(file, record->data, record->len);
	g_byte_array_unref(record);
}

static void set(GByteArray *file, size_t at, uint64_t value)
{
	uint64_t little = GUINT64_TO_LE(value);

	memcpy(file->data + at, &little, sizeof(little));
}

GByteArray *dat_make(const struct dat_event *const *events, unsigned count, size_t *ret_first)
{
	GByteArray *file = g_byte_array_new();
	size_t where, page;

	g_byte_array_append(file, (const uint8_t *)"\x17\x08\x44tracing", 10);
	put_string(file, "6");
	put(file, 0, 1); /* the least significant byte first */
	put(file, 8, 1); /* bytes of a long */
	put(file, PAGE, 4);
	put_string(file, "header_page");
	put_text(file, header_page);
	put_string(file, "header_event");
	put_text(file, header_event);
	put(file, 0, 4); /* formats of ftrace itself: among the others */
	put(file, count, 4);
	for (unsigned i = 0; i < count; i++)
		put_format(file, events[i], ID + i);
	put(file, 0, 4); /* symbols */
	put(file, 0, 4); /* formats of printk */
	put_text(file, "118 fio\n");
	put(file, 1, 4); /* CPUs */
	put_string(file, "options  ");
	put(file, 0, 2);
	put_string(file, "flyrecord");
	where = file->len;
	put(file, 0, 8);
	put(file, PAGE, 8);
	pad(file, PAGE);
	page = file->len;
	set(file, where, page);
	put(file, 1000000, 8); /* ns */
	put(file, 0, 8);
	for (unsigned i = 0; i < count; i++)
		put_record(file, events[i], ID + i);
	set(file, page + 8, file->len - page - 16);
	pad(file, PAGE);
	*ret_first = page + 16;
	return file;
}
