/* The one-dimensional filters of a separable steerable convolution and their adjoint, on channels-last maps.

   Macros beside those of bundles.h:
     E      functions along each axis
     SIZE   points of a function

   Maps are [images][height][width][channels]; filtered maps are [images][out_height][out_width][n][m][channels] with n
   counting the functions along the height and m those along the width; functions are [E][SIZE]. What lies between the
   two axes, [height + 2 padding][out_width][E][WIDTH], stays in a thread's cache. */

#include "bundles.h"

/* maps -> filtered maps, of the maps' positive part where `rectify` is set. Returns 0, or 1 without memory. */
int filter_maps(const REAL *restrict maps, REAL *restrict filtered, const REAL *restrict functions, geometry g,
                long rectify, long threads) {
    const long parts = g.channels / WIDTH, rows = g.height + 2 * g.padding, columns = g.width + 2 * g.padding;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        /* Their rims stay zero: that is the padding. */
        REAL *row = zeros(columns * WIDTH), *along = zeros(rows * g.out_width * E * WIDTH);
        failed = !row || !along;
#pragma omp for collapse(2) schedule(static)
        for (long image = 0; image < g.images; image++)
            for (long part = 0; part < parts; part++) {
                if (failed) continue;
                for (long h = 0; h < g.height; h++) {
                    const REAL *from = maps + (image * g.height + h) * g.width * g.channels + part * WIDTH;
                    take_row(row + g.padding * WIDTH, from, g.width, g.channels, rectify);
                    REAL *to = along + (h + g.padding) * g.out_width * E * WIDTH;
                    for (long w = 0; w < g.out_width; w++) {
                        bundle sums[E] = {0};
                        for (int t = 0; t < SIZE; t++) {
                            const bundle values = load(row + (w * g.stride + t) * WIDTH);
                            for (int m = 0; m < E; m++) add(&sums[m], values, functions[m * SIZE + t]);
                        }
                        for (int m = 0; m < E; m++) store(to + (w * E + m) * WIDTH, sums[m]);
                    }
                }
                for (long h = 0; h < g.out_height; h++)
                    for (long w = 0; w < g.out_width; w++) {
                        const long position = (image * g.out_height + h) * g.out_width + w;
                        REAL *to = filtered + position * E * E * g.channels + part * WIDTH;
                        for (int m = 0; m < E; m++) {
                            bundle sums[E] = {0};
                            for (int t = 0; t < SIZE; t++) {
                                const long at = ((h * g.stride + t) * g.out_width + w) * E + m;
                                const bundle values = load(along + at * WIDTH);
                                for (int n = 0; n < E; n++) add(&sums[n], values, functions[n * SIZE + t]);
                            }
                            for (int n = 0; n < E; n++) store(to + (n * E + m) * g.channels, sums[n]);
                        }
                    }
            }
        free(row);
        free(along);
    }
    return failed;
}

/* Gradients of filtered maps -> gradients of the maps, zero where `rectify` is set and a map is not positive. */
int filter_gradients(const REAL *restrict gradients, REAL *restrict d_maps, const REAL *restrict maps,
                     const REAL *restrict functions, geometry g, long rectify, long threads) {
    const long parts = g.channels / WIDTH, rows = g.height + 2 * g.padding, columns = g.width + 2 * g.padding;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        REAL *row = zeros(columns * WIDTH), *along = zeros(rows * g.out_width * E * WIDTH);
        failed = !row || !along;
#pragma omp for collapse(2) schedule(static)
        for (long image = 0; image < g.images; image++)
            for (long part = 0; part < parts; part++) {
                if (failed) continue;
                memset(along, 0, rows * g.out_width * E * WIDTH * sizeof(REAL));
                for (long h = 0; h < g.out_height; h++)
                    for (long w = 0; w < g.out_width; w++) {
                        const long position = (image * g.out_height + h) * g.out_width + w;
                        const REAL *from = gradients + position * E * E * g.channels + part * WIDTH;
                        for (int m = 0; m < E; m++) {
                            bundle values[E];
                            for (int n = 0; n < E; n++) values[n] = load(from + (n * E + m) * g.channels);
                            for (int t = 0; t < SIZE; t++) {
                                REAL *to = along + (((h * g.stride + t) * g.out_width + w) * E + m) * WIDTH;
                                bundle sum = load(to);
                                for (int n = 0; n < E; n++) add(&sum, values[n], functions[n * SIZE + t]);
                                store(to, sum);
                            }
                        }
                    }
                for (long h = 0; h < g.height; h++) {
                    memset(row, 0, columns * WIDTH * sizeof(REAL));
                    const REAL *from = along + (h + g.padding) * g.out_width * E * WIDTH;
                    for (long w = 0; w < g.out_width; w++) {
                        bundle values[E];
                        for (int m = 0; m < E; m++) values[m] = load(from + (w * E + m) * WIDTH);
                        for (int t = 0; t < SIZE; t++) {
                            REAL *to = row + (w * g.stride + t) * WIDTH;
                            bundle sum = load(to);
                            for (int m = 0; m < E; m++) add(&sum, values[m], functions[m * SIZE + t]);
                            store(to, sum);
                        }
                    }
                    const long start = (image * g.height + h) * g.width * g.channels + part * WIDTH;
                    give_row(d_maps + start, row + g.padding * WIDTH, maps + start, g.width, g.channels, rectify);
                }
            }
        free(row);
        free(along);
    }
    return failed;
}
