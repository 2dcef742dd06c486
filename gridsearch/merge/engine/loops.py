"""Compiled loops: what torch does in many passes over a tensor, in one.

Half precision comes as uint16, bfloat16 as int16 (numpy has neither), float32 as itself. All is computed in
float32, in the order in which torch's operations do it, so that results are equal bit for bit; but for
`add_products`, whose sums are exacter. Tensors are worked on in blocks that stay in a core's first cache.

They are compiled at their first call, and kept on disk by numba beside this file, or in the user's cache
where that cannot be written. All are in one file because numba compiles them again only if this one changes.
"""

import platform

import numpy as np
from llvmlite import binding, ir
from numba import carray, njit, types
from numba.extending import intrinsic

if platform.machine() in ("x86_64", "AMD64") and not binding.get_host_cpu_features().get("f16c"):
    raise ImportError("this processor does not convert half precision")  # LLVM would end the process

IN_CACHE = 1024  # values
ZERO, ONE = np.float32(0), np.float32(1)
_INT, _FLOAT = ir.IntType(32), ir.FloatType()

_compiled = njit(nogil=True, cache=True, error_model="numpy")
_sum_in_any_order = njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})


# -- the parts that numba lacks


@intrinsic
def _wide(context, bits):
    """A value as float32."""

    def half(_, builder, signature, values):
        return builder.fpext(builder.bitcast(values[0], ir.HalfType()), _FLOAT)

    def brain(_, builder, signature, values):
        return builder.bitcast(builder.shl(builder.zext(values[0], _INT), _INT(16)), _FLOAT)

    def same(_, builder, signature, values):
        return values[0]

    return types.float32(bits), {types.uint16: half, types.int16: brain, types.float32: same}[bits]


@intrinsic
def _narrow(context, value, like):
    """A float32 rounded to what `like` is, a tie to the even one."""

    def half(_, builder, signature, values):
        return builder.bitcast(builder.fptrunc(values[0], ir.HalfType()), ir.IntType(16))

    def brain(_, builder, signature, values):
        bits = builder.bitcast(values[0], _INT)
        odd = builder.and_(builder.lshr(bits, _INT(16)), _INT(1))
        up = builder.lshr(builder.add(builder.add(bits, _INT(0x7FFF)), odd), _INT(16))
        nan = builder.fcmp_unordered("uno", values[0], values[0])
        return builder.trunc(builder.select(nan, _INT(0x7FC0), up), ir.IntType(16))

    def same(_, builder, signature, values):
        return values[0]

    return like(types.float32, like), {types.uint16: half, types.int16: brain, types.float32: same}[like]


@intrinsic
def _fused(context, x, y, z):
    """x * y + z, rounded once."""
    return z(x, y, z), lambda _, builder, signature, values: builder.fma(*values)


@intrinsic
def _greater(context, most, value):
    """The greater of the bits of a magnitude and a float32's magnitude; numba's `max` would widen them."""

    def build(_, builder, signature, values):
        bits = builder.and_(builder.bitcast(values[1], _INT), _INT(0x7FFFFFFF))
        return builder.select(builder.icmp_signed(">", bits, values[0]), bits, values[0])

    return types.int32(types.int32, types.float32), build


@intrinsic
def _bits_set(context, word):
    """The number of bits that are set."""
    return types.int64(types.uint64), lambda _, builder, signature, values: builder.ctpop(values[0])


@intrinsic
def _first_bit_set(context, word):
    """The number of zeros below the least bit that is set, of which there is one."""
    is_none_undefined = ir.IntType(1)(1)
    return types.int64(types.uint64), lambda _, builder, signature, values: builder.cttz(
        values[0], is_none_undefined
    )


@intrinsic
def _pointer(context, address, like):
    """A pointer to values of the type of `like`."""
    made = types.CPointer(like)

    def build(own, builder, signature, values):
        return builder.inttoptr(values[0], own.get_value_type(made))

    return made(address, like), build


@_compiled
def _block(address, start, size, like):
    return carray(_pointer(address, like[0]), start + size)[start:]


# -- weighted sums


