/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document that an index refuses because one of its fields has another type there: which field it is, and the same
 * document with that field as a text, or under another name.
 *
 *   "failed to parse field [attributes.user] of type [long] in document …"    {"attributes":{"user":{"id":7}}}
 *       stringify   {"attributes":{"user":"{\"id\":7}"}}
 *       rename      {"attributes":{"user_object":{"id":7}}}
 */
#ifndef GW_EXPORTERS_ELASTICSEARCH_REMEDY_H
#define GW_EXPORTERS_ELASTICSEARCH_REMEDY_H

#include "core/buf.h"

enum gw_es_remedy { GW_ES_DEAD_LETTER, GW_ES_STRINGIFY, GW_ES_RENAME };

/**
 * The field that an error is about; n == 0 when it is none about a type, or names none.
 *
 * Owner     borrows reason
 * Source    document_parsing_exception (Elasticsearch 8.8 and newer), mapper_parsing_exception (older, OpenSearch),
 *           illegal_argument_exception of a mapper that cannot be changed
 */
struct gw_slice gw_es_conflict_field(const char *type, const char *reason);

/** `*` in the pattern stands for any text, also none. */
bool gw_es_field_matches(const char *pattern, struct gw_slice field);

/**
 * Append the document (without its newline) with that field changed. A field's path is keys joined by dots, whether
 * they stand in objects inside of each other or in one key that has dots.
 *
 * Shape     rename appends _string, _long, _double, _boolean or _object: the value's own type, of an array its first
 *           element's
 * Errors    -ENOENT no such field in it, or none inside of an array; -EALREADY the change would change nothing, such as
 *           a text as a text; -EBADMSG; -E2BIG, -ENOMEM. Nothing is appended then
 */
int gw_es_remedy(enum gw_es_remedy how, struct gw_slice source, struct gw_slice field, struct gw_buf *out);

#endif
