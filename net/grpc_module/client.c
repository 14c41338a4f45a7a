/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gw_rpc_client on grpc core's C API: unary calls, one batch of operations each.
 *
 *   loop thread:  call ─► grpc_call_start_batch ─► core's threads ─► completion queue
 *   our thread:   grpc_completion_queue_next ─► the client's inbox ─► wake ─► loop thread: done
 *
 * One completion queue and one thread for all clients of the process; they live from the first client to the last.
 *
 * Messages come compressed by us. Core takes such bytes as they are when the byte buffer says so, and names the
 * encoding when the call's metadata asks for it; it knows gzip and deflate, and refuses other names.
 */
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/buf.h"
#include "core/inbox.h"
#include "net/client_tls.h"
#include "net/grpc_module/module.h"

#define EXPORT __attribute__((visibility("default")))

enum { MAX_METADATA = 64, N_OPS = 6, MAX_RECONNECT_MS = 10000 };

struct client {
    struct gw_rpc_client base;
    const struct gw_grpc_loop_ops *loop_ops;
    struct gw_env *env;
    struct gw_loop *loop;
    struct gw_rpc_client_conf conf;
    struct gw_client_pems pems;
    char *system_ca; /* when the system's roots are trusted */
    grpc_channel *channel;
    struct gw_inbox inbox;
    struct gw_hook hook;
    _Atomic unsigned posting; /* the thread is between pushing and waking */
};

struct call {
    struct gw_inbox_item item;
    struct client *c;
    struct gw_rpc_request *rq;
    grpc_call *call;
    grpc_byte_buffer *message, *reply;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    const char *refused; /* never started: why */
    grpc_metadata metadata[MAX_METADATA];
    size_t n_metadata;
};

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static grpc_completion_queue *queue;
static pthread_t thread;
static unsigned n_clients;

static void post(struct call *k)
{
    struct client *c = k->c;

    atomic_fetch_add(&c->posting, 1);
    if (gw_inbox_push(&c->inbox, &k->item))
        c->loop_ops->wake(c->loop);
    atomic_fetch_sub(&c->posting, 1);
}

static void *thread_main(void *arg)
{
    (void)arg;
    for (;;) {
        grpc_event ev = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);

        if (ev.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        if (ev.type == GRPC_OP_COMPLETE)
            post(ev.tag);
    }
}

static int thread_ref(struct gw_err *err)
{
    int r = 0;

    pthread_mutex_lock(&lock);
    if (n_clients == 0) {
        grpc_init();
        queue = grpc_completion_queue_create_for_next(NULL);
        r = -pthread_create(&thread, NULL, thread_main, NULL);
        if (r < 0) {
            grpc_completion_queue_shutdown(queue);
            grpc_completion_queue_destroy(queue);
            grpc_shutdown();
            gw_fail(err, r, "grpc: no thread");
        }
    }
    if (r == 0)
        n_clients++;
    pthread_mutex_unlock(&lock);
    return r;
}

static void thread_unref(void)
{
    pthread_mutex_lock(&lock);
    if (--n_clients == 0) {
        grpc_completion_queue_shutdown(queue);
        pthread_join(thread, NULL);
        grpc_completion_queue_destroy(queue);
        grpc_shutdown();
    }
    pthread_mutex_unlock(&lock);
}

/* ---- the channel -------------------------------------------------------------------------------------------- */

static const char *root_certificates(struct client *c, char **ret_joined)
{
    const char *own = c->pems.text[GW_PEM_CA];

    *ret_joined = NULL;
    if (!own || !c->system_ca)
        return own ? own : c->system_ca;
    if (asprintf(ret_joined, "%s\n%s", own, c->system_ca) < 0)
        *ret_joined = NULL;
    return *ret_joined;
}

