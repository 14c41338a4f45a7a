/* SPDX-License-Identifier: Apache-2.0 */
/* Components of the Collector that a configuration may name: refused by name, not as unknown. Both spellings. */
#include "pipeline/service.h"

#define R(name)                                                                                                        \
    {                                                                                                                  \
        GW_RECEIVER, name, NULL                                                                                        \
    }
#define P(name)                                                                                                        \
    {                                                                                                                  \
        GW_PROCESSOR, name, NULL                                                                                       \
    }
#define C(name)                                                                                                        \
    {                                                                                                                  \
        GW_CONNECTOR, name, NULL                                                                                       \
    }
#define E(name)                                                                                                        \
    {                                                                                                                  \
        GW_EXPORTER, name, NULL                                                                                        \
    }
#define X(name)                                                                                                        \
    {                                                                                                                  \
        GW_EXTENSION, name, NULL                                                                                       \
    }

const struct gw_planned gw_planned[] = {
    R("kafka"),
    R("prometheus"),
    R("prometheus_remote_write"),
    R("prometheusremotewrite"),
    R("file_log"),
    R("filelog"),
    R("syslog"),
    R("statsd"),
    R("zipkin"),
    R("jaeger"),
    R("host_metrics"),
    R("hostmetrics"),
    R("otel_arrow"),
    R("otelarrow"),
    R("fluent_forward"),
    R("fluentforward"),
    R("splunk_hec"),
    R("datadog"),
    R("loki"),
    R("otlp_json_file"),
    R("otlpjsonfile"),

    P("filter"),
    P("transform"),
    P("queuebatch"),
    P("span"),
    P("redaction"),
    P("metrics_transform"),
    P("metricstransform"),
    P("cumulative_to_delta"),
    P("cumulativetodelta"),
    P("delta_to_cumulative"),
    P("deltatocumulative"),
    P("delta_to_rate"),
    P("deltatorate"),
    P("interval"),
    P("metric_start_time"),
    P("metricstarttime"),
    P("groupbyattrs"),
    P("groupbytrace"),
    P("logdedup"),
    P("schema"),
    P("k8s_attributes"),
    P("k8sattributes"),
    P("resource_detection"),
    P("resourcedetection"),

    C("routing"),
    C("failover"),
    C("roundrobin"),
    C("sum"),
    C("exceptions"),
    C("signal_to_metrics"),
    C("signaltometrics"),

    E("prometheus"),
    E("load_balancing"),
    E("loadbalancing"),
    E("otel_arrow"),
    E("otelarrow"),
    {GW_EXPORTER, "logging", "debug"},
    {GW_EXPORTER, "jaeger", "otlp_grpc (Jaeger takes OTLP)"},
    {GW_EXPORTER, "loki", "otlp_http (Loki takes OTLP)"},
    {GW_EXPORTER, "opencensus", "otlp_grpc"},

    X("healthcheckv2"),
    X("pprof"),
    X("zpages"),
    X("memory_limiter"),
    X("oauth2client"),
    X("oidc"),
    X("headers_setter"),
    {GW_EXTENSION, "memory_ballast", "the memory_limiter processor"},
    {GW_PROCESSOR, "queued_retry", "sending_queue and retry_on_failure of the exporter"},
    {0, NULL, NULL},
};
