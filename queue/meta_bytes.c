/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/meta_bytes.h"

#include <errno.h>

void gw_meta_to_bytes(const struct gw_meta *m, uint32_t requests, struct gw_buf *out)
{
    gw_buf_put(out, &requests, sizeof(requests)); /* little endian, as this machine */
    if (m)
        gw_meta_write(m, out);
}

int gw_meta_from_bytes(struct gw_slice bytes, uint64_t *requests, struct gw_meta **ret)
{
    uint32_t n;

    *ret = NULL;
    if (bytes.n < sizeof(n))
        return 0;
    memcpy(&n, bytes.p, sizeof(n));
    if (n)
        *requests = n;
    bytes.p += sizeof(n);
    bytes.n -= sizeof(n);
    return bytes.n && gw_meta_read(bytes, ret) == -ENOMEM ? -ENOMEM : 0;
}
