/* SPDX-License-Identifier: Apache-2.0 */
/* What brokers and librdkafka say, in our words. */
#include "core/buf.h"
#include "net/producer_impl.h"

#include <openssl/x509.h>
#include <syslog.h>

enum gw_produce_code gw_rk_code(rd_kafka_resp_err_t err)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return GW_PRODUCED;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return GW_PRODUCE_TOO_LARGE;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return GW_PRODUCE_QUEUE_FULL;
    /* Those that Kafka's protocol guide calls not retriable. */
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
        return GW_PRODUCE_PERMANENT;
    default:
        return GW_PRODUCE_RETRY;
    }
#pragma GCC diagnostic pop
}

const char *gw_rk_error(const struct gw_rk_producer *p, rd_kafka_resp_err_t err)
{
    bool ours = err == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT || err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
                err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;

    if (ours && *p->last_error)
        return p->last_error;
    return err ? rd_kafka_err2str(err) : NULL;
}

static enum gw_trouble trouble_of(rd_kafka_resp_err_t err, const char *reason)
{
    /* What a broker has against a certificate comes as a failure to read. */
    if (err == RD_KAFKA_RESP_ERR__TRANSPORT && (strstr(reason, "SSL_HANDSHAKE") || strstr(reason, "SSL routines")))
        return GW_TROUBLE_TLS;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (err) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
        return GW_TROUBLE_CONNECTION;
    case RD_KAFKA_RESP_ERR__SSL:
        return GW_TROUBLE_TLS;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        return GW_TROUBLE_AUTHENTICATION;
    default:
        return GW_TROUBLE_OTHER;
    }
#pragma GCC diagnostic pop
}

/** What librdkafka's own words leave open. */
static const char *hint_of(enum gw_trouble what, const char *reason)
{
    if (what == GW_TROUBLE_TLS && strstr(reason, " alert ") && strstr(reason, "certificate"))
        return "; the broker does not accept our certificate";
    /* Its answer repeats a nonce, which brokers took until then: librdkafka#4895. */
    if (what == GW_TROUBLE_AUTHENTICATION && strstr(reason, "SCRAM-") && rd_kafka_version() < 0x020601ff)
        return "; or the broker is Kafka 4.0 or later, where only librdkafka 2.6.1 or later can log in with SCRAM";
    return "";
}

void gw_rk_on_error(rd_kafka_t *rk, int err, const char *reason, void *arg)
{
    enum gw_trouble what = trouble_of((rd_kafka_resp_err_t)err, reason);
    struct gw_rk_producer *p = arg;
    char text[256];

    if (err == RD_KAFKA_RESP_ERR__FATAL) {
        rd_kafka_fatal_error(rk, text, sizeof(text));
        gw_log(p->logger, GW_LOG_ERROR, "kafka producer is made again after a fatal error: %s", text);
        p->fatal = true;
        return;
    }
    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) /* follows from what was said of each */
        return;
    gw_log_at(p->logger, GW_LOG_WARN, &p->errors, "kafka: %s: %s%s", rd_kafka_err2str((rd_kafka_resp_err_t)err), reason,
              hint_of(what, reason));
    snprintf(p->last_error, sizeof(p->last_error), "%s%s", reason, hint_of(what, reason));
    if (p->trouble)
        p->trouble(p->trouble_arg, what);
}

/** From librdkafka's own threads. */
void gw_rk_on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    const struct gw_rk_producer *p = rd_kafka_opaque(rk);

    if (strcmp(facility, "FAIL") == 0) /* gw_rk_on_error says it, too */
        level = LOG_DEBUG;
    gw_log(p->logger,
           level <= LOG_ERR       ? GW_LOG_ERROR
           : level == LOG_WARNING ? GW_LOG_WARN
                                  : GW_LOG_DEBUG,
           "kafka: %s: %s", facility, text);
}

/** From librdkafka's own threads. It logs our text with the broker's name; its own is the same for every reason. */
int gw_rk_on_certificate(rd_kafka_t *rk, const char *broker, int32_t broker_id, int *x509_error, int depth,
                         const char *der, size_t n_der, char *text, size_t n_text, void *arg)
{
    (void)rk, (void)broker, (void)broker_id, (void)depth, (void)der, (void)n_der, (void)arg;
    if (*x509_error == X509_V_OK)
        return 1;
    snprintf(text, n_text, "%s", X509_verify_cert_error_string(*x509_error));
    return 0;
}

void gw_rk_on_token(rd_kafka_t *rk, const char *config, void *arg)
{
    struct gw_rk_producer *p = arg;
    struct gw_buf token;
    struct gw_err err = {{0}};
    uint64_t expires_ms = 0;
    char text[256] = "";

    (void)config;
    gw_buf_init(&token, 64 << 10);
    if (p->token(p->token_arg, &token, &expires_ms, &err) == 0) {
        gw_buf_put_u8(&token, '\0');
        if (token.failed || rd_kafka_oauthbearer_set_token(rk, (const char *)token.p, (int64_t)expires_ms, "staunch",
                                                           NULL, 0, text, sizeof(text)) != RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_oauthbearer_set_token_failure(rk, *text ? text : "out of memory");
    } else {
        rd_kafka_oauthbearer_set_token_failure(rk, err.text); /* librdkafka asks again in 10 s */
    }
    gw_buf_clear(&token);
}
