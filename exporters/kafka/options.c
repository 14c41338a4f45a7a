/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/kafka/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static const char *const encodings[] = {"otlp_proto", "otlp_json", NULL};
static const char *const acks[] = {"all", "-1", "1", "0", NULL};
static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd", NULL};
static const char *const hashers[] = {"sarama_compat", "murmur2", NULL};

#define SIGNAL(name, default_topic)                                                                                    \
    static const struct gw_field name[] = {                                                                            \
        GW_STRING_FIELD(struct gw_kafka_signal, topic, "topic", default_topic, "Topic to write to."),                  \
        GW_STRING_FIELD(struct gw_kafka_signal, topic_from_metadata_key, "topic_from_metadata_key", "",                \
                        "Request header whose value is the topic, when it is there."),                                 \
        GW_STRING_FIELD(struct gw_kafka_signal, message_key_from_metadata_key, "message_key_from_metadata_key", "",    \
                        "Request header whose value is the message's key."),                                           \
        GW_ENUM_FIELD(struct gw_kafka_signal, encoding, "encoding", "otlp_proto", encodings, "Of the message."),       \
        {0},                                                                                                           \
    }
SIGNAL(traces_fields, "otlp_spans");
SIGNAL(metrics_fields, "otlp_metrics");
SIGNAL(logs_fields, "otlp_logs");

static const struct gw_field plain_fields[] = {
    GW_STRING_FIELD(struct gw_kafka_plain, username, "username", "", "User."),
    GW_SECRET_FIELD(struct gw_kafka_plain, password, "password", "Password."),
    {0},
};
static const struct gw_field sasl_fields[] = {
    GW_STRING_FIELD(struct gw_kafka_sasl, username, "username", "", "User."),
    GW_SECRET_FIELD(struct gw_kafka_sasl, password, "password", "Password."),
    GW_STRING_FIELD(
        struct gw_kafka_sasl, mechanism, "mechanism", "",
        "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER. SCRAM at Kafka 4.0 and later takes librdkafka 2.6.1 "
        "or later."),
    {GW_FIELD_(struct gw_kafka_sasl, oauthbearer_token_source, "oauthbearer_token_source", GW_F_ID, "", 0, 0,
               "Authenticator extension that has the token of OAUTHBEARER. It is asked again when four fifths of the "
               "time of a JSON Web Token (exp) are over, for another token after four minutes."),
     .kind_mask = 1u << GW_EXTENSION},
    {GW_FIELD_(struct gw_kafka_sasl, aws_msk, "aws_msk", GW_F_ANY, NULL, 0, 0, "IAM of Amazon's Kafka."),
     .flags = GW_FF_PLANNED},
    {GW_FIELD_(struct gw_kafka_sasl, version, "version", GW_F_U64, "0", 0, 1, "The handshake's version is negotiated."),
     .flags = GW_FF_NO_EFFECT},
    {0},
};
static const struct gw_field kerberos_fields[] = {
    GW_STRING_FIELD(struct gw_kafka_kerberos, service_name, "service_name", "kafka",
                    "Kerberos service of the brokers."),
    GW_STRING_FIELD(struct gw_kafka_kerberos, realm, "realm", "", "Realm of the user."),
    GW_BOOL_FIELD(struct gw_kafka_kerberos, use_keytab, "use_keytab", "false", "Take the key from keytab_file."),
    GW_STRING_FIELD(struct gw_kafka_kerberos, username, "username", "", "User, without its realm."),
    GW_SECRET_FIELD(struct gw_kafka_kerberos, password, "password", "Not possible with this library: use a keytab."),
    GW_STRING_FIELD(struct gw_kafka_kerberos, config_file, "config_file", "",
                    "Not possible with this library: set KRB5_CONFIG."),
    GW_STRING_FIELD(struct gw_kafka_kerberos, keytab_file, "keytab_file", "", "Keys of the user."),
    {GW_FIELD_(struct gw_kafka_kerberos, disable_fast_negotiation, "disable_fast_negotiation", GW_F_BOOL, "false", 0, 0,
               "The Kerberos library decides."),
     .flags = GW_FF_NO_EFFECT},
    {0},
};
static const struct gw_field auth_fields[] = {
    {GW_FIELD_(struct gw_kafka_auth, plain, "plain_text", GW_F_BLOCK, NULL, 0, 0, "use sasl with mechanism PLAIN"),
     .block = plain_fields, .block_size = sizeof(struct gw_kafka_plain),
     .present_offset = offsetof(struct gw_kafka_auth, has_plain), .flags = GW_FF_OPTIONAL | GW_FF_DEPRECATED},
    GW_OPTIONAL_BLOCK_FIELD(struct gw_kafka_auth, sasl, has_sasl, "sasl", sasl_fields, 0,
                            "User and password, or a token."),
    GW_OPTIONAL_BLOCK_FIELD(struct gw_kafka_auth, kerberos, has_kerberos, "kerberos", kerberos_fields, 0, "Kerberos."),
    {GW_FIELD_(struct gw_kafka_auth, tls, "tls", GW_F_BLOCK, NULL, 0, 0, "use tls of the exporter"),
     .block = gw_tls_fields, .block_size = sizeof(struct gw_tls_settings),
     .present_offset = offsetof(struct gw_kafka_auth, has_tls),
     .flags = GW_FF_OPTIONAL | GW_FF_DEPRECATED | GW_FF_NULL_IS_ON},
    {0},
};

