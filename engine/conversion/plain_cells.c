/* Rows of plain CSV, as nearly all are, straight into Arrow's buffers.

   Plain is: decimal numbers and integers without blanks, no quotes and no carriage returns (the caller looks for those two), every
   line with as many cells as there are columns. Of anything else this says so, and the block is read by Arrow's parser as if this
   had never been there: what is refused and how it is told is decided in one place only, and not here.

   Knows nothing of Python. Reads nothing outside the block, writes nothing outside the buffers, keeps nothing between calls.

   Numbers are rounded exactly. With a significand below 2^53 and a power of ten up to 10^22 one division rounds right (W. Clinger,
   "How to Read Floating Point Numbers Accurately", 1990). Above that the quotient by 5^k is computed in 128 bits with its remainder.
   Eight digits at a time: D. Lemire, "Faster parsing of eight digits", and W. Mula, "SIMD-ized atoi". */

#include <float.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the first of eight characters must be in the lowest byte"
#endif
#if FLT_EVAL_METHOD != 0
#error "a division of doubles must be rounded once"
#endif

#define EXPORT __attribute__((visibility("default")))

typedef unsigned __int128 uint128_t;

enum { SKIPPED, TIME, NUMBER, TEXT, FLAG };
enum { NOT_PLAIN = -1, OTHER_PREFIX = -2 };

/* Changes with everything that a caller has to know: what was built from another version is not used. */
EXPORT const int32_t plain_cells_version = 1;

struct column {
    int64_t kind;
    void *values;        /* int64[rows], double[rows], int32[rows + 1] offsets, or bits */
    uint8_t *validity;   /* bits, rounded up to whole bytes */
    uint8_t *text;       /* as many bytes as the block, and 16 */
    int64_t nulls;       /* out */
    int64_t text_bytes;  /* out */
};

static const double POWERS_OF_TEN[23] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};
static const uint64_t TENS[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

#define FIVES 27
static const uint64_t POWERS_OF_FIVE[FIVES + 1] = {
    1ull, 5ull, 25ull, 125ull, 625ull, 3125ull, 15625ull, 78125ull, 390625ull, 1953125ull, 9765625ull, 48828125ull, 244140625ull,
    1220703125ull, 6103515625ull, 30517578125ull, 152587890625ull, 762939453125ull, 3814697265625ull, 19073486328125ull,
    95367431640625ull, 476837158203125ull, 2384185791015625ull, 11920928955078125ull, 59604644775390625ull, 298023223876953125ull,
    1490116119384765625ull, 7450580596923828125ull,
};

static inline uint64_t load(const uint8_t *at, const uint8_t *end) {
    uint64_t bytes = 0;
    if (end - at >= 8)
        memcpy(&bytes, at, 8);
    else
        memcpy(&bytes, at, (size_t)(end - at));
    return bytes;
}

static inline uint64_t eight_digits(uint64_t digits) {
    digits = digits * 10 + (digits >> 8);
    return ((digits & 0x000000FF000000FFull) * 0x000F424000000064ull + ((digits >> 16) & 0x000000FF000000FFull) * 0x0000271000000001ull) >> 32;
}

/* Of eight characters exclusive-or 0x30: a high bit for each that is no digit. The lowest is right, and so is the next one if the first
   is a point: only what is above 0x89 carries into the byte behind it. */
static inline uint64_t other_than_digits(uint64_t digits) {
    return ((digits + 0x7676767676767676ull) | digits) & 0x8080808080808080ull;
}

/* Append the digits at `at` to `value`; the first byte after them, or NULL where the value would not fit. */
static inline const uint8_t *take_digits(const uint8_t *at, const uint8_t *end, uint64_t *value) {
    for (;;) {
        uint64_t digits = load(at, end) ^ 0x3030303030303030ull, others = other_than_digits(digits);
        int count = others ? __builtin_ctzll(others) >> 3 : 8;
        if (!count)
            return at;
        if (*value >= UINT64_MAX / TENS[count])
            return NULL;
        *value = *value * TENS[count] + eight_digits(digits << (64 - 8 * count));
        at += count;
        if (count < 8)
            return at;
    }
}

static inline int bits_of(uint128_t value) {
    uint64_t high = (uint64_t)(value >> 64);
    return high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)value);
}