@_compiled
def weighted_total(out, sources, weights, like):
    """Write a weighted sum of the two or more tensors at `sources`, of the type of `like`, over `out`."""
    total, last = np.empty(IN_CACHE, np.float32), sources.size - 1
    if last == 1:
        a, b = _block(sources[0], 0, out.size, like), _block(sources[1], 0, out.size, like)
        return _pair(out, a, weights[0], b, weights[1])
    for start in range(0, out.size, IN_CACHE):
        here = out[start : start + IN_CACHE]
        _begin(total, _block(sources[0], start, here.size, like), weights[0])
        for k in range(1, last):
            _add(total, _block(sources[k], start, here.size, like), weights[k])
        _end(here, total, _block(sources[last], start, here.size, like), weights[last])


@_compiled
def _pair(out, a, weight_a, b, weight_b):
    for i in range(out.size):
        out[i] = _narrow(_fused(_wide(b[i]), weight_b, _wide(a[i]) * weight_a), out[i])


@_compiled
def _begin(total, values, weight):
    for i in range(values.size):
        total[i] = _wide(values[i]) * weight


@_compiled
def _add(total, values, weight):
    for i in range(values.size):
        total[i] = _fused(_wide(values[i]), weight, total[i])


@_compiled
def _end(out, total, values, weight):
    for i in range(out.size):
        out[i] = _narrow(_fused(_wide(values[i]), weight, total[i]), out[i])


@_compiled
def with_change(out, a, change, weight):
    """Write `a` plus a weight times a change over `out`: `torch.addcmul`, which rounds the product too."""
    for i in range(out.size):
        out[i] = _narrow(_wide(change[i]) * weight + _wide(a[i]), out[i])


@_compiled
def toward(out, a, b, weight):
    """Write what lies at this weight on the way from `a` to `b` over `out`: `torch.lerp`."""
    if abs(weight) < np.float32(0.5):
        _along(out, a, b, weight, a)
    else:
        _along(out, a, b, weight - ONE, b)


@_compiled
def _along(out, a, b, weight, start):
    for i in range(out.size):
        out[i] = _narrow(_fused(_wide(b[i]) - _wide(a[i]), weight, _wide(start[i])), out[i])


@_compiled
def scaled(out, values, scale):
    """Write `values` times `scale` over `out`; return the bits of the largest magnitude of `values`."""
    most = np.int32(0)
    for i in range(out.size):
        out[i] = _narrow(values[i] * scale, out[i])
        most = _greater(most, values[i])
    return most


# -- dot products


@_compiled
def add_products(total, first, others):
    """Add those of `first` and of the others' differences from it, of all pairs, to `total`'s upper half."""
    if others.size == 1:
        return _add_two(total, first, _block(others[0], 0, first.size, first))
    for start in range(0, first.size, IN_CACHE):
        a = first[start : start + IN_CACHE]
        for i in range(others.size):
            b = _block(others[i], start, a.size, first)
            for j in range(i + 1):
                aa, ab, bc = _products(a, b, _block(others[j], start, a.size, first))
                total[j + 1, i + 1] += bc
            total[0, i + 1] += ab
        total[0, 0] += aa


@_sum_in_any_order
def _products(a, b, c):
    aa, ab, bc = ZERO, ZERO, ZERO
    for i in range(a.size):
        here = _wide(a[i])
        along = _wide(b[i]) - here
        aa += here * here
        ab += here * along
        bc += along * (_wide(c[i]) - here)
    return aa, ab, bc


@_compiled
def _add_two(total, first, other):
    for start in range(0, first.size, IN_CACHE):
        aa, ab, bb = _products_of_two(first[start : start + IN_CACHE], other[start : start + IN_CACHE])
        total[0, 0] += aa
        total[0, 1] += ab
        total[1, 1] += bb


@_sum_in_any_order
def _products_of_two(a, b):
    aa, ab, bb = ZERO, ZERO, ZERO
    for i in range(a.size):
        here = _wide(a[i])
        along = _wide(b[i]) - here
        aa += here * here
        ab += here * along
        bb += along * along
    return aa, ab, bb


# -- changes, in float32


@_compiled
def add_trained(out, base, weight, a, b, c):
    """Do what `pieces.add_train_difference` does."""
    for i in range(out.size):
        goal = _wide(b[i])
        trained, away = goal - _wide(c[i]), abs(goal - _wide(a[i]))
        mask = away / (abs(trained) + away)
        change = (mask if mask <= 1 else ZERO) * trained * np.float32(1.8)
        out[i] = _narrow(_fused(change, weight, _wide(base[i])), out[i])


