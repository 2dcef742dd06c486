"""Compiled loops: what torch does in many passes over a tensor, in one.

Half precision comes as uint16, bfloat16 as int16 (numpy has neither), float32 as itself. All is computed in
float32, in the order in which torch's operations do it, so that results are equal bit for bit; but for
`add_products`, whose sums are exacter, and `product`. Tensors are worked on in blocks that stay in a core's
first cache, or in lines: while one is worked on, another far ahead is fetched, as a processor's own
prefetching stops at the end of a page. What is written in lines goes past the caches, which would first read
from memory what is to be replaced.

They are compiled at their first call, and kept on disk by numba beside this file, or in the user's cache
where that cannot be written. All are in one file because numba compiles them again only if this one changes.
"""

import platform

import numpy as np
from llvmlite import binding, ir
from numba import carray, njit, types
from numba.core.cgutils import alloca_once, for_range, get_or_insert_function
from numba.extending import intrinsic

if platform.machine() in ("x86_64", "AMD64") and not binding.get_host_cpu_features().get("f16c"):
    raise ImportError("this processor does not convert half precision")  # LLVM would end the process

IN_CACHE = 1024  # values
LINE = 64  # values
_AHEAD = 4096  # bytes, a page
ZERO, ONE = np.float32(0), np.float32(1)
_INT, _LONG, _FLOAT, _BYTES = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.IntType(8).as_pointer()
_PREFETCH = ir.FunctionType(ir.VoidType(), [_BYTES, _INT, _INT, _INT])
_TO_READ_SOON = _INT(0), _INT(3), _INT(1)  # to read, into all caches, as data
_CACHE_LINE, _FLOAT_SIZE = 64, 4  # bytes
_PIECE, _PIECE_SIZE, _LEAST_ALIGNED = ir.VectorType(_LONG, 4), 32, 8  # what is written at once; bytes

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


def _rounded(builder, value, like):
    """Build a float32, or a vector of them, rounded to what `like` is, a tie to the even one."""
    many = value.type.count if isinstance(value.type, ir.VectorType) else 0

    def kind(one):
        return ir.VectorType(one, many) if many else one

    def constant(number):
        return ir.Constant(kind(_INT), [number] * many if many else number)

    if like == types.uint16:
        return builder.bitcast(builder.fptrunc(value, kind(ir.HalfType())), kind(ir.IntType(16)))
    if like == types.float32:
        return value
    bits = builder.bitcast(value, kind(_INT))
    odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
    up = builder.lshr(builder.add(builder.add(bits, constant(0x7FFF)), odd), constant(16))
    nan = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.select(nan, constant(0x7FC0), up), kind(ir.IntType(16)))


@intrinsic
def _narrow(context, value, like):
    """A float32 rounded to what `like` is, a tie to the even one."""
    return like(types.float32, like), lambda _, builder, signature, values: _rounded(builder, values[0], like)


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
def _fetch(context, values, at):
    """Ask for the line of values that lies _AHEAD of the one that begins at `at`."""

    def build(own, builder, signature, given):
        kind = signature.args[0]
        data = own.make_array(kind)(own, builder, given[0]).data
        size = own.get_abi_sizeof(own.get_data_type(kind.dtype))
        here = builder.add(builder.ptrtoint(data, _LONG), builder.mul(given[1], _LONG(size)))
        fetch = get_or_insert_function(builder.module, _PREFETCH, "llvm.prefetch.p0")
        for away in range(0, LINE * size, _CACHE_LINE):
            place = builder.inttoptr(builder.add(here, _LONG(_AHEAD + away)), _BYTES)
            builder.call(fetch, [place, *_TO_READ_SOON])
        return own.get_dummy_value()

    return types.none(values, types.int64), build


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


@_compiled
def _line(values, at):
    """Return the line that begins at `at`; a later one is fetched meanwhile."""
    _fetch(values, at)
    return values[at : at + LINE]


@intrinsic
def _skew(context, values):
    """The number of values from the last place that is a multiple of a cache line's to where these begin."""

    def build(own, builder, signature, given):
        kind = signature.args[0]
        size = own.get_abi_sizeof(own.get_data_type(kind.dtype))
        start = builder.ptrtoint(own.make_array(kind)(own, builder, given[0]).data, _LONG)
        return builder.udiv(builder.and_(start, _LONG(_CACHE_LINE - 1)), _LONG(size))

    return types.int64(values), build