/* value / 10^power to the nearest double, ties to even; 0 < value, 0 < power <= 2 * FIVES. */
static double divide(uint64_t value, int power) {
    int shift = __builtin_clzll(value) + 64, first = power < FIVES ? power : FIVES;
    uint128_t dividend = (uint128_t)value << shift, quotient = dividend / POWERS_OF_FIVE[first];
    uint128_t left = dividend - quotient * POWERS_OF_FIVE[first];
    if (power > FIVES) {
        /* Long division: as many more bits as there is room for, then by the rest of the power. */
        int more = 128 - bits_of(quotient);
        dividend = left << more;
        uint128_t low = dividend / POWERS_OF_FIVE[first];
        left = dividend - low * POWERS_OF_FIVE[first];
        dividend = (quotient << more) | low;
        shift += more;
        quotient = dividend / POWERS_OF_FIVE[power - FIVES];
        left |= dividend - quotient * POWERS_OF_FIVE[power - FIVES];
    }
    int drop = bits_of(quotient) - 53;
    uint64_t significand = (uint64_t)(quotient >> drop);
    uint128_t rest = quotient & (((uint128_t)1 << drop) - 1), half = (uint128_t)1 << (drop - 1);
    if (rest > half || (rest == half && (left || (significand & 1))))
        significand++;
    uint64_t scale = (uint64_t)(1023 + drop - shift - power) << 52;
    double factor;
    memcpy(&factor, &scale, 8);
    return (double)significand * factor;
}

/* A number of at most seven digits with a point between them, as most prices and amounts are: one load instead of two that wait for
   each other. NULL: it is not one. */
static inline const uint8_t *read_short_number(const uint8_t *at, const uint8_t *end, double *number) {
    if (end - at < 8)
        return NULL;
    uint64_t digits = load(at, end) ^ 0x3030303030303030ull, others = other_than_digits(digits), behind = others & (others - 1);
    if (!behind)
        return NULL;
    int point = __builtin_ctzll(others) >> 3, stop = __builtin_ctzll(behind) >> 3;
    if (!point || at[point] != '.' || stop == point + 1 || (point > 1 && *at == '0') || (at[stop] != ',' && at[stop] != '\n'))
        return NULL;
    uint64_t whole = (1ull << 8 * point) - 1;
    digits = (digits & whole) | ((digits >> 8) & ~whole);
    *number = (double)eight_digits(digits << (72 - 8 * stop)) / POWERS_OF_TEN[stop - point - 1];
    return at + stop;
}

static inline const uint8_t *read_number(const uint8_t *at, const uint8_t *end, double *number) {
    const uint8_t *stop = read_short_number(at, end, number);
    if (stop)
        return stop;
    int negative = *at == '-';
    at += negative;
    uint64_t value = 0;
    const uint8_t *start = at;
    if (!(at = take_digits(at, end, &value)) || at == start || (*start == '0' && at - start > 1))
        return NULL;
    int64_t power = 0;
    if (*at == '.') {
        const uint8_t *point = ++at;
        if (!(at = take_digits(at, end, &value)) || at == point)
            return NULL;
        power = at - point;
    }
    if ((*at | 0x20) == 'e') {
        at++;
        int below = *at == '-';
        at += below || *at == '+';
        uint64_t exponent = 0;
        start = at;
        if (!(at = take_digits(at, end, &exponent)) || at == start || exponent > 999)
            return NULL;
        power += below ? (int64_t)exponent : -(int64_t)exponent;
    }
    double result;
    if (!value || !power)
        result = (double)value;
    else if (value <= (1ull << 53) && power >= -22 && power <= 22)
        result = power < 0 ? (double)value * POWERS_OF_TEN[-power] : (double)value / POWERS_OF_TEN[power];
    else if (power > 0 && power <= 2 * FIVES)
        result = divide(value, (int)power);
    else
        return NULL;
    *number = negative ? -result : result;
    return at;
}

static inline const uint8_t *read_time(const uint8_t *at, const uint8_t *end, int64_t *time) {
    if (end - at > 16 && *at != '0') { /* sixteen digits, as every time of this century has */
        uint64_t high = load(at, end) ^ 0x3030303030303030ull, low = load(at + 8, end) ^ 0x3030303030303030ull;
        if (!(other_than_digits(high) | other_than_digits(low)) && (at[16] == ',' || at[16] == '\n')) {
            *time = (int64_t)(eight_digits(high) * TENS[8] + eight_digits(low));
            return at + 16;
        }
    }
    int negative = *at == '-';
    at += negative;
    uint64_t value = 0;
    const uint8_t *start = at;
    if (!(at = take_digits(at, end, &value)) || at == start || (*start == '0' && at - start > 1) || value > INT64_MAX)
        return NULL;
    *time = negative ? -(int64_t)value : (int64_t)value;
    return at;
}