@_compiled
def mean_of_elected(out, start, ends, leasts, by_count):
    """Write the mean of the differences that have the elected sign; those below their least are zeros."""
    if ends.size == 2:
        b, c = _block(ends[0], 0, out.size, start), _block(ends[1], 0, out.size, start)
        return _mean_of_two(out, start, b, c, leasts[0], leasts[1], by_count)
    rows = np.empty((ends.size, IN_CACHE), np.float32)
    vote, total, count = (
        np.empty(IN_CACHE, np.float32),
        np.empty(IN_CACHE, np.float32),
        np.empty(IN_CACHE, np.float32),
    )
    for at in range(0, out.size, IN_CACHE):
        here, a = out[at : at + IN_CACHE], start[at : at + IN_CACHE]
        vote[:], total[:], count[:] = ZERO, ZERO, ZERO
        for k in range(ends.size):
            _difference(rows[k], vote, a, _block(ends[k], at, here.size, start), leasts[k])
        if by_count:
            vote[:] = ZERO
            for k in range(ends.size):
                _count(vote, rows[k][: here.size])
        for k in range(ends.size):
            _elect(rows[k][: here.size], vote, total, count)
        _divide(here, total, vote, count)


@_compiled
def _mean_of_two(out, start, b, c, least_b, least_c, by_count):
    for i in range(out.size):
        x, y = _wide(b[i]) - _wide(start[i]), _wide(c[i]) - _wide(start[i])
        x, y = ZERO if abs(x) < least_b else x, ZERO if abs(y) < least_c else y
        vote = _sign(x) + _sign(y) if by_count else x + y
        has_x, has_y = _agree(x, vote), _agree(y, vote)
        total = (x if has_x else ZERO) + (y if has_y else ZERO)
        out[i] = (total + ZERO * vote) / (np.float32(2) if has_x and has_y else ONE)


@_compiled
def _sign(value):
    return (ONE if value > 0 else ZERO) - (ONE if value < 0 else ZERO)


@_compiled
def _agree(value, vote):
    return ((value > 0) & (vote > 0)) | ((value < 0) & (vote < 0))


@_compiled
def _difference(row, vote, a, b, least):
    for i in range(a.size):
        one = _wide(b[i]) - _wide(a[i])
        row[i] = ZERO if abs(one) < least else one
        vote[i] += row[i]


@_compiled
def _count(vote, row):
    for i in range(row.size):
        vote[i] += _sign(row[i])


@_compiled
def _elect(row, vote, total, count):
    for i in range(row.size):
        agrees = _agree(row[i], vote[i])
        total[i] += row[i] if agrees else ZERO
        count[i] += ONE if agrees else ZERO


@_compiled
def _divide(out, total, vote, count):
    for i in range(out.size):
        out[i] = (total[i] + ZERO * vote[i]) / (count[i] if count[i] > 0 else ONE)


# -- the first 16 bits of the magnitudes of b - a, of 16-bit values


@_compiled
def first_bits(a, b, step):
    """Return those of each value after so many."""
    bits = np.empty(-(-a.size // step), np.int16)
    for i in range(bits.size):
        bits[i] = _first(a[i * step], b[i * step])
    return bits


@_compiled
def bracketed(a, b, low, high):
    """Return how many are below `low`, and the places and the bits of those from there to `high`."""
    places, found = np.empty(a.size, np.int64), np.empty(a.size, np.int16)
    sides, every = np.zeros(IN_CACHE, np.uint8), np.uint64(0x0101010101010101)
    below, count = 0, 0
    for start in range(0, a.size, IN_CACHE):
        size = min(IN_CACHE, a.size - start)
        _sides(sides[:size], a[start : start + size], b[start : start + size], low, high)
        sides[size:] = 0
        for word, eight in enumerate(sides.view(np.uint64)):
            below += _bits_set(eight & (every << np.uint64(1)))
            between = eight & every
            while between:
                i = start + 8 * word + _first_bit_set(between) // 8
                places[count], found[count] = i, _first(a[i], b[i])
                count += 1
                between &= between - np.uint64(1)  # the next one of the eight
    return below, places[:count].copy(), found[:count].copy()


@_compiled
def _sides(out, a, b, low, high):
    """Write 0 where the magnitude is above the bracket, 1 where it is within, and 2 where it is below."""
    for i in range(out.size):
        bits = _first(a[i], b[i])
        out[i] = np.uint8(bits <= high) + np.uint8(bits < low)


@_compiled
def _first(a, b):
    return np.int16(_narrow(_wide(b) - _wide(a), a)) & np.int16(0x7FFF)
