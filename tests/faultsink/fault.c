/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may go wrong, as words:
 *
 *   apply=0|1            whether records are applied, whatever the answer says (default: applied when it is a success)
 *   status=N             HTTP status; grpc=N: grpc-status; retry_after=S: Retry-After, and RetryInfo with grpc
 *   delay_ms=N           applied at once, answered later; stall: never answered
 *   slow_read=N          bytes a second that are read from here on
 *   cut_in=N, cut_out=N  the connection ends after N more bytes of the request (HTTP/2: of its body), or of the answer;
 *                        how=close|rst|half|kill: by FIN, by RST, by FIN of our side alone, by SIGKILL for the gateway
 *   reject=N             every N-th id is refused: partial success, or item status (item=N, default 400)
 *   claim=N              the answer counts N records more (or less) than is true
 *   body=empty|garbage|half, bytes=N: so many of garbage; location=URL: with a redirect
 *   no_trailers          gRPC: the stream ends without them; no_written: remote write 2.0 without its headers
 *   noise                bytes that are no HTTP instead of an answer
 *   kill=applied|told    the gateway is killed when the records are applied, or when the answer is in the kernel
 *   conn                 for a connection, from its first byte
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "sink.h"

void fault_init(struct fault *f)
{
    *f = (struct fault){.apply = -1, .retry_after_s = NEVER, .cut_in = NEVER, .cut_out = NEVER, .item_status = 400};
}

static int word(const char *value, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], value) == 0)
            return i;
    return -1;
}

static bool flag(struct fault *f, const char *k)
{
    bool *at = strcmp(k, "stall") == 0         ? &f->stall
               : strcmp(k, "no_trailers") == 0 ? &f->no_trailers
               : strcmp(k, "no_written") == 0  ? &f->no_written
               : strcmp(k, "noise") == 0       ? &f->noise
               : strcmp(k, "conn") == 0        ? &f->on_conn
                                               : NULL;

    if (at)
        *at = true;
    return at != NULL;
}

static bool named(struct fault *f, const char *k, const char *v)
{
    static const char *const hows[] = {"close", "rst", "half", "kill", NULL};
    static const char *const bodies[] = {"own", "empty", "garbage", "half", NULL};
    static const char *const kills[] = {"none", "applied", "told", NULL};
    int i;

    if (strcmp(k, "location") == 0) {
        snprintf(f->location, sizeof(f->location), "%s", v);
        return true;
    }
    if (strcmp(k, "how") == 0 && (i = word(v, hows)) >= 0)
        return f->how = (enum how)i, true;
    if (strcmp(k, "body") == 0 && (i = word(v, bodies)) >= 0)
        return f->body = (enum body)i, true;
    if (strcmp(k, "kill") == 0 && (i = word(v, kills)) >= 0)
        return f->kill = (enum kill_at)i, true;
    return false;
}

static bool counted(struct fault *f, const char *k, const char *v)
{
    char *end;
    long long n = strtoll(v, &end, 10);

    if (!*v || *end || (n < 0 && strcmp(k, "claim") != 0))
        return false;
#define SET(name, member)                                                                                              \
    if (strcmp(k, name) == 0)                                                                                          \
    return f->member = (__typeof__(f->member))n, true
    SET("apply", apply);
    SET("status", status);
    SET("grpc", grpc);
    SET("retry_after", retry_after_s);
    SET("delay_ms", delay_ms);
    SET("slow_read", slow_read);
    SET("cut_in", cut_in);
    SET("cut_out", cut_out);
    SET("reject", reject_every);
    SET("item", item_status);
    SET("claim", claim);
    SET("bytes", body_bytes);
#undef SET
    return false;
}