static const struct gw_field producer_fields[] = {
    GW_U64_FIELD(struct gw_kafka_producer, max_message_bytes, "max_message_bytes", "1000000", 1, 1e9,
                 "A longer message is split; a single row that is longer becomes a dead letter."),
    {GW_FIELD_(struct gw_kafka_producer, max_broker_write_bytes, "max_broker_write_bytes", GW_F_U64, "104857600", 0, 0,
               "The library limits requests by their messages."),
     .flags = GW_FF_NO_EFFECT},
    GW_ENUM_FIELD(struct gw_kafka_producer, required_acks, "required_acks", "all", acks,
                  "Who has to have a message: all in-sync replicas (written once, even when it is sent twice), 1 the "
                  "leader, 0 nobody."),
    GW_ENUM_FIELD(struct gw_kafka_producer, compression, "compression", "none", codecs, "Of batches of messages."),
    GW_BLOCK_FIELD(struct gw_kafka_producer, compression_params, "compression_params", gw_compression_params_fields,
                   "Of the codec."),
    GW_U64_FIELD(struct gw_kafka_producer, flush_max_messages, "flush_max_messages", "10000", 1, 1e6,
                 "Most messages of a batch."),
    GW_BOOL_FIELD(struct gw_kafka_producer, allow_auto_topic_creation, "allow_auto_topic_creation", "true",
                  "Let the brokers create a topic that is missing."),
    GW_DURATION_FIELD(struct gw_kafka_producer, linger_ns, "linger", "10ms", 0, 9e11,
                      "A batch waits so long for more messages."),
    {0},
};

static const struct gw_field sticky_fields[] = {
    GW_ENUM_FIELD(struct gw_kafka_sticky_key, hasher, "hasher", "sarama_compat", hashers,
                  "Hash of the key: FNV-1a, or Java's murmur2."),
    {0},
};
static const struct gw_field no_fields[] = {{0}};
static const struct gw_field partitioner_fields[] = {
    GW_OPTIONAL_BLOCK_FIELD(struct gw_kafka_partitioner, sticky_key, has_sticky_key, "sticky_key", sticky_fields,
                            GW_FF_NULL_IS_ON, "By the key's hash; without a key one partition per batch."),
    GW_OPTIONAL_BLOCK_FIELD(struct gw_kafka_partitioner, round_robin, has_round_robin, "round_robin", no_fields,
                            GW_FF_NULL_IS_ON, "One after the other, whatever the key."),
    GW_OPTIONAL_BLOCK_FIELD(struct gw_kafka_partitioner, least_backup, has_least_backup, "least_backup", no_fields,
                            GW_FF_NULL_IS_ON, "Where the fewest messages wait."),
    {GW_FIELD_(struct gw_kafka_partitioner, extension, "extension", GW_F_ANY, NULL, 0, 0, "An extension decides."),
     .flags = GW_FF_PLANNED},
    {0},
};

static const struct gw_field retry_fields[] = {
    {GW_FIELD_(struct gw_kafka_metadata_retry, max, "max", GW_F_U64, "3", 0, 0,
               "The library asks until the time is up."),
     .flags = GW_FF_NO_EFFECT},
    GW_DURATION_FIELD(struct gw_kafka_metadata_retry, backoff_ns, "backoff", "250ms", 1e6, 6e10,
                      "Between two looks for a leader."),
    {0},
};
static const struct gw_field metadata_fields[] = {
    {GW_FIELD_(struct gw_kafka_metadata, full, "full", GW_F_BOOL, "true", 0, 0,
               "Only the topics written to are asked for."),
     .flags = GW_FF_NO_EFFECT},
    GW_DURATION_FIELD(struct gw_kafka_metadata, refresh_interval_ns, "refresh_interval", "10m", 1e6, 3.6e12,
                      "Look for new partitions."),
    GW_BLOCK_FIELD(struct gw_kafka_metadata, retry, "retry", retry_fields, "While a leader is missing."),
    {0},
};

