/* SPDX-License-Identifier: Apache-2.0 */
#include "connectors/service_graph/pairs.h"

const char *gw_connection_name(enum gw_connection c)
{
    static const char *const names[] = {"", "messaging_system", "database", "virtual_node"};

    return names[c];
}

const char *gw_virtual_name(enum gw_virtual v)
{
    static const char *const names[] = {"", "client", "server"};

    return names[v];
}

/* Of a messaging system if either side says so: otherwise it would depend on who came last. */
static void tell(const struct gw_pairs *p, const struct gw_half *client, const struct gw_half *server)
{
    bool messaging = client->messaging || server->messaging;

    p->request(p->arg, &(struct gw_request){.client = client->service,
                                            .server = server->service,
                                            .connection = messaging ? GW_CONN_MESSAGING : GW_CONN_DIRECT,
                                            .failed = client->failed || server->failed,
                                            .client_ns = client->duration_ns,
                                            .server_ns = server->duration_ns,
                                            .client_dims = client->dims,
                                            .server_dims = server->dims});
}

/* Had somebody answered for the database already, he is no longer waited for. */
static void tell_database(struct gw_pairs *p, const struct gw_half_key *key, const struct gw_half *client,
                          struct gw_slice name)
{
    struct gw_request e = {.client = client->service,
                           .server = name,
                           .connection = GW_CONN_DATABASE,
                           .failed = client->failed,
                           .client_ns = client->duration_ns,
                           .server_ns = client->duration_ns,
                           .client_dims = client->dims};
    struct gw_half other;

    if (gw_halves_take(p->halves, key, &other)) {
        e.failed |= other.failed;
        if (other.side == GW_SIDE_SERVER)
            e.server_dims = other.dims;
    } else {
        p->n_edges++;
    }
    p->request(p->arg, &e);
}

void gw_pairs_put(struct gw_pairs *p, const struct gw_half_key *key, const struct gw_half *half,
                  struct gw_slice database, uint64_t now_ns)
{
    struct gw_half other;
    enum gw_half_fate fate;

    if (half->side == GW_SIDE_CLIENT && database.p) {
        tell_database(p, key, half, database);
        return;
    }
    fate = gw_halves_put(p->halves, key, half, now_ns, &other);
    if (fate == GW_HALF_NO_ROOM) { /* what is due makes room, whether or not it is time to look */
        gw_pairs_expire(p, now_ns);
        fate = gw_halves_put(p->halves, key, half, now_ns, &other);
    }
    if (fate == GW_HALF_NO_ROOM)
        p->n_dropped++;
    else if (fate == GW_HALF_KEPT)
        p->n_edges++;
    else if (fate == GW_HALF_PAIRED && half->side == GW_SIDE_CLIENT)
        tell(p, half, &other);
    else if (fate == GW_HALF_PAIRED)
        tell(p, &other, half);
}

static bool has_parent(const struct gw_half_key *key)
{
    static const uint8_t none[sizeof(key->span_id)];

    return memcmp(key->span_id, none, sizeof(none)) != 0;
}

static void tell_virtual(const struct gw_pairs *p, const struct gw_half_key *key, const struct gw_half *half)
{
    struct gw_request e = {.connection = GW_CONN_VIRTUAL, .failed = half->failed};

    if (half->side == GW_SIDE_CLIENT) {
        e.client = half->service;
        e.client_ns = half->duration_ns;
        e.client_dims = half->dims;
        e.server = half->peer.n ? half->peer : GW_SLICE("unknown");
        e.virtual_node = GW_VIRTUAL_SERVER;
    } else if (!has_parent(key)) {
        e.client = GW_SLICE("user");
        e.server = half->service;
        e.server_ns = half->duration_ns;
        e.server_dims = half->dims;
        e.virtual_node = GW_VIRTUAL_CLIENT;
    } else {
        return; /* its client is somebody whom we did not hear */
    }
    p->request(p->arg, &e);
}

void gw_pairs_expire(struct gw_pairs *p, uint64_t now_ns)
{
    struct gw_half_key key;
    struct gw_half half;

    while (gw_halves_expire(p->halves, now_ns, &key, &half)) {
        p->n_expired++;
        if (p->virtual_nodes)
            tell_virtual(p, &key, &half);
    }
}
