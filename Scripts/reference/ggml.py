"""GGML's block formats by GGML itself: `libggml-base` of a built llama.cpp, through ctypes.

The quantizers live in that library, which is built without fused multiply-add whatever the machine has, so that its blocks are
the same everywhere. `Scripts/bench-peers` builds llama.cpp from PyPI's llama-cpp-python; for the scripts here it is built with
shared libraries:

    cmake -S SOURCE -B BUILD -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \\
      -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF
    cmake --build BUILD --target llama llama-quantize mtmd
"""

import ctypes
import pathlib

import numpy as np

# Number, elements of a block, bytes of a block.
TYPES = {
    "Q4_0": (2, 32, 18),
    "Q4_1": (3, 32, 20),
    "Q5_0": (6, 32, 22),
    "Q5_1": (7, 32, 24),
    "Q8_0": (8, 32, 34),
    "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176),
    "Q6_K": (14, 256, 210),
    "IQ4_NL": (20, 32, 18),
}


class GGML:
    def __init__(self, folder):
        """folder: where the libraries are, `BUILD/bin`."""
        self.library = ctypes.CDLL(str(pathlib.Path(folder) / "libggml-base.so"))
        self.library.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.library.ggml_quantize_chunk.argtypes = [
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_void_p,
        ]

    def quantize(self, values, name):
        """float32 rows of whole blocks -> the bytes of the blocks."""
        number, elements, size = TYPES[name]
        values = np.ascontiguousarray(values, dtype=np.float32)
        rows, columns = values.reshape(-1, values.shape[-1]).shape
        blocks = np.zeros(rows * columns // elements * size, dtype=np.uint8)
        written = self.library.ggml_quantize_chunk(
            number, values.ctypes.data, blocks.ctypes.data, 0, rows, columns, None
        )
        assert written == blocks.size
        return blocks

    def dequantize(self, blocks, name):
        """Bytes of blocks -> float32."""
        number, elements, size = TYPES[name]
        blocks = np.ascontiguousarray(blocks, dtype=np.uint8)
        values = np.zeros(blocks.size // size * elements, dtype=np.float32)
        function = getattr(self.library, f"dequantize_row_{name.lower().replace('_k', '_K')}")
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        function.restype = None
        function(blocks.ctypes.data, values.ctypes.data, values.size)
        return values