@intrinsic
def _stream(context, to, values):
    """Write a line of values over `to`, which begins a cache line, past the caches."""

    def build(own, builder, signature, given):
        arrays = zip(signature.args, given, strict=True)
        starts = [own.make_array(kind)(own, builder, one).data for kind, one in arrays]
        to, values = (builder.bitcast(start, _PIECE.as_pointer()) for start in starts)
        size = own.get_abi_sizeof(own.get_data_type(signature.args[0].dtype))
        past_caches = builder.module.add_metadata([_INT(1)])
        for k in range(LINE * size // _PIECE_SIZE):
            value = builder.load(builder.gep(values, [_INT(k)]), align=_LEAST_ALIGNED)
            stored = builder.store(value, builder.gep(to, [_INT(k)]), align=_PIECE_SIZE)
            stored.set_metadata("nontemporal", past_caches)
        return own.get_dummy_value()

    return types.none(to, values), build


@intrinsic
def _all_written(context):
    """A fence: what was written past the caches comes before what this thread writes later."""

    def build(own, builder, signature, given):
        builder.fence("seq_cst")
        return own.get_dummy_value()

    return types.none(), build


@_compiled
def _place(start, out):
    """Return where a line begins that is all in `out`: the first and the last may repeat some values."""
    return min(max(start, 0), out.size - LINE)


@_compiled
def _put(out, at, made):
    """Write a line of values at `at`."""
    to = out[at : at + LINE]
    if _skew(to) == 0:
        _stream(to, made)
    else:
        for i in range(LINE):
            to[i] = made[i]


@_compiled
def _in_lines(values):
    """Return how many values are in whole lines."""
    return values.size // LINE * LINE


# -- weighted sums, one after another: over each of `outs`, which has a line of values or more and is none of
# the sources, that of the tensors at a row of `sources` with a row of `weights`


@_compiled
def toward(outs, sizes, sources, weights, out_like, like):
    """Go from the first tensor to the second one by the second weight, as `torch.lerp` does."""
    for k in range(outs.size):
        out, weight = _block(outs[k], 0, sizes[k], out_like), weights[k, 1]
        a, b = _block(sources[k, 0], 0, out.size, like), _block(sources[k, 1], 0, out.size, like)
        is_nearer = abs(weight) < np.float32(0.5)
        _along(out, a, b, weight if is_nearer else weight - ONE, a if is_nearer else b)
    _all_written()


@_compiled
def _along(out, a, b, weight, start):
    made = np.empty(LINE, out.dtype)
    for each in range(-_skew(out), out.size, LINE):
        at = _place(each, out)
        first, second, base = _line(a, at), _line(b, at), start[at : at + LINE]
        for i in range(LINE):
            made[i] = _narrow(_fused(_wide(second[i]) - _wide(first[i]), weight, _wide(base[i])), made[i])
        _put(out, at, made)


@_compiled
def changed(outs, sizes, sources, weights, out_like, like):
    """Add the second tensor times its weight to the first: `torch.addcmul`, which rounds the product too."""
    for k in range(outs.size):
        out = _block(outs[k], 0, sizes[k], out_like)
        a, change = _block(sources[k, 0], 0, out.size, like), _block(sources[k, 1], 0, out.size, like)
        _change(out, a, change, weights[k, 1])
    _all_written()


@_compiled
def _change(out, a, change, weight):
    made = np.empty(LINE, out.dtype)
    for start in range(-_skew(out), out.size, LINE):
        at = _place(start, out)
        first, second = _line(a, at), _line(change, at)
        for i in range(LINE):
            made[i] = _narrow(_wide(second[i]) * weight + _wide(first[i]), made[i])
        _put(out, at, made)


@_compiled
def total(outs, sizes, sources, weights, out_like, like):
    """Sum two tensors or more with any weights."""
    for k in range(outs.size):
        out = _block(outs[k], 0, sizes[k], out_like)
        if sources.shape[1] == 2:
            a, b = _block(sources[k, 0], 0, out.size, like), _block(sources[k, 1], 0, out.size, like)
            _pair(out, a, weights[k, 0], b, weights[k, 1])
        else:
            _total(out, sources[k], weights[k], like)
    _all_written()


@_compiled
def _pair(out, a, weight_a, b, weight_b):
    made = np.empty(LINE, out.dtype)
    for start in range(-_skew(out), out.size, LINE):
        at = _place(start, out)
        first, second = _line(a, at), _line(b, at)
        for i in range(LINE):
            made[i] = _narrow(_fused(_wide(second[i]), weight_b, _wide(first[i]) * weight_a), made[i])
        _put(out, at, made)


@_compiled
def _total(out, sources, weights, like):
    total, made = np.empty(LINE, np.float32), np.empty(LINE, out.dtype)
    for start in range(-_skew(out), out.size, LINE):
        at = _place(start, out)
        _begin(total, _line(_block(sources[0], 0, out.size, like), at), weights[0])
        for k in range(1, sources.size):
            _add(total, _line(_block(sources[k], 0, out.size, like), at), weights[k])
        for i in range(LINE):
            made[i] = _narrow(total[i], made[i])
        _put(out, at, made)


@_compiled
def _begin(total, values, weight):
    for i in range(LINE):
        total[i] = _wide(values[i]) * weight


@_compiled
def _add(total, values, weight):
    for i in range(LINE):
        total[i] = _fused(_wide(values[i]), weight, total[i])


@_compiled
def scaled(out, values, scale):
    """Write `values` times `scale` over `out`; return the bits of the largest magnitude of `values`."""
    most = np.int32(0)
    for i in range(out.size):
        out[i] = _narrow(values[i] * scale, out[i])
        most = _greater(most, values[i])
    return most


# -- products of matrices

_TILE = 4  # rows of a line, whose sums the registers hold
_ROWS = 64  # whose factors stay in the first cache beside a panel
_LANES = 16  # values of a register of 512 bits; where there are none of these, two or four serve
_VECTOR, _INTS = ir.VectorType(_FLOAT, _LANES), ir.VectorType(_INT, _LANES)
_FUSED_VECTORS = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
_FIRST_OF_ALL = ir.Constant(_INTS, [0] * _LANES)
_NO_SIGN = ir.Constant(_INTS, [0x7FFFFFFF] * _LANES)


@intrinsic
def _write_tile(context, like, out, width, up, panel, rank, scale, most):
    """Write up [_TILE, rank] @ panel [rank, LINE] times `scale` over rows of `out`, `width` values apart.

    `most` are the bits of _LANES magnitudes: the greatest of the values before. `up`, `panel`, `most` and
    `out` are addresses.
    """

    def build(own, builder, signature, given):
        _, out, width, up, panel, rank, scale, most = given
        places, each = [*range(0, LINE, _LANES)], own.get_abi_sizeof(own.get_data_type(like))  # bytes
        sums = {(i, j): alloca_once(builder, _VECTOR) for i in range(_TILE) for j in places}

        def place(start, index, kind, each=_FLOAT_SIZE):
            at = builder.add(start, builder.mul(index, _LONG(each)))
            return builder.inttoptr(at, kind.as_pointer())

        def repeated(value):
            value = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _INT(0))
            return builder.shuffle_vector(value, value, _FIRST_OF_ALL)

        for total in sums.values():
            builder.store(ir.Constant(_VECTOR, [0.0] * _LANES), total)
        with for_range(builder, rank) as loop:
            line = builder.mul(loop.index, _LONG(LINE))
            parts = {j: place(panel, builder.add(line, _LONG(j)), _VECTOR) for j in places}
            parts = {j: builder.load(part, align=_FLOAT_SIZE) for j, part in parts.items()}
            fused = get_or_insert_function(builder.module, _FUSED_VECTORS, f"llvm.fma.v{_LANES}f32")
            for i in range(_TILE):
                factor = place(up, builder.add(builder.mul(rank, _LONG(i)), loop.index), _FLOAT)
                factor = repeated(builder.load(factor))
                for j, part in parts.items():
                    builder.store(builder.call(fused, [factor, part, builder.load(sums[i, j])]), sums[i, j])
        greatest, factor = place(most, _LONG(0), _INTS), repeated(scale)
        top = builder.load(greatest, align=_FLOAT_SIZE)
        for (i, j), total in sums.items():
            value = builder.load(total)
            bits = builder.and_(builder.bitcast(value, _INTS), _NO_SIGN)
            top = builder.select(builder.icmp_signed(">", bits, top), bits, top)
            value = _rounded(builder, builder.fmul(value, factor), like)
            at = builder.add(builder.mul(width, _LONG(i)), _LONG(j))
            builder.store(value, place(out, at, value.type, each), align=each)
        builder.store(top, greatest, align=_FLOAT_SIZE)
        return own.get_dummy_value()

    address = types.int64
    return types.none(like, address, address, address, address, address, types.float32, address), build


