/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as text (RFC 8259): a cursor that reads the next token. Nothing is built; strings come as slices of the text.
 * It knows nothing of OTLP.
 */
#ifndef GW_OTLP_JSON_TEXT_H
#define GW_OTLP_JSON_TEXT_H

#include "core/slice.h"
#include "core/status.h"

struct gw_json_text {
    const uint8_t *begin, *p, *end;
    struct gw_err *err; /* what was wrong first, with line and column; may be NULL */
};

/** An escaped string's bytes between the quotes, as they stand in the text. */
struct gw_json_string {
    struct gw_slice raw;
    bool escaped; /* holds at least one backslash */
};

/** (negative ? -1 : 1) × digits × 10^exp10, with what did not fit cut off. */
struct gw_json_number {
    struct gw_slice text;
    uint64_t digits;
    int exp10;
    bool negative, cut;
};

/** Write "line l, column c: …" into t->err. Returns -EBADMSG. */
int gw_json_wrong(struct gw_json_text *t, const uint8_t *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** True when the whole text is UTF-8 (RFC 3629); otherwise *ret_at is the first wrong byte. */
bool gw_json_is_utf8(struct gw_slice s, size_t *ret_at);

static inline void gw_json_skip_space(struct gw_json_text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\r' || *t->p == '\t'))
        t->p++;
}
/** The byte at the cursor, or 0 at the end. */
static inline uint8_t gw_json_peek(const struct gw_json_text *t)
{
    return t->p < t->end ? *t->p : 0;
}
/** The word `null`, `true` or `false` at the cursor? Then it is read over. */
bool gw_json_word(struct gw_json_text *t, const char *word);
/** The cursor stands on the opening quote. Errors: -EBADMSG. */
int gw_json_read_string(struct gw_json_text *t, struct gw_json_string *ret);
/** Bytes of a string, at most raw.n, into `out`. Errors: -EBADMSG. */
int gw_json_unescape(struct gw_json_text *t, const struct gw_json_string *s, uint8_t *out, size_t *ret_n);
/** In place: both alphabets of RFC 4648, padded or not, line ends skipped. Errors: -EBADMSG when it is no base64. */
int gw_json_from_base64(uint8_t *p, size_t *n);
/** The cursor stands on a digit or a minus. Errors: -EBADMSG. */
int gw_json_read_number(struct gw_json_text *t, struct gw_json_number *ret);
/** A number that stands inside a string: also +1 and 007. False when it is none. */
bool gw_json_parse_number(struct gw_slice s, struct gw_json_number *ret);
/** Over one value of any kind, checked for form only. Errors: -EBADMSG, also when nested deeper than 256. */
int gw_json_skip_value(struct gw_json_text *t);

/** The number as a whole one. False when it has a fraction or its magnitude is over 2^64 - 1. */
bool gw_json_number_to_u64(const struct gw_json_number *n, uint64_t *ret_magnitude);
/** The nearest double. False when it is beyond the largest one, or the text is longer than 1000 characters. */
bool gw_json_number_to_double(const struct gw_json_number *n, double *ret);

#endif
