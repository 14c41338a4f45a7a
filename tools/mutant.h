/* SPDX-License-Identifier: Apache-2.0 */
/* Included before everything else in files whose conditions tools/mutate.py turns round: one program is all mutants. */
#ifndef GW_TOOLS_MUTANT_H
#define GW_TOOLS_MUTANT_H

extern unsigned gw_mutant_chosen;
extern unsigned char *gw_mutant_seen; /* of each condition: bit 0, it was false; bit 1, true */

static inline int gw_mutant_at(unsigned n, int truth)
{
    gw_mutant_seen[n] |= (unsigned char)(1u << truth);
    return truth ^ (n == gw_mutant_chosen);
}

#endif
