"""Writes Formats/samples/numpy: small .npy and .npz files that a reader must take, and small files that it must refuse.

    python3 Scripts/reference/numpy_samples.py [FOLDER]

Needs nothing but Python. `expectations.json` says of each valid file what it holds (type, shape and bytes in hexadecimal of every
array, row-major and little-endian), and of each invalid one a text that Crayon's error must contain. A second run writes the
same bytes. That NumPy writes such files, `weights_against_torch.py` holds.
"""

import itertools
import struct

from sample_archives import SIZES, Member, archive, write_samples

TYPES = {
    "<f8": "F64", "<f4": "F32", "<f2": "F16", "|V2": "BF16", "<i8": "I64", "<i4": "I32", "<i2": "I16", "|i1": "I8",
    "<u8": "U64", "<u4": "U32", "<u2": "U16", "|u1": "U8", "|b1": "BOOL",
}  # fmt: skip


def array(header: str | bytes, data: bytes = b"", version: int = 1, length: int | None = None) -> bytes:
    """A file with this header text, padded as NumPy pads it."""
    text = header.encode("utf-8" if version == 3 else "latin1") if isinstance(header, str) else header
    fixed = 10 if version == 1 else 12
    if isinstance(header, str):
        text += b" " * (-(fixed + len(text) + 1) % 64) + b"\n"
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", size) + text + data


def header(descr: str = "<f4", shape: str = "(2, 3)", order: str = "False") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"


def elements(size: int) -> bytes:
    return bytes((7 * i + 1) % 256 for i in range(size))


def case(descr: str, shape: list[int], fortran: bool = False, version: int = 1) -> tuple[bytes, dict]:
    """A file, and the array in it."""
    big = descr.startswith(">")
    name = TYPES[descr.replace(">", "<")]
    size = SIZES[name]
    count = 1
    for extent in shape:
        count *= extent
    data = bytes(i % 2 for i in range(count)) if name == "BOOL" else elements(size * count)
    strides = [1]
    for extent in shape[:-1] if fortran else reversed(shape[1:]):
        strides.append(strides[-1] * max(extent, 1))
    if not fortran:
        strides.reverse()
    out = bytearray()
    for index in itertools.product(*(range(extent) for extent in shape)):
        start = size * sum(i * s for i, s in zip(index, strides, strict=False))
        out += data[start : start + size][:: -1 if big else 1]
    text = "(" + ", ".join(map(str, shape)) + (",)" if len(shape) == 1 else ")")
    content = array(header(descr, text, str(fortran)), data, version)
    return content, {"dtype": name, "shape": shape, "bytes": out.hex()}


def valid() -> dict[str, tuple[bytes, dict]]:
    files: dict[str, tuple[bytes, dict]] = {}

    def single(name: str, content: bytes, holds: dict) -> None:
        files[f"{name}.npy"] = (content, {name: holds})

    for descr, name in TYPES.items():
        single(f"type-{name.lower()}", *case(descr, [3]))
    for name, descr in {"f64": ">f8", "f32": ">f4", "f16": ">f2", "i64": ">i8", "u16": ">u2"}.items():
        single(f"big-endian-{name}", *case(descr, [2, 2]))
    single("fortran", *case("<f4", [2, 3], fortran=True))
    single("fortran-3", *case("<i2", [2, 3, 4], fortran=True))
    single("fortran-big-endian", *case(">f8", [3, 2], fortran=True))
    single("version-2", *case("<f4", [2, 3], version=2))
    single("version-3", *case("<f4", [2, 3], version=3))
    single("scalar", *case("<f4", []))
    single("empty", *case("<f4", [0, 3]))
    single("many-axes", *case("<i2", [1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1]))
    data = elements(24)
    expected = {"dtype": "F32", "shape": [2, 3], "bytes": data.hex()}
    single("python-2", array("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }", data), expected)
    single("keys-in-another-order", array('{"shape": (2, 3), "fortran_order": False, "descr": "<f4"}', data), expected)
    single("unpadded", array(header().encode() + b"\n", data), expected)
    one, two = case("<f4", [2, 3]), case(">i4", [3], fortran=True)
    plain = {"a": one[1], "b/c": two[1]}
    names = [("a.npy", one[0]), ("b/c.npy", two[0])]
    files["stored.npz"] = (archive([Member(*pair) for pair in names]), plain)
    files["deflated.npz"] = (archive([Member(*pair, deflated=True) for pair in names]), plain)
    files["zip64.npz"] = (archive([Member(*pair, zip64=True) for pair in names], zip64=True), plain)
    zeros = array(header("<f4", "(1000, 1000)"), bytes(4000000))
    small = archive([Member("zeros.npy", zeros, deflated=True)])
    files["zeros.npz"] = (small, {"zeros": {"dtype": "F32", "shape": [1000, 1000], "zeros": 4000000}})
    return files