const struct gw_field gw_kafka_fields[] = {
    {GW_FIELD_(struct gw_kafka_conf, brokers, "brokers", GW_F_LIST, "localhost:9092", 0, 0, "Brokers to begin with.")},
    {GW_FIELD_(struct gw_kafka_conf, protocol_version, "protocol_version", GW_F_STRING, "2.1.0", 0, 0,
               "The library negotiates."),
     .flags = GW_FF_NO_EFFECT},
    GW_STRING_FIELD(struct gw_kafka_conf, client_id, "client_id", "otel-collector",
                    "Our name, for quotas and the brokers' logs."),
    GW_STRING_FIELD(struct gw_kafka_conf, rack_id, "rack_id", "", "Where we run."),
    {GW_FIELD_(struct gw_kafka_conf, use_leader_epoch, "use_leader_epoch", GW_F_BOOL, "true", 0, 0,
               "A consumer's setting."),
     .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(struct gw_kafka_conf, resolve_canonical, "resolve_canonical_bootstrap_servers_only", GW_F_BOOL, "false",
               0, 0, "As in the Collector."),
     .flags = GW_FF_NO_EFFECT},
    GW_DURATION_FIELD(struct gw_kafka_conf, conn_idle_timeout_ns, "conn_idle_timeout", "9m", 1e6, 2e15,
                      "Close an idle connection."),
    GW_DURATION_FIELD(struct gw_kafka_conf, dial_timeout_ns, "dial_timeout", "10s", 1e9, 2e15,
                      "To connect and log in."),
    GW_OPTIONAL_BLOCK_FIELD(struct gw_kafka_conf, tls, has_tls, "tls", gw_tls_fields, GW_FF_NULL_IS_ON,
                            "TLS to the brokers."),
    GW_OPTIONAL_BLOCK_FIELD(struct gw_kafka_conf, auth, has_auth, "auth", auth_fields, 0, "Who we are."),
    GW_BLOCK_FIELD(struct gw_kafka_conf, metadata, "metadata", metadata_fields, "What is asked about topics."),
    GW_BLOCK_FIELD(struct gw_kafka_conf, traces, "traces", traces_fields, "Spans."),
    GW_BLOCK_FIELD(struct gw_kafka_conf, metrics, "metrics", metrics_fields, "Data points."),
    GW_BLOCK_FIELD(struct gw_kafka_conf, logs, "logs", logs_fields, "Log records."),
    {GW_FIELD_(struct gw_kafka_conf, profiles, "profiles", GW_F_ANY, NULL, 0, 0, "Profiles."), .flags = GW_FF_PLANNED},
    GW_STRING_FIELD(struct gw_kafka_conf, topic_from_attribute, "topic_from_attribute", "",
                    "Resource attribute whose value is the topic."),
    GW_BOOL_FIELD(struct gw_kafka_conf, partition_traces_by_id, "partition_traces_by_id", "false",
                  "A message per trace, its id the key."),
    GW_BOOL_FIELD(struct gw_kafka_conf, partition_metrics_by_resource_attributes,
                  "partition_metrics_by_resource_attributes", "false",
                  "A message per resource, the hash of its attributes the key."),
    GW_BOOL_FIELD(struct gw_kafka_conf, partition_logs_by_resource_attributes, "partition_logs_by_resource_attributes",
                  "false", "A message per resource, the hash of its attributes the key."),
    GW_BOOL_FIELD(struct gw_kafka_conf, partition_logs_by_trace_id, "partition_logs_by_trace_id", "false",
                  "A message per trace, its id the key; records without one have no key."),
    GW_BLOCK_FIELD(struct gw_kafka_conf, record_partitioner, "record_partitioner", partitioner_fields,
                   "How a partition is chosen."),
    GW_STRINGS_FIELD(struct gw_kafka_conf, include_metadata_keys, "include_metadata_keys",
                     "Request headers that become message headers."),
    GW_HEADERS_FIELD(struct gw_kafka_conf, record_headers, "record_headers", "Headers of every message."),
    GW_BOOL_FIELD(struct gw_kafka_conf, signal_header, "signal_header", "false",
                  "A header otelcol.signal with the signal's name."),
    GW_BLOCK_FIELD(struct gw_kafka_conf, producer, "producer", producer_fields, "How messages are sent."),
    {0},
};

