/* The dense convolution of maps of few channels, and the gradient of its kernel. A vector holds the same number of LANES
   images, so neither the channels nor the width of a map need fit a vector, as they must in libraries that put channels
   into it: 3 or 9 channels fill 16 lanes badly.

   Macros:
     REAL         float or double, of REAL_BYTES
     OUTS         output channels that are worked off together
     TAPS         points of a kernel's row, channels before positions, whose gradients are summed together

   Maps are channels-last, or those of the input by `planes` [channels][height][width]. LANES images are turned over into [height][width + 2 padding][channels][LANES] and stay in a
   thread's cache; a row of a kernel then reads SIZE * channels neighbouring vectors. */

#include "geometry.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define REGISTERS 32
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define REGISTERS 16
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define REGISTERS 32
#else
#define VECTOR_BYTES 16
#define REGISTERS 16
#endif

#define LANES (VECTOR_BYTES / REAL_BYTES)
#define AT_LEAST_ONE(number) ((number) < 1 ? 1 : (number))
/* Sums stay in registers, all but a few of them. */
#define POSITIONS AT_LEAST_ONE((REGISTERS - 5) / OUTS)
#define GRADIENTS AT_LEAST_ONE((REGISTERS - 5) / TAPS)

typedef REAL vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

#if REAL_BYTES == 8
typedef long long bits __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int bits __attribute__((vector_size(VECTOR_BYTES)));
#endif

static inline vector load(const REAL *from) { return *(const vector *)from; }
static inline void store(REAL *to, vector values) { *(vector *)to = values; }

/* Zero where a number is negative; a NaN stays. */
static inline vector positive(vector values) {
    return (vector)((bits)values & ~(bits)(values < (vector){0}));
}

/* LANES vectors of LANES numbers, the table that they are turned over. Each round moves one bit of a number's row into
   its column and one of its column into its row: two vectors half the table apart are interleaved. */
static inline void transpose(vector table[LANES]) {
#if LANES == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif LANES == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#else
#define LOW 0, 2
#define HIGH 1, 3
#endif
    for (int bit = 1; bit < LANES; bit *= 2) {
        vector next[LANES];
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shufflevector(table[i], table[i + LANES / 2], LOW);
            next[2 * i + 1] = __builtin_shufflevector(table[i], table[i + LANES / 2], HIGH);
        }
        for (int i = 0; i < LANES; i++) table[i] = next[i];
    }
}

/* `length` numbers of `present` images, `apart` from one image to the next -> [length][LANES], `spread` vectors from one
   to the next; zero for images that are not there. */
static void gather(REAL *restrict to, const REAL *restrict from, long length, long apart, long spread, long present,
                   int rectify) {
    long done = 0;
    if (present == LANES)
        while (length >= LANES && done < length) {
            /* The last block may overlap the one before. */
            const long at = done + LANES <= length ? done : length - LANES;
            vector table[LANES];
            for (int image = 0; image < LANES; image++) table[image] = load(from + image * apart + at);
            transpose(table);
            for (int i = 0; i < LANES; i++)
                store(to + (at + i) * spread * LANES, rectify ? positive(table[i]) : table[i]);
            done = at + LANES;
        }
    for (; done < length; done++)
        for (int image = 0; image < LANES; image++) {
            const REAL value = image < present ? from[image * apart + done] : 0;
            to[done * spread * LANES + image] = rectify && value < 0 ? 0 : value;
        }
}

/* [length][LANES] -> `length` numbers of each of `present` images. */
static void scatter(REAL *restrict to, const REAL *restrict from, long length, long apart, long present) {
    long done = 0;
    if (present == LANES)
        while (length >= LANES && done < length) {
            const long at = done + LANES <= length ? done : length - LANES;
            vector table[LANES];
            for (int i = 0; i < LANES; i++) table[i] = load(from + (at + i) * LANES);
            transpose(table);
            for (int image = 0; image < LANES; image++) store(to + image * apart + at, table[image]);
            done = at + LANES;
        }
    for (int image = 0; image < present; image++)
        for (long at = done; at < length; at++) to[image * apart + at] = from[at * LANES + image];
}

/* Images, [height][width][channels] or by `planes` [channels][height][width], to [height][width + 2 padding][channels]
   [LANES]; the rims are zero already. */
static void turn_over(REAL *restrict packed, const REAL *restrict maps, geometry g, long present, int planes,
                      int rectify) {
    const long apart = g.height * g.width * g.channels, wide = (g.width + 2 * g.padding) * g.channels;
    const long parts = planes ? g.channels : 1, length = g.width * (planes ? 1 : g.channels);
    for (long part = 0; part < parts; part++)
        for (long h = 0; h < g.height; h++)
            gather(packed + (h * wide + g.padding * g.channels + part) * LANES, maps + (part * g.height + h) * length,
                   length, apart, parts, present, rectify);
}

/* OUTS channels at `positions` neighbouring positions -> row [out_width][outs][LANES]. */
static inline __attribute__((always_inline)) void block(const int positions, REAL *restrict row,
                                                        const REAL *restrict packed, const REAL *restrict kernel,
                                                        geometry g, long size, long outs, long h, long w, long first) {
    const long taps = size * g.channels, line = (g.width + 2 * g.padding) * g.channels, step = g.stride * g.channels;
    vector sums[POSITIONS][OUTS] = {0};
    for (long t = 0; t < size; t++) {
        const long y = h * g.stride + t - g.padding;
        if (y < 0 || y >= g.height) continue;
        const REAL *from = packed + (y * line + w * step) * LANES;
        const REAL *weights = kernel + t * taps * OUTS;
        for (long tap = 0; tap < taps; tap++) {
            vector values[POSITIONS];
            for (int p = 0; p < positions; p++) values[p] = load(from + (p * step + tap) * LANES);
            for (int o = 0; o < OUTS; o++)
                for (int p = 0; p < positions; p++) sums[p][o] += values[p] * weights[tap * OUTS + o];
        }
    }
    for (int p = 0; p < positions; p++)
        for (int o = 0; o < OUTS; o++)
            if (first + o < outs) store(row + ((w + p) * outs + first + o) * LANES, sums[p][o]);
}