def invalid() -> dict[str, tuple[bytes, str]]:
    data = elements(24)
    good = array(header(), data)

    def text(value: str, error: str) -> tuple[bytes, str]:
        return array(value, data), error

    def npz(*members: Member) -> bytes:
        return archive(list(members))

    inner = Member("x.npy", good)
    bomb = array(header("<f4", f"({5 << 20},)"), bytes(20 << 20))
    return {
        "data-cut-short.npy": (good[:-1], "23 bytes of data; expected 24"),
        "data-too-long.npy": (good + b"\0", "25 bytes of data; expected 24"),
        "header-cut-short.npy": (good[:40], "a header of 128 bytes in 40"),
        "length-cut-short.npy": (good[:9], "no NumPy header"),
        "version-0.npy": (array(header(), data, version=0), "version 0.0; expected 1.0, 2.0 or 3.0"),
        "version-4.npy": (array(header(), data, version=4), "version 4.0"),
        "header-too-long.npy": (array(header(), data, version=2, length=1 << 31), "a header of 2147483648 bytes"),
        "header-empty.npy": (array(b"", data), "a header with no '{' at byte 0"),
        "header-a-list.npy": text("[1]", "a header with no '{'"),
        "header-code.npy": text("__import__('os').system('echo')", "a header with no '{'"),
        "header-code-within.npy": text("{'descr': __import__('os'), }", "a header with no text at byte 10"),
        "header-with-more-behind.npy": text(header() + "()", "more text after the dict"),
        "key-missing.npy": text("{'descr': '<f4', 'shape': (2, 3)}", "a key missing"),
        "key-twice.npy": text("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", "the key 'descr', unknown or twice"),
        "key-unknown.npy": text("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}", "the key 'x', unknown or twice"),
        "text-without-end.npy": text("{'descr", "a text that does not end"),
        "order-a-number.npy": text(header(order="0"), "no True or False"),
        "shape-a-list.npy": text(header(shape="[2, 3]"), "no '('"),
        "shape-negative.npy": text(header(shape="(-2, -3)"), "no extent"),
        "shape-a-fraction.npy": text(header(shape="(2.0, 3)"), "no ')'"),
        "shape-past-64-bits.npy": text(header(shape="(18446744073709551618, 3)"), "no extent"),
        "shape-product-overflows.npy": text(header(shape=f"({1 << 62}, 4)"), "more elements than 64 bits can count"),
        "shape-bytes-overflow.npy": text(header(shape=f"({1 << 61},)"), "more elements than 64 bits can count"),
        "shape-of-65.npy": text(header(shape="(" + "1, " * 65 + ")"), "too many axes"),
        "shape-of-another-size.npy": text(header(shape="(2, 4)"), "24 bytes of data; expected 32"),
        "objects.npy": text(header("|O"), "element type '|O', Python objects, which are a pickle"),
        "structures.npy": text("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", "an array of structures"),
        "nested-structures.npy": text("{'descr': " + "[" * 10000 + ", 'fortran_order': False, 'shape': (6,), }", "an array of structures"),
        "text.npy": text(header("<U3"), "element type '<U3', text"),
        "bytes.npy": text(header("|S4"), "element type '|S4', text"),
        "complex.npy": text(header("<c8"), "element type '<c8', complex numbers"),
        "dates.npy": text(header("<M8[s]"), "element type '<M8[s]', dates"),
        "void-of-one.npy": text(header("|V1"), "Several 8-bit floats of ml_dtypes"),
        "void-of-three.npy": text(header("|V3"), "element type '|V3', bytes without a type"),
        "float128.npy": text(header("<f16"), "element type '<f16'"),
        "type-without-order.npy": text(header("f4"), "element type 'f4'"),
        "another-file-in-it.npz": (npz(inner, Member("readme.txt", b"x")), "a zip archive of something else"),
        "array-cut-short.npz": (npz(Member("x.npy", good[:-1])), "array 'x.npy': 23 bytes of data"),
        "array-without-header.npz": (npz(Member("x.npy", b"hello")), "array 'x.npy': no NumPy header"),
        "array-twice.npz": (npz(inner, inner), "a name that two entries have"),
        "objects.npz": (npz(Member("x.npy", array(header("|O"), data))), "array 'x.npy': element type '|O'"),
        "bomb.npz": (npz(Member("x.npy", bomb, deflated=True)), "that inflates to more than 16777216"),
        "checksum.npz": (npz(Member("x.npy", good, local={"crc": 1}, central={"crc": 1})), "another CRC-32"),
        "deflate-cut-short.npz": (npz(Member("x.npy", good, deflated=True, stored=b"\x4b")), "a deflate stream that is damaged"),
    }  # fmt: skip


def main() -> None:
    write_samples("numpy", valid(), invalid())


if __name__ == "__main__":
    main()