/* ---- rules -------------------------------------------------------------------------------------------------- */

static const struct gw_tls_settings *tls_of(const struct gw_kafka_conf *c)
{
    if (c->has_tls)
        return &c->tls;
    return c->has_auth && c->auth.has_tls ? &c->auth.tls : NULL;
}

static void mistake(struct gw_diag *diag, const struct gw_node *node, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void mistake(struct gw_diag *diag, const struct gw_node *node, const char *key, const char *fmt, ...)
{
    const struct gw_node *at = node ? gw_node_get(node, key) : NULL;
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : node ? &node->place : NULL, "%s", text);
}

static bool list_has(const struct gw_node *list, const char *s)
{
    for (const struct gw_node *n = list ? list->first : NULL; n; n = n->next)
        if (n->text && strcasecmp(n->text, s) == 0)
            return true;
    return list && !list->first && list->text && strcasecmp(list->text, s) == 0;
}

/** Batching mixes requests unless their metadata keys keep them apart: then every key that is looked at must. */
static void check_batching(const struct gw_kafka_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_kafka_signal *const signals[] = {&c->traces, &c->metrics, &c->logs};
    const struct gw_node *batch = node ? gw_node_path(node, "sending_queue", "batch", NULL) : NULL;
    const struct gw_node *keys = batch ? gw_node_path(batch, "partition", "metadata_keys", NULL) : NULL;
    static const char why[] =
        "must stand in sending_queue::batch::partition::metadata_keys: batches mix requests otherwise";

    if (!batch)
        return;
    for (size_t i = 0; i < c->include_metadata_keys.n; i++) {
        const char *k = ((const char *const *)c->include_metadata_keys.items)[i];

        if (!list_has(keys, k))
            mistake(diag, node, "include_metadata_keys", "include_metadata_keys: \"%s\" %s", k, why);
    }
    for (unsigned i = 0; i < 3; i++) {
        const char *const named[] = {signals[i]->topic_from_metadata_key, signals[i]->message_key_from_metadata_key};

        for (unsigned k = 0; k < 2; k++)
            if (*named[k] && !list_has(keys, named[k]))
                mistake(diag, node, (const char *const[]){"traces", "metrics", "logs"}[i], "%s: \"%s\" %s",
                        k ? "message_key_from_metadata_key" : "topic_from_metadata_key", named[k], why);
    }
}

static void check_keys(const struct gw_kafka_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    if (c->partition_logs_by_resource_attributes && c->partition_logs_by_trace_id)
        mistake(diag, node, "partition_logs_by_trace_id",
                "partition_logs_by_resource_attributes and partition_logs_by_trace_id exclude each other");
    if (*c->traces.message_key_from_metadata_key && c->partition_traces_by_id)
        mistake(diag, node, "traces", "message_key_from_metadata_key and partition_traces_by_id exclude each other");
    if (*c->metrics.message_key_from_metadata_key && c->partition_metrics_by_resource_attributes)
        mistake(diag, node, "metrics",
                "message_key_from_metadata_key and partition_metrics_by_resource_attributes exclude each other");
    if (*c->logs.message_key_from_metadata_key &&
        (c->partition_logs_by_resource_attributes || c->partition_logs_by_trace_id))
        mistake(diag, node, "logs", "message_key_from_metadata_key and partition_logs_by_... exclude each other");
    if (c->record_partitioner.has_sticky_key + c->record_partitioner.has_round_robin +
            c->record_partitioner.has_least_backup >
        1)
        mistake(diag, node, "record_partitioner",
                "record_partitioner: keep one of sticky_key, round_robin, least_backup");
}

static void check_tls(const struct gw_kafka_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_tls_settings *t = tls_of(c);

    if (!t || t->insecure)
        return;
    if (*t->server_name_override || t->min_version || t->max_version || t->reload_interval_ns ||
        (t->include_system_ca_certs_pool && (*t->ca_file || *t->ca_pem)))
        mistake(diag, node, "tls",
                "tls: librdkafka knows no server_name_override, min_version, max_version, reload_interval, and no "
                "include_system_ca_certs_pool beside ca_file");
    if ((*t->ca_file && *t->ca_pem) || (*t->cert_file && *t->cert_pem) || (*t->key_file && *t->key_pem))
        mistake(diag, node, "tls", "tls: a file and a text for the same thing: keep one");
}