/* maps -> out [images][out_height][out_width][outs], by kernels [ceil(outs / OUTS)][size][size][channels][OUTS]; of the
   maps' positive part where `rectify` is set. Returns 0, or 1 without memory. */
int convolve(const REAL *restrict maps, REAL *restrict out, const REAL *restrict kernels, geometry g, long size,
             long outs, long planes, long rectify, long threads) {
    const long groups = (g.images + LANES - 1) / LANES, line = g.out_width * outs;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        REAL *packed = zeros(g.height * (g.width + 2 * g.padding) * g.channels * LANES), *row = zeros(line * LANES);
        failed = !packed || !row;
#pragma omp for schedule(dynamic)
        for (long group = 0; group < groups; group++) {
            if (failed) continue;
            const long image = group * LANES, present = g.images - image < LANES ? g.images - image : LANES;
            turn_over(packed, maps + image * g.height * g.width * g.channels, g, present, planes, rectify);
            for (long h = 0; h < g.out_height; h++) {
                for (long first = 0; first < outs; first += OUTS) {
                    const REAL *kernel = kernels + first / OUTS * size * size * g.channels * OUTS;
                    long w = 0;
                    for (; w + POSITIONS <= g.out_width; w += POSITIONS)
                        block(POSITIONS, row, packed, kernel, g, size, outs, h, w, first);
                    for (; w < g.out_width; w++) block(1, row, packed, kernel, g, size, outs, h, w, first);
                }
                scatter(out + (image * g.out_height + h) * line, row, line, g.out_height * line, present);
            }
        }
        free(packed);
        free(row);
    }
    return failed;
}

/* Gradients of the output [images][out_height][out_width][outs] -> those of the kernels [outs][size][size][channels],
   `parts` of them, a thread's each, to be added up. Returns 0, or 1 without memory. */
int differentiate_kernels(const REAL *restrict maps, const REAL *restrict gradients, REAL *restrict parts, geometry g,
                          long size, long outs, long planes, long rectify, long threads) {
    const long groups = (g.images + LANES - 1) / LANES, line = g.out_width * outs, taps = size * g.channels;
    const long wide = (g.width + 2 * g.padding) * g.channels, step = g.stride * g.channels;
    const long stretches = (taps + TAPS - 1) / TAPS, blocks = (outs + GRADIENTS - 1) / GRADIENTS;
    int failed = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(| : failed)
    for (long part = 0; part < threads; part++) {
        /* What the last stretch of taps and the last block of channels read beyond the end. */
        REAL *packed = zeros((g.height * wide + TAPS) * LANES), *row = zeros((line + GRADIENTS) * LANES);
        REAL *sums = zeros(blocks * size * stretches * GRADIENTS * TAPS * LANES);
        failed = !packed || !row || !sums;
        for (long group = groups * part / threads; group < groups * (part + 1) / threads && !failed; group++) {
            const long image = group * LANES, present = g.images - image < LANES ? g.images - image : LANES;
            turn_over(packed, maps + image * g.height * g.width * g.channels, g, present, planes, rectify);
            for (long h = 0; h < g.out_height; h++) {
                gather(row, gradients + (image * g.out_height + h) * line, line, g.out_height * line, 1, present, 0);
                REAL *to = sums;
                for (long first = 0; first < outs; first += GRADIENTS)
                    for (long t = 0; t < size; t++) {
                        const long y = h * g.stride + t - g.padding;
                        if (y < 0 || y >= g.height) {
                            to += stretches * GRADIENTS * TAPS * LANES;
                            continue;
                        }
                        for (long tap = 0; tap < taps; tap += TAPS) {
                            const REAL *from = packed + (y * wide + tap) * LANES;
                            vector found[GRADIENTS][TAPS] = {0};
                            for (long w = 0; w < g.out_width; w++) {
                                vector gradient[GRADIENTS];
                                for (int o = 0; o < GRADIENTS; o++)
                                    gradient[o] = load(row + (w * outs + first + o) * LANES);
                                for (int u = 0; u < TAPS; u++) {
                                    const vector value = load(from + (w * step + u) * LANES);
                                    for (int o = 0; o < GRADIENTS; o++) found[o][u] += gradient[o] * value;
                                }
                            }
                            /* Sums of sums: rounding does not grow with the number of positions. */
                            for (int o = 0; o < GRADIENTS; o++)
                                for (int u = 0; u < TAPS; u++, to += LANES) store(to, load(to) + found[o][u]);
                        }
                    }
            }
        }
        if (!failed)
            for (long o = 0; o < outs; o++)
                for (long t = 0; t < size; t++)
                    for (long tap = 0; tap < taps; tap++) {
                        const long at = (o / GRADIENTS * size + t) * stretches + tap / TAPS;
                        const REAL *from = sums + ((at * GRADIENTS + o % GRADIENTS) * TAPS + tap % TAPS) * LANES;
                        REAL total = 0;
                        for (int lane = 0; lane < LANES; lane++) total += from[lane];
                        parts[((part * outs + o) * size + t) * taps + tap] = total;
                    }
        free(packed);
        free(row);
        free(sums);
    }
    return failed;
}