/* The first comma or end of a line from `at`; there is one. */
static inline const uint8_t *find_end(const uint8_t *at, const uint8_t *end) {
    for (;;) {
        uint64_t bytes = load(at, end);
        /* Bytes below '-' have their high bit set: comma and newline are, and little of what texts are made of. */
        uint64_t low = (bytes - 0x2D2D2D2D2D2D2D2Dull) & ~bytes & 0x8080808080808080ull;
        if (!low) {
            at += 8;
            continue;
        }
        at += __builtin_ctzll(low) >> 3;
        if (*at == ',' || *at == '\n')
            return at;
        at++;
    }
}

static inline void make_null(struct column *column, int64_t row) {
    column->validity[row >> 3] &= (uint8_t)~(1u << (row & 7));
    column->nulls++;
}

/* How many lines end in `size` bytes. */
EXPORT int64_t plain_cells_lines(const uint8_t *block, int64_t size) {
    int64_t lines = 0, at = 0;
    for (; size - at >= 32; at += 32) {
        uint8_t found = 0; /* a byte, so that a compiler looks at 16 or 32 at once */
        for (int each = 0; each < 32; each++)
            found += block[at + each] == '\n';
        lines += found;
    }
    for (; at < size; at++)
        lines += block[at] == '\n';
    return lines;
}

/* Read `rows` lines that all begin with `prefix`, and behind it have `count` cells.

   The block ends with a newline. Returns the rows read, NOT_PLAIN, or OTHER_PREFIX. */
EXPORT int64_t plain_cells_read(const uint8_t *block, int64_t size, const uint8_t *prefix, int64_t prefix_size, struct column *columns,
                                int64_t count, int64_t rows) {
    const uint8_t *at = block, *end = block + size;
    if (!count || !size || size > INT32_MAX || end[-1] != '\n')
        return NOT_PLAIN;
    for (int64_t index = 0; index < count; index++) {
        struct column *column = &columns[index];
        column->nulls = column->text_bytes = 0;
        if (column->kind != SKIPPED)
            memset(column->validity, 0xFF, (size_t)((rows + 7) >> 3));
        if (column->kind == FLAG)
            memset(column->values, 0, (size_t)((rows + 7) >> 3));
        if (column->kind == TEXT)
            ((int32_t *)column->values)[0] = 0;
    }
    int64_t row = 0;
    for (; row < rows && at < end; row++) {
        if (end - at < prefix_size || memcmp(at, prefix, (size_t)prefix_size))
            return OTHER_PREFIX;
        at += prefix_size;
        for (int64_t index = 0; index < count; index++) {
            struct column *column = &columns[index];
            uint8_t closing = index + 1 < count ? ',' : '\n';
            if (at >= end)
                return NOT_PLAIN;
            int empty = *at == closing;
            switch (column->kind) {
            case TIME: {
                int64_t *time = (int64_t *)column->values + row;
                if (empty) {
                    *time = 0;
                    make_null(column, row);
                } else if (!(at = read_time(at, end, time)))
                    return NOT_PLAIN;
                break;
            }
            case NUMBER: {
                double *number = (double *)column->values + row;
                if (empty) {
                    *number = 0;
                    make_null(column, row);
                } else if (!(at = read_number(at, end, number)))
                    return NOT_PLAIN;
                break;
            }
            case TEXT: {
                const uint8_t *stop = find_end(at, end);
                uint8_t *text = column->text + column->text_bytes;
                if (stop - at <= 16 && end - at >= 16)
                    memcpy(text, at, 16);
                else
                    memcpy(text, at, (size_t)(stop - at));
                column->text_bytes += stop - at;
                ((int32_t *)column->values)[row + 1] = (int32_t)column->text_bytes;
                if (empty)
                    make_null(column, row);
                at = stop;
                break;
            }
            case FLAG:
                if (empty)
                    make_null(column, row);
                else if (end - at > 4 && !memcmp(at, "true", 4)) {
                    ((uint8_t *)column->values)[row >> 3] |= (uint8_t)(1u << (row & 7));
                    at += 4;
                } else if (end - at > 5 && !memcmp(at, "false", 5))
                    at += 5;
                else
                    return NOT_PLAIN;
                break;
            default:
                at = find_end(at, end);
            }
            if (*at++ != closing)
                return NOT_PLAIN;
        }
    }
    return row == rows && at == end ? rows : NOT_PLAIN;
}