/** Any certificate will do: only the newer of core's two interfaces can say so. */
static grpc_channel_credentials *credentials_unverified(const struct client *c)
{
    grpc_tls_credentials_options *o = grpc_tls_credentials_options_create();
    grpc_tls_certificate_verifier *v = grpc_tls_certificate_verifier_no_op_create();

    grpc_tls_credentials_options_set_verify_server_cert(o, 0);
    grpc_tls_credentials_options_set_check_call_host(o, 0);
    grpc_tls_credentials_options_set_certificate_verifier(o, v);
    grpc_tls_certificate_verifier_release(v);
    if (c->pems.text[GW_PEM_CERT]) {
        grpc_tls_identity_pairs *pairs = grpc_tls_identity_pairs_create();
        grpc_tls_certificate_provider *p;

        grpc_tls_identity_pairs_add_pair(pairs, c->pems.text[GW_PEM_KEY], c->pems.text[GW_PEM_CERT]);
        p = grpc_tls_certificate_provider_static_data_create(NULL, pairs);
        grpc_tls_credentials_options_set_certificate_provider(o, p);
        grpc_tls_credentials_options_watch_identity_key_cert_pairs(o);
        grpc_tls_certificate_provider_release(p);
    }
    return grpc_tls_credentials_create(o);
}

static grpc_channel_credentials *credentials_of(struct client *c)
{
    grpc_ssl_pem_key_cert_pair pair = {c->pems.text[GW_PEM_KEY], c->pems.text[GW_PEM_CERT]};
    grpc_channel_credentials *creds;
    char *joined;

    if (c->conf.tls.insecure)
        return grpc_insecure_credentials_create();
    if (c->conf.tls.insecure_skip_verify)
        return credentials_unverified(c);
    creds = grpc_ssl_credentials_create(root_certificates(c, &joined), pair.cert_chain ? &pair : NULL, NULL, NULL);
    free(joined);
    return creds;
}

/*
 * A message is put together before its length is looked at, and its length is the server's word: a GiB of it would be
 * kept. Over this a channel ends streams. What is sent does not count: ten requests of 15 MB at once pass.
 */
#define QUOTA_BYTES ((size_t)64 << 20)

struct args {
    grpc_arg a[21];
    size_t n;
};

static void arg_string(struct args *as, const char *key, const char *value)
{
    if (value && *value)
        as->a[as->n++] = (grpc_arg){.type = GRPC_ARG_STRING, .key = (char *)key, .value.string = (char *)value};
}

static void arg_int(struct args *as, const char *key, int64_t value)
{
    as->a[as->n++] = (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value > INT32_MAX ? INT32_MAX : (int)value};
}

