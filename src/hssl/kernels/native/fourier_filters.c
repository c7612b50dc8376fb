/* A separable steerable convolution with its products in the Fourier domain along W: all that is not a matrix product,
   and the adjoints, on channels-last maps. fourier.py says what is computed and is the slow twin.

   Macros beside those of bundles.h:
     E      functions along H
     SIZE   points of a function

   Along W a map has `length` = width + padding real coefficients: one or two of frequencies without a sine, then a
   cosine and a sine for every other frequency. Spectra are [product][image][out_height][n][channels] and products
   [product][image][out_height][channels]: one product for a frequency without a sine, three for every other. */

#include "bundles.h"

/* Numbers of accumulators that the registers hold. */
#define BLOCK (LANES * sizeof(REAL) >= 64 ? 8 : 4)

typedef struct {
    long length, singles, pairs;
} spectrum;

static spectrum spectrum_of(geometry g) {
    const long length = g.width + g.padding, singles = 2 - length % 2;
    return (spectrum){length, singles, (length - singles) / 2};
}

static inline __attribute__((always_inline)) void apply_some(
    const int count, const REAL *restrict table, long rows, long columns, const REAL *restrict from, long from_step,
    REAL *restrict to, long to_step) {
    bundle sums[BLOCK] = {0};
    for (long column = 0; column < columns; column++) {
        const bundle values = load(from + column * from_step);
        for (int i = 0; i < count; i++) add(&sums[i], values, table[column * rows + i]);
    }
    for (int i = 0; i < count; i++) store(to + i * to_step, sums[i]);
}

/* to[row] = sum over columns of table[column][row] from[column]. */
static void apply(const REAL *restrict table, long rows, long columns, const REAL *restrict from, long from_step,
                  REAL *restrict to, long to_step) {
    long row = 0;
    for (; row + BLOCK <= rows; row += BLOCK)
        apply_some(BLOCK, table + row, rows, columns, from, from_step, to + row * to_step, to_step);
    for (; row + BLOCK / 2 <= rows; row += BLOCK / 2)
        apply_some(BLOCK / 2, table + row, rows, columns, from, from_step, to + row * to_step, to_step);
    for (; row < rows; row++)
        apply_some(1, table + row, rows, columns, from, from_step, to + row * to_step, to_step);
}

/* sum over t of functions[n][t] column[t], for every n. */
static inline __attribute__((always_inline)) void filter(bundle *sums, const REAL *restrict column, long step,
                                                         const REAL *restrict functions) {
    for (int n = 0; n < E; n++) sums[n] = (bundle){0};
    for (int t = 0; t < SIZE; t++) {
        const bundle values = load(column + t * step);
        for (int n = 0; n < E; n++) add(&sums[n], values, functions[n * SIZE + t]);
    }
}

/* maps -> spectra of their rows, filtered along H. Returns 0, or 1 without memory. */
int transform(const REAL *restrict maps, REAL *restrict spectra, const REAL *restrict functions,
              const REAL *restrict analysis, geometry g, long rectify, long threads) {
    const spectrum s = spectrum_of(g);
    const long parts = g.channels / WIDTH, rows = g.height + 2 * g.padding, step = s.length * WIDTH;
    const long product = g.images * g.out_height * E * g.channels;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        /* The rows above and below stay zero: that is the padding. */
        REAL *row = zeros(g.width * WIDTH), *coefficients = zeros(rows * step);
        failed = !row || !coefficients;
#pragma omp for collapse(2) schedule(static)
        for (long image = 0; image < g.images; image++)
            for (long part = 0; part < parts; part++) {
                if (failed) continue;
                for (long h = 0; h < g.height; h++) {
                    take_row(row, maps + (image * g.height + h) * g.width * g.channels + part * WIDTH, g.width,
                             g.channels, rectify);
                    apply(analysis, s.length, g.width, row, WIDTH, coefficients + (h + g.padding) * step, WIDTH);
                }
                REAL *to = spectra + image * g.out_height * E * g.channels + part * WIDTH;
                for (long single = 0; single < s.singles; single++, to += product)
                    for (long h = 0; h < g.out_height; h++) {
                        bundle values[E];
                        filter(values, coefficients + h * g.stride * step + single * WIDTH, step, functions);
                        for (int n = 0; n < E; n++) store(to + (h * E + n) * g.channels, values[n]);
                    }
                for (long pair = 0; pair < s.pairs; pair++, to += 3 * product)
                    for (long h = 0; h < g.out_height; h++) {
                        const REAL *from = coefficients + h * g.stride * step + (s.singles + 2 * pair) * WIDTH;
                        bundle cosine[E], sine[E];
                        filter(cosine, from, step, functions);
                        filter(sine, from + WIDTH, step, functions);
                        for (int n = 0; n < E; n++) {
                            REAL *at = to + (h * E + n) * g.channels;
                            store(at, cosine[n]);
                            store(at + product, plus(sine[n], cosine[n], -1));
                            store(at + 2 * product, plus(sine[n], cosine[n], 1));
                        }
                    }
            }
        free(row);
        free(coefficients);
    }
    return failed;
}

