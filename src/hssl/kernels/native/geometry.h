/* The geometry of a convolution of channels-last maps (see loader.py), and memory to work in. REAL is float or double. */

#ifndef GEOMETRY_H
#define GEOMETRY_H

#include <stdlib.h>
#include <string.h>

typedef struct {
    long images, height, width, channels, stride, padding, out_height, out_width;
} geometry;

static REAL *zeros(long count) {
    const size_t bytes = ((size_t)count * sizeof(REAL) + 63) / 64 * 64;
    REAL *found = aligned_alloc(64, bytes);
    if (found) memset(found, 0, bytes);
    return found;
}

#endif