static grpc_channel *channel_new(struct client *c)
{
    const struct gw_rpc_client_conf *conf = &c->conf;
    grpc_channel_credentials *creds = credentials_of(c);
    struct args as = {.n = 0};
    grpc_resource_quota *quota;
    grpc_channel *channel;

    if (!creds)
        return NULL;
    quota = grpc_resource_quota_create(NULL);
    grpc_resource_quota_resize(quota, QUOTA_BYTES);
    as.a[as.n++] = (grpc_arg){.type = GRPC_ARG_POINTER,
                              .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
                              .value.pointer = {.p = quota, .vtable = grpc_resource_quota_arg_vtable()}};
    arg_string(&as, GRPC_ARG_PRIMARY_USER_AGENT_STRING, conf->user_agent);
    arg_string(&as, GRPC_ARG_DEFAULT_AUTHORITY, conf->authority);
    arg_string(&as, GRPC_ARG_LB_POLICY_NAME, conf->load_balancing);
    if (!conf->tls.insecure)
        arg_string(&as, GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, conf->tls.server_name_override);
    if (conf->keepalive_time_ns) {
        arg_int(&as, GRPC_ARG_KEEPALIVE_TIME_MS, (int64_t)(conf->keepalive_time_ns / 1000000));
        arg_int(&as, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, (int64_t)(conf->keepalive_timeout_ns / 1000000));
        arg_int(&as, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, conf->keepalive_without_calls);
        arg_int(&as, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    }
    arg_int(&as, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int64_t)conf->max_response_bytes);
    arg_int(&as, GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1);
    arg_int(&as, GRPC_ARG_ENABLE_RETRIES, 0); /* the queue's business */
    arg_int(&as, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arg_int(&as, GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1); /* no TXT look-ups */
    arg_int(&as, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, MAX_RECONNECT_MS);
    channel = grpc_channel_create(conf->target, creds, &(grpc_channel_args){.num_args = as.n, .args = as.a});
    grpc_resource_quota_unref(quota);
    grpc_channel_credentials_release(creds);
    return channel;
}

/* ---- one call ----------------------------------------------------------------------------------------------- */

static void call_free(struct call *k)
{
    for (size_t i = 0; i < k->n_metadata; i++) {
        grpc_slice_unref(k->metadata[i].key);
        grpc_slice_unref(k->metadata[i].value);
    }
    if (k->message)
        grpc_byte_buffer_destroy(k->message);
    if (k->reply)
        grpc_byte_buffer_destroy(k->reply);
    grpc_metadata_array_destroy(&k->initial);
    grpc_metadata_array_destroy(&k->trailing);
    grpc_slice_unref(k->details);
    if (k->call)
        grpc_call_unref(k->call);
    free(k);
}

static const char *add_metadata(struct call *k, struct gw_slice name, struct gw_slice value)
{
    grpc_metadata *m = &k->metadata[k->n_metadata];
    char lower[256];

    if (k->n_metadata == MAX_METADATA || name.n >= sizeof(lower))
        return "too many or too long headers";
    for (size_t i = 0; i < name.n; i++)
        lower[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
    m->key = grpc_slice_from_copied_buffer(lower, name.n);
    m->value = grpc_slice_from_copied_buffer((const char *)value.p, value.n);
    k->n_metadata++;
    if (!grpc_header_key_is_legal(m->key) ||
        (!grpc_is_binary_header(m->key) && !grpc_header_nonbin_value_is_legal(m->value)))
        return "a header holds characters that HTTP/2 does not allow";
    return NULL;
}

static grpc_slice copy_of(const struct gw_rpc_request *rq)
{
    grpc_slice s;
    uint8_t *at;

    if (!rq->parts)
        return grpc_slice_from_copied_buffer((const char *)rq->message.p, rq->message.n);
    s = grpc_slice_malloc(rq->message.n);
    at = GRPC_SLICE_START_PTR(s);
    for (uint32_t i = 0; i < rq->n_parts; at += rq->parts[i++].n)
        if (rq->parts[i].n)
            memcpy(at, rq->parts[i].p, rq->parts[i].n);
    return s;
}

static const char *set_message(struct call *k)
{
    const struct gw_rpc_request *rq = k->rq;
    const char *encoding = rq->encoding ? rq->encoding : "identity";
    /* A copy: core may hold the bytes longer than the call lives, until they are written or the connection is gone. */
    grpc_slice s = copy_of(rq);
    const char *problem = NULL;

    if (strcmp(encoding, "identity") == 0) {
        k->message = grpc_raw_byte_buffer_create(&s, 1);
    } else if (strcmp(encoding, "gzip") == 0 || strcmp(encoding, "deflate") == 0) {
        k->message = grpc_raw_compressed_byte_buffer_create(
            &s, 1, *encoding == 'g' ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_DEFLATE);
        problem = add_metadata(k, GW_SLICE("grpc-internal-encoding-request"), gw_slice_cstr(encoding));
    } else {
        problem = "grpc core sends gzip, deflate and identity only";
    }
    grpc_slice_unref(s);
    return problem;
}

static const char *start(struct call *k)
{
    struct client *c = k->c;
    const struct gw_rpc_request *rq = k->rq;
    uint32_t wait = c->conf.wait_for_ready ? GRPC_INITIAL_METADATA_WAIT_FOR_READY : 0;
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    const char *problem = set_message(k);
    grpc_slice method;
    grpc_op ops[N_OPS] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA, .flags = wait | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = k->message},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &k->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &k->reply},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &k->trailing,
                                        .status = &k->status,
                                        .status_details = &k->details}},
    };

    for (unsigned i = 0; !problem && i < rq->n_headers; i++)
        problem = add_metadata(k, rq->headers[i].name, rq->headers[i].value);
    if (problem)
        return problem;
    ops[0].data.send_initial_metadata.count = k->n_metadata;
    ops[0].data.send_initial_metadata.metadata = k->metadata;
    if (rq->timeout_ns)
        deadline =
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos((int64_t)rq->timeout_ns, GPR_TIMESPAN));
    method = grpc_slice_from_copied_string(rq->method);
    k->call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, method, NULL, deadline, NULL);
    grpc_slice_unref(method);
    if (!k->call || grpc_call_start_batch(k->call, ops, N_OPS, k, NULL) != GRPC_CALL_OK)
        return "grpc refused the call";
    return NULL;
}