static void check_auth(const struct gw_kafka_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_kafka_sasl *s = &c->auth.sasl;
    const struct gw_kafka_kerberos *k = &c->auth.kerberos;

    if (!c->has_auth)
        return;
    if (c->auth.has_plain + c->auth.has_sasl + c->auth.has_kerberos > 1)
        mistake(diag, node, "auth", "auth: keep one of plain_text, sasl, kerberos");
    if (c->auth.has_sasl) {
        if (strcmp(s->mechanism, "PLAIN") == 0 || strcmp(s->mechanism, "SCRAM-SHA-256") == 0 ||
            strcmp(s->mechanism, "SCRAM-SHA-512") == 0) {
            if (!*s->username || !*s->password)
                mistake(diag, node, "auth", "auth: sasl: %s needs username and password", s->mechanism);
        } else if (strcmp(s->mechanism, "OAUTHBEARER") == 0) {
            if (!*s->oauthbearer_token_source)
                mistake(diag, node, "auth",
                        "auth: sasl: OAUTHBEARER needs oauthbearer_token_source, an extension's id");
        } else {
            mistake(diag, node, "auth",
                    "auth: sasl: mechanism \"%s\" is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER",
                    s->mechanism);
        }
    }
    if (c->auth.has_kerberos &&
        (!k->use_keytab || !*k->keytab_file || !*k->username || *k->password || *k->config_file))
        mistake(diag, node, "auth",
                "auth: kerberos: librdkafka takes use_keytab: true with username and keytab_file; a password is not "
                "possible, and config_file is the environment variable KRB5_CONFIG");
}

static void check_level(const struct gw_kafka_conf *c, const struct gw_node *node, struct gw_diag *diag)
{
    static const int max[] = {0, 9, 0, 12, 22}; /* none, gzip, snappy, lz4, zstd */
    int64_t level = c->producer.compression_params.level;

    if (level != 0 && (level < -1 || level > max[c->producer.compression]))
        mistake(diag, node, "producer", "producer: compression_params: %lld is no level of %s", (long long)level,
                codecs[c->producer.compression]);
}

void gw_kafka_check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_kafka_conf *c = conf;

    if (!c->brokers.n)
        mistake(diag, node, "brokers", "brokers: name at least one, such as localhost:9092");
    check_keys(c, node, diag);
    check_batching(c, node, diag);
    check_tls(c, node, diag);
    check_auth(c, node, diag);
    check_level(c, node, diag);
}

/* ---- librdkafka's properties -------------------------------------------------------------------------------- */

static void put(struct gw_kafka_options *o, const char *key, const char *value)
{
    if (o->n < GW_KAFKA_MAX_OPTIONS)
        o->list[o->n++] = (struct gw_producer_option){key, value};
}

static void put_text(struct gw_kafka_options *o, const char *key, const char *value)
{
    if (value && *value)
        put(o, key, value);
}

static void put_number(struct gw_kafka_options *o, const char *key, long long value)
{
    char *text = gw_arena_alloc(&o->arena, 24);

    if (!text)
        return;
    snprintf(text, 24, "%lld", value);
    put(o, key, text);
}

static void put_brokers(struct gw_kafka_options *o, const struct gw_kafka_conf *c)
{
    const char *const *b = c->brokers.items;
    size_t n = 1, at = 0;
    char *text;

    for (size_t i = 0; i < c->brokers.n; i++)
        n += strlen(b[i]) + 1;
    text = gw_arena_alloc(&o->arena, n);
    if (!text)
        return;
    text[0] = '\0';
    for (size_t i = 0; i < c->brokers.n; i++)
        at += (size_t)sprintf(text + at, "%s%s", i ? "," : "", b[i]);
    put(o, "bootstrap.servers", text);
}

static void put_tls(struct gw_kafka_options *o, const struct gw_tls_settings *t)
{
    put_text(o, "ssl.ca.location", t->ca_file);
    put_text(o, "ssl.ca.pem", t->ca_pem);
    put_text(o, "ssl.certificate.location", t->cert_file);
    put_text(o, "ssl.certificate.pem", t->cert_pem);
    put_text(o, "ssl.key.location", t->key_file);
    put_text(o, "ssl.key.pem", t->key_pem);
    put(o, "enable.ssl.certificate.verification", t->insecure_skip_verify ? "false" : "true");
    put(o, "ssl.endpoint.identification.algorithm", t->insecure_skip_verify ? "none" : "https");
}