@_compiled
def product(out, up, down, scale):
    """Write up [rows, rank] @ down [rank, columns] times `scale` over `out`; return what `scaled` does."""
    rows, rank = up.shape
    panels, padded = _in_panels(down), np.zeros((-(-rows // _TILE) * _TILE, rank), np.float32)
    padded[:rows] = up
    made, most, width = np.empty((_TILE, LINE), np.float32), np.zeros(_LANES, np.int32), out.shape[1]
    tops = most.ctypes.data
    for start in range(0, rows, _ROWS):
        for column in range(0, width, LINE):
            panel = panels[column // LINE].ctypes.data
            for row in range(start, min(start + _ROWS, rows), _TILE):
                factors, here = padded[row:].ctypes.data, out[row : row + _TILE, column : column + LINE]
                if here.size == _TILE * LINE:
                    _write_tile(out[0, 0], here.ctypes.data, width, factors, panel, rank, scale, tops)
                    continue
                _write_tile(made[0, 0], made.ctypes.data, LINE, factors, panel, rank, scale, tops)
                for i in range(here.shape[0]):
                    for j in range(here.shape[1]):
                        here[i, j] = _narrow(made[i, j], here[i, j])
    return most.max()


@_compiled
def _in_panels(down):
    """Return the columns in panels of a line each, zeros behind the last one."""
    rank, columns = down.shape
    panels = np.zeros((-(-columns // LINE), rank, LINE), np.float32)
    for k in range(rank):
        for i in range(columns):
            panels[i // LINE, k, i % LINE] = down[k, i]
    return panels


# -- dot products


@_compiled
def add_products(totals, sizes, sources, like):
    """Add those of tensors at each row of `sources` to the upper half of a matrix of `totals`.

    They are those of the first tensor of a row and of the others' differences from it, of all pairs.
    """
    for k in range(sizes.size):
        first = _block(sources[k, 0], 0, sizes[k], like)
        if sources.shape[1] == 2:
            _add_two(totals[k], first, _block(sources[k, 1], 0, first.size, like))
        else:
            _add_all(totals[k], first, sources[k, 1:])


@_compiled
def _add_all(total, first, others):
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
    for start in range(0, first.size, 4 * LINE):
        a, b = first[start : start + 4 * LINE], other[start : start + 4 * LINE]
        for at in range(0, 4 * LINE, LINE):
            _fetch(a, at)
            _fetch(b, at)
        aa, ab, bb = _products_of_two(a, b)
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
    made = np.empty(LINE, out.dtype)
    for at in range(0, _in_lines(out), LINE):
        start, first, second, third = _line(base, at), _line(a, at), _line(b, at), _line(c, at)
        for i in range(LINE):
            made[i] = _trained(start[i], weight, first[i], second[i], third[i], made[i])
        _put(out, at, made)
    _all_written()
    for i in range(_in_lines(out), out.size):
        out[i] = _trained(base[i], weight, a[i], b[i], c[i], out[i])


@_compiled
def _trained(base, weight, a, b, c, like):
    goal = _wide(b)
    trained, away = goal - _wide(c), abs(goal - _wide(a))
    mask = away / (abs(trained) + away)
    change = (mask if mask <= 1 else ZERO) * trained * np.float32(1.8)
    return _narrow(_fused(change, weight, _wide(base)), like)


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
    """Return how many are below `low`, and the magnitudes of those from there to `high`."""
    found = np.empty(a.size, np.float32)
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
                found[count] = abs(_wide(b[i]) - _wide(a[i]))
                count += 1
                between &= between - np.uint64(1)  # the next one of the eight
    return below, found[:count].copy()


@_compiled
def _sides(out, a, b, low, high):
    """Write 0 where the magnitude is above the bracket, 1 where it is within, and 2 where it is below."""
    for at in range(0, _in_lines(out), LINE):
        into, first, second = out[at : at + LINE], _line(a, at), _line(b, at)
        for i in range(LINE):
            into[i] = _side(first[i], second[i], low, high)
    for i in range(_in_lines(out), out.size):
        out[i] = _side(a[i], b[i], low, high)


@_compiled
def _side(a, b, low, high):
    bits = _first(a, b)
    return np.uint8(bits <= high) + np.uint8(bits < low)


@_compiled
def _first(a, b):
    return np.int16(_narrow(_wide(b) - _wide(a), a)) & np.int16(0x7FFF)