static void client_call(struct gw_rpc_client *base, struct gw_rpc_request *rq)
{
    struct client *c = (struct client *)base;
    struct call *k = calloc(1, sizeof(*k));

    if (!k) { /* the only answer from inside: there is no memory to remember it by */
        rq->done(rq,
                 &(struct gw_rpc_response){.status = GRPC_STATUS_UNAVAILABLE, .message = GW_SLICE("out of memory")});
        return;
    }
    if (gw_client_pems_refresh(&c->pems, gw_mono_ns(c->env))) { /* calls under way keep the old channel alive */
        grpc_channel *fresh = channel_new(c);

        if (fresh) {
            grpc_channel_destroy(c->channel);
            c->channel = fresh;
        }
    }
    k->c = c;
    k->rq = rq;
    k->details = grpc_empty_slice();
    grpc_metadata_array_init(&k->initial);
    grpc_metadata_array_init(&k->trailing);
    rq->impl = k;
    k->refused = start(k);
    if (k->refused)
        post(k);
}

static void client_cancel(struct gw_rpc_client *base, struct gw_rpc_request *rq)
{
    struct call *k = rq->impl;

    (void)base;
    if (k && k->call && !k->refused)
        grpc_call_cancel(k->call, NULL);
}

static struct gw_slice slice_of(const grpc_slice *s)
{
    return gw_slice_of(GRPC_SLICE_START_PTR(*s), GRPC_SLICE_LENGTH(*s));
}

static void finish(struct call *k)
{
    struct gw_rpc_request *rq = k->rq;
    struct gw_rpc_response rs = {.status = k->status, .message = slice_of(&k->details)};
    grpc_byte_buffer_reader reader;
    grpc_slice reply = grpc_empty_slice();

    if (k->refused) {
        rs.status = GRPC_STATUS_INTERNAL;
        rs.message = gw_slice_cstr(k->refused);
    }
    if (k->reply && grpc_byte_buffer_reader_init(&reader, k->reply)) {
        reply = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
        rs.reply = slice_of(&reply);
    }
    for (size_t i = 0; i < k->trailing.count; i++)
        if (grpc_slice_str_cmp(k->trailing.metadata[i].key, "grpc-status-details-bin") == 0)
            rs.status_details = slice_of(&k->trailing.metadata[i].value);
    rq->impl = NULL;
    rq->done(rq, &rs);
    grpc_slice_unref(reply);
    call_free(k);
}