static bool put_auth(struct gw_kafka_options *o, const struct gw_kafka_auth *a)
{
    if (a->has_plain) {
        put(o, "sasl.mechanisms", "PLAIN");
        put(o, "sasl.username", a->plain.username);
        put(o, "sasl.password", a->plain.password);
    } else if (a->has_sasl) {
        put(o, "sasl.mechanisms", a->sasl.mechanism);
        put_text(o, "sasl.username", a->sasl.username);
        put_text(o, "sasl.password", a->sasl.password);
    } else if (a->has_kerberos) {
        const struct gw_kafka_kerberos *k = &a->kerberos;
        char *principal = gw_arena_alloc(&o->arena, strlen(k->username) + strlen(k->realm) + 2);

        put(o, "sasl.mechanisms", "GSSAPI");
        put_text(o, "sasl.kerberos.service.name", k->service_name);
        put_text(o, "sasl.kerberos.keytab", k->keytab_file);
        if (principal) {
            sprintf(principal, "%s%s%s", k->username, *k->realm ? "@" : "", k->realm);
            put(o, "sasl.kerberos.principal", principal);
        }
    } else {
        return false;
    }
    return true;
}

static void put_producer(struct gw_kafka_options *o, const struct gw_kafka_conf *c, uint64_t timeout_ns)
{
    const struct gw_kafka_producer *p = &c->producer;
    bool all = p->required_acks <= 1;
    long long ms = (long long)((timeout_ns + 999999) / 1000000);

    put(o, "acks", all ? "all" : acks[p->required_acks]);
    put(o, "enable.idempotence", all ? "true" : "false");
    put(o, "compression.codec", codecs[p->compression]);
    if (p->compression_params.level)
        put_number(o, "compression.level", p->compression_params.level);
    /* Below 1000 the library takes none; our own limit holds all the same. */
    put_number(o, "message.max.bytes", p->max_message_bytes < 1000 ? 1000 : (long long)p->max_message_bytes);
    put_number(o, "batch.num.messages", (long long)p->flush_max_messages);
    put_number(o, "linger.ms", (long long)(p->linger_ns / 1000000));
    put(o, "allow.auto.create.topics", p->allow_auto_topic_creation ? "true" : "false");
    /* An attempt has a time; what did not arrive in it comes back and is tried again by the queue. */
    put_number(o, "message.timeout.ms", ms);
    put_number(o, "request.timeout.ms", ms < 1 || ms > 900000 ? 30000 : ms);
}

void gw_kafka_options_fill(struct gw_kafka_options *o, const struct gw_kafka_conf *c, uint64_t timeout_ns,
                           size_t batch_bytes)
{
    const struct gw_tls_settings *t = tls_of(c);
    bool tls = t && !t->insecure, sasl;

    o->n = 0;
    gw_arena_init(&o->arena, 4096, 1 << 20);
    put_brokers(o, c);
    put_text(o, "client.id", c->client_id);
    put_text(o, "client.rack", c->rack_id);
    put_number(o, "connections.max.idle.ms", (long long)(c->conn_idle_timeout_ns / 1000000));
    put_number(o, "socket.connection.setup.timeout.ms", (long long)(c->dial_timeout_ns / 1000000));
    put_number(o, "topic.metadata.refresh.interval.ms", (long long)(c->metadata.refresh_interval_ns / 1000000));
    put_number(o, "topic.metadata.refresh.fast.interval.ms", (long long)(c->metadata.retry.backoff_ns / 1000000));
    put(o, "partitioner",
        c->record_partitioner.has_sticky_key && c->record_partitioner.sticky_key.hasher == 1 ? "murmur2_random"
                                                                                             : "fnv1a_random");
    if (tls)
        put_tls(o, t);
    sasl = c->has_auth && put_auth(o, &c->auth);
    put(o, "security.protocol", sasl ? (tls ? "sasl_ssl" : "sasl_plaintext") : tls ? "ssl" : "plaintext");
    put_producer(o, c, timeout_ns);
    put_number(o, "batch.size", (long long)(batch_bytes ? batch_bytes : 1));
}

void gw_kafka_options_clear(struct gw_kafka_options *o)
{
    gw_arena_clear(&o->arena);
    o->n = 0;
}
