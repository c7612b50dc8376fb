/* Arithmetic of neighbouring channels, compiled for one number type and one vector (see loader.py):
     REAL   float or double
     LANES  numbers in a vector; WIDTH channels, a multiple of it, are worked off together. */

#ifndef BUNDLES_H
#define BUNDLES_H

#include "geometry.h"

#define PARTS (WIDTH / LANES)

typedef REAL vector __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

/* WIDTH neighbouring channels. */
typedef struct {
    vector part[PARTS];
} bundle;

static inline bundle load(const REAL *from) {
    bundle values;
    for (int i = 0; i < PARTS; i++) values.part[i] = *(const vector *)(from + i * LANES);
    return values;
}

static inline void store(REAL *to, bundle values) {
    for (int i = 0; i < PARTS; i++) *(vector *)(to + i * LANES) = values.part[i];
}

static inline void add(bundle *sum, bundle values, REAL factor) {
    for (int i = 0; i < PARTS; i++) sum->part[i] += values.part[i] * factor;
}

static inline bundle plus(bundle one, bundle other, REAL factor) {
    add(&one, other, factor);
    return one;
}

/* One row of a map, WIDTH of its channels, rectified where asked. Not `value > 0 ? value : 0`, which would lose a NaN. */
static inline void take_row(REAL *restrict row, const REAL *restrict from, long width, long channels, int rectify) {
    for (long w = 0; w < width; w++)
        for (int c = 0; c < WIDTH; c++) {
            const REAL value = from[w * channels + c];
            row[w * WIDTH + c] = rectify && value < 0 ? 0 : value;
        }
}

/* The gradient of such a row: zero where `rectify` is set and the map is not positive. */
static inline void give_row(REAL *restrict to, const REAL *restrict row, const REAL *restrict from, long width,
                            long channels, int rectify) {
    for (long w = 0; w < width; w++)
        for (int c = 0; c < WIDTH; c++) {
            const long at = w * channels + c;
            to[at] = rectify && !(from[at] > 0) ? 0 : row[w * WIDTH + c];
        }
}

#endif