/* Gradients of spectra -> gradients of the maps; `analysis` is transposed. */
int transform_gradients(const REAL *restrict gradients, REAL *restrict d_maps, const REAL *restrict maps,
                        const REAL *restrict functions, const REAL *restrict analysis, geometry g, long rectify,
                        long threads) {
    const spectrum s = spectrum_of(g);
    const long parts = g.channels / WIDTH, step = s.length * WIDTH, column_step = 2 * E * WIDTH;
    const long product = g.images * g.out_height * E * g.channels;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        /* Gradients of one frequency along H, with zeros around and, where stride > 1, between them. */
        REAL *column = zeros((g.height + 2 * g.padding + 2 * SIZE) * column_step);
        REAL *row = zeros(g.width * WIDTH), *coefficients = zeros(g.height * step);
        failed = !column || !row || !coefficients;
#pragma omp for collapse(2) schedule(static)
        for (long image = 0; image < g.images; image++)
            for (long part = 0; part < parts; part++) {
                if (failed) continue;
                const REAL *from = gradients + image * g.out_height * E * g.channels + part * WIDTH;
                for (long index = 0; index < s.singles + s.pairs; index++) {
                    const int paired = index >= s.singles;
                    for (long h = 0; h < g.out_height; h++)
                        for (int n = 0; n < E; n++) {
                            const REAL *at = from + (h * E + n) * g.channels;
                            REAL *to = column + (SIZE - 1 + h * g.stride) * column_step + 2 * n * WIDTH;
                            const bundle first = load(at);
                            if (!paired) {
                                store(to, first);
                                continue;
                            }
                            const bundle second = load(at + product), third = load(at + 2 * product);
                            store(to, plus(plus(first, second, -1), third, 1));
                            store(to + WIDTH, plus(second, third, 1));
                        }
                    const long coefficient = paired ? 2 * index - s.singles : index;
                    for (long h = 0; h < g.height; h++) {
                        bundle cosine[E] = {0}, sine[E] = {0};
                        for (int t = 0; t < SIZE; t++) {
                            const REAL *at = column + (SIZE - 1 + h + g.padding - t) * column_step;
                            for (int n = 0; n < E; n++) {
                                add(&cosine[n], load(at + 2 * n * WIDTH), functions[n * SIZE + t]);
                                add(&sine[n], load(at + (2 * n + 1) * WIDTH), functions[n * SIZE + t]);
                            }
                        }
                        for (int n = 1; n < E; n++) {
                            add(&cosine[0], cosine[n], 1);
                            add(&sine[0], sine[n], 1);
                        }
                        store(coefficients + h * step + coefficient * WIDTH, cosine[0]);
                        if (paired) store(coefficients + h * step + (coefficient + 1) * WIDTH, sine[0]);
                    }
                    from += (paired ? 3 : 1) * product;
                }
                for (long h = 0; h < g.height; h++) {
                    const long at = (image * g.height + h) * g.width * g.channels + part * WIDTH;
                    apply(analysis, g.width, s.length, coefficients + h * step, WIDTH, row, WIDTH);
                    give_row(d_maps + at, row, maps + at, g.width, g.channels, rectify);
                }
            }
        free(column);
        free(row);
        free(coefficients);
    }
    return failed;
}