static void on_hook(struct gw_hook *h)
{
    struct client *c = (struct client *)((char *)h - offsetof(struct client, hook));

    for (struct gw_inbox_item *i = gw_inbox_take(&c->inbox), *next; i; i = next) {
        next = i->next;
        finish((struct call *)i);
    }
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void conf_clear(struct gw_rpc_client_conf *conf)
{
    free((char *)conf->target);
    free((char *)conf->authority);
    free((char *)conf->user_agent);
    free((char *)conf->load_balancing);
    gw_client_tls_clear(&conf->tls);
}

static int conf_copy(struct gw_rpc_client_conf *ret, const struct gw_rpc_client_conf *from)
{
    *ret = *from;
    ret->target = strdup(from->target);
    ret->authority = strdup(from->authority ? from->authority : "");
    ret->user_agent = strdup(from->user_agent ? from->user_agent : "");
    ret->load_balancing = strdup(from->load_balancing ? from->load_balancing : "");
    if (gw_client_tls_copy(&ret->tls, &from->tls) < 0)
        return -ENOMEM;
    return ret->target && ret->authority && ret->user_agent && ret->load_balancing ? 0 : -ENOMEM;
}

static void client_free(struct gw_rpc_client *base)
{
    struct client *c = (struct client *)base;
    bool has_thread = c->hook.run != NULL;

    while (atomic_load(&c->posting)) /* a few instructions of the other thread */
        sched_yield();
    if (c->channel)
        grpc_channel_destroy(c->channel);
    if (has_thread)
        c->loop_ops->remove_hook(c->loop, &c->hook);
    gw_client_pems_clear(&c->pems);
    free(c->system_ca);
    conf_clear(&c->conf);
    free(c);
    if (has_thread)
        thread_unref();
}

static const struct gw_rpc_client_ops ops = {.call = client_call, .cancel = client_cancel, .free = client_free};

/** Core has its own default roots only where its data file is installed: the distribution's are taken instead. */
static int load_certificates(struct client *c, struct gw_err *err)
{
    const char *own = getenv("SSL_CERT_FILE");
    const char *const bundles[] = {own ? own : "", "/etc/ssl/certs/ca-certificates.crt",
                                   "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
    const struct gw_client_tls *tls = &c->conf.tls;
    size_t n;
    int r;

    if (tls->insecure)
        return 0;
    if ((*tls->min_version && strcmp(tls->min_version, "1.2") != 0) ||
        (*tls->max_version && strcmp(tls->max_version, "1.3") != 0))
        return gw_fail(err, -ENOTSUP,
                       "tls: grpc speaks TLS 1.2 and 1.3; min_version and max_version cannot be changed");
    r = gw_client_pems_load(&c->pems, c->env, tls, err);
    if (r < 0 || (c->pems.text[GW_PEM_CA] && !tls->include_system_ca_certs_pool))
        return r;
    for (unsigned i = own && *own ? 0 : 1; i < 4 && !c->system_ca; i++)
        (void)gw_env_read_file(c->env, bundles[i], 4 << 20, &c->system_ca, &n, NULL);
    return 0;
}

EXPORT int gw_grpc_module_abi(void);
EXPORT int gw_grpc_module_abi(void)
{
    return GW_GRPC_MODULE_ABI;
}

EXPORT int gw_grpc_module_new(const struct gw_grpc_loop_ops *loop_ops, struct gw_env *env, struct gw_loop *loop,
                              const struct gw_rpc_client_conf *conf, struct gw_rpc_client **ret, struct gw_err *err);
EXPORT int gw_grpc_module_new(const struct gw_grpc_loop_ops *loop_ops, struct gw_env *env, struct gw_loop *loop,
                              const struct gw_rpc_client_conf *conf, struct gw_rpc_client **ret, struct gw_err *err)
{
    struct client *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return gw_fail(err, -ENOMEM, "out of memory");
    c->base.ops = &ops;
    c->loop_ops = loop_ops;
    c->env = env;
    c->loop = loop;
    r = conf_copy(&c->conf, conf);
    if (r < 0)
        gw_fail(err, r, "out of memory");
    else
        r = load_certificates(c, err);
    if (r == 0)
        r = thread_ref(err);
    if (r < 0) {
        client_free(&c->base);
        return r;
    }
    c->hook.run = on_hook;
    loop_ops->add_hook(loop, &c->hook);
    c->channel = channel_new(c);
    if (!c->channel) {
        client_free(&c->base);
        return gw_fail(err, -EINVAL, "grpc: no channel to %s", conf->target);
    }
    *ret = &c->base;
    return 0;
}