int fault_parse(const char *text, struct fault *ret, struct gw_err *err)
{
    char copy[sizeof(ret->text)], *save = NULL;
    struct fault f;

    fault_init(&f);
    if (strlen(text) >= sizeof(copy))
        return gw_fail(err, -EINVAL, "a fault is at most %zu bytes", sizeof(copy) - 1);
    strcpy(copy, text);
    strcpy(f.text, text);
    for (char *k = strtok_r(copy, " \t", &save); k; k = strtok_r(NULL, " \t", &save)) {
        char *v = strchr(k, '=');

        if (v)
            *v++ = 0;
        if (v ? !named(&f, k, v) && !counted(&f, k, v) : !flag(&f, k))
            return gw_fail(err, -EINVAL, "%s%s%s: no such fault", k, v ? "=" : "", v ? v : "");
    }
    *ret = f;
    return 0;
}

static int add_turn(struct sink *s, const char *text, struct gw_err *err)
{
    struct fault f;
    int rc = fault_parse(text, &f, err);

    if (rc < 0)
        return rc;
    s->turn = realloc(s->turn, (s->n_turn + 1) * sizeof(f));
    if (!s->turn)
        die("memory");
    s->turn[s->n_turn++] = f;
    return 0;
}

static int add_mix(struct sink *s, const char *text, struct gw_err *err)
{
    char *rest;
    unsigned long weight = strtoul(text, &rest, 10);
    unsigned sum = (unsigned)weight;
    int rc;

    for (unsigned i = 0; i < s->n_mix; i++)
        sum += s->mix[i].weight;
    if (rest == text || weight > 1000 || sum > 1000 || s->n_mix == MAX_RULES)
        return gw_fail(err, -EINVAL, "mix %s: weights are per mille, and no more than 1000 together", text);
    rest += strspn(rest, " ");
    rc = fault_parse(rest, &s->mix[s->n_mix].fault, err);
    if (rc < 0)
        return rc;
    s->mix[s->n_mix].weight = (unsigned)weight;
    s->mix[s->n_mix++].hits = 0;
    return 0;
}

static int one_line(struct sink *s, const char *line, struct gw_err *err)
{
    if (!*line || *line == '#')
        return 0;
    if (strcmp(line, "clear") == 0) {
        s->n_mix = s->n_turn = s->at_turn = 0;
        return 0;
    }
    if (strncmp(line, "next ", 5) == 0)
        return add_turn(s, line + 5, err);
    if (strncmp(line, "mix ", 4) == 0)
        return add_mix(s, line + 4, err);
    if (strncmp(line, "pid ", 4) == 0) {
        g.pid = atoi(line + 4);
        return 0;
    }
    return gw_fail(err, -EINVAL, "%s: no such line", line);
}

int script_run(struct sink *s, const char *text, size_t n, struct gw_err *err)
{
    char *copy = strndup(text, n), *save = NULL;
    int rc = 0;

    if (!copy)
        die("memory");
    for (char *line = strtok_r(copy, "\n;", &save); line && rc == 0; line = strtok_r(NULL, "\n;", &save)) {
        line += strspn(line, " \t\r");
        for (size_t m = strlen(line); m && isspace((unsigned char)line[m - 1]);)
            line[--m] = 0;
        rc = one_line(s, line, err);
    }
    free(copy);
    return rc;
}

/* splitmix64: the same seed gives the same faults in the same order of exchanges. */
static uint64_t roll(struct sink *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void fault_pick(struct sink *s, bool on_conn, struct fault *ret)
{
    unsigned at, seen = 0;

    fault_init(ret);
    if (s->at_turn < s->n_turn) {
        if (s->turn[s->at_turn].on_conn == on_conn) {
            *ret = s->turn[s->at_turn++];
            s->n_faults++;
        }
        return;
    }
    if (s->n_mix == 0)
        return;
    at = (unsigned)(roll(s) % 1000);
    for (unsigned i = 0; i < s->n_mix; i++) {
        seen += s->mix[i].weight;
        if (at < seen) {
            if (s->mix[i].fault.on_conn == on_conn) {
                *ret = s->mix[i].fault;
                s->mix[i].hits++;
                s->n_faults++;
            }
            return;
        }
    }
}