/* products -> maps [image][out_height][out_width][channels]. */
int restore(const REAL *restrict products, REAL *restrict maps, const REAL *restrict synthesis, geometry g,
            long threads) {
    const spectrum s = spectrum_of(g);
    const long parts = g.channels / WIDTH, rows = g.images * g.out_height, product = rows * g.channels;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        REAL *coefficients = zeros(s.length * WIDTH);
        failed = !coefficients;
#pragma omp for collapse(2) schedule(static)
        for (long row = 0; row < rows; row++)
            for (long part = 0; part < parts; part++) {
                if (failed) continue;
                const REAL *from = products + row * g.channels + part * WIDTH;
                REAL *to = coefficients;
                for (long single = 0; single < s.singles; single++, from += product, to += WIDTH) store(to, load(from));
                for (long pair = 0; pair < s.pairs; pair++, from += 3 * product, to += 2 * WIDTH) {
                    const bundle first = load(from);
                    store(to, plus(first, load(from + 2 * product), -1));
                    store(to + WIDTH, plus(first, load(from + product), 1));
                }
                apply(synthesis, g.out_width, s.length, coefficients, WIDTH,
                      maps + row * g.out_width * g.channels + part * WIDTH, g.channels);
            }
        free(coefficients);
    }
    return failed;
}

/* Gradients of maps -> gradients of products; `synthesis` is transposed. */
int restore_gradients(const REAL *restrict gradients, REAL *restrict d_products, const REAL *restrict synthesis,
                      geometry g, long threads) {
    const spectrum s = spectrum_of(g);
    const long parts = g.channels / WIDTH, rows = g.images * g.out_height, product = rows * g.channels;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        REAL *coefficients = zeros(s.length * WIDTH);
        failed = !coefficients;
#pragma omp for collapse(2) schedule(static)
        for (long row = 0; row < rows; row++)
            for (long part = 0; part < parts; part++) {
                if (failed) continue;
                apply(synthesis, s.length, g.out_width, gradients + row * g.out_width * g.channels + part * WIDTH,
                      g.channels, coefficients, WIDTH);
                const REAL *from = coefficients;
                REAL *to = d_products + row * g.channels + part * WIDTH;
                for (long single = 0; single < s.singles; single++, from += WIDTH, to += product) store(to, load(from));
                for (long pair = 0; pair < s.pairs; pair++, from += 2 * WIDTH, to += 3 * product) {
                    const bundle real = load(from), imaginary = load(from + WIDTH), none = {0};
                    store(to, plus(real, imaginary, 1));
                    store(to + product, imaginary);
                    store(to + 2 * product, plus(none, real, -1));
                }
            }
        free(coefficients);
    }
    return failed;
}

/* Numbers of a weight that stay in the cache while all products use them. */
#define PIECE (E <= 4 ? 1024 : 128)

/* made[product][i] = sum over m of response[product][m] weight[m][i]. */
int make_weights(const REAL *restrict weight, REAL *restrict made, const REAL *restrict response, long columns,
                 long products, long threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long start = 0; start < columns; start += PIECE) {
        const long end = start + PIECE < columns ? start + PIECE : columns;
        for (long product = 0; product < products; product++)
            for (long i = start; i < end; i++) {
                REAL value = 0;
                for (int m = 0; m < E; m++) value += response[product * E + m] * weight[m * columns + i];
                made[product * columns + i] = value;
            }
    }
    return 0;
}

/* The adjoint: d_weight[m][i] += sum over products of response[product][m] gradients[product][i]. */
int gather_weights(const REAL *restrict gradients, REAL *restrict d_weight, const REAL *restrict response,
                   long columns, long products, long threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long start = 0; start < columns; start += PIECE) {
        const long end = start + PIECE < columns ? start + PIECE : columns;
        REAL sums[E][PIECE] = {0};
        for (long product = 0; product < products; product++)
            for (long i = 0; i < end - start; i++) {
                const REAL value = gradients[product * columns + start + i];
                for (int m = 0; m < E; m++) sums[m][i] += response[product * E + m] * value;
            }
        for (int m = 0; m < E; m++)
            for (long i = 0; i < end - start; i++) d_weight[m * columns + start + i] += sums[m][i];
    }
    return 0;
}
