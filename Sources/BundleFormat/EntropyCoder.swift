import CZstd

/// Zstandard frames of entropy-coded literals, the form that byte planes compress best in.
///
/// Exponents of weights have a skewed distribution and no repetitions: searching for matches costs five
/// times the time and makes the result larger (measured: 0.38 at level 1, 0.32 here). The fastest negative
/// level searches for next to none, but leaves literals raw unless told otherwise.
final class EntropyCoder {
    private let context: OpaquePointer

    init() {
        guard let context = ZSTD_createCCtx() else { preconditionFailure("out of memory") }
        self.context = context
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, ZSTD_minCLevel())
        // ZSTD_c_literalCompressionMode = ZSTD_lcm_huffman. A library that lacks it stores blocks raw,
        // which is larger and still right.
        ZSTD_CCtx_setParameter(context, ZSTD_c_experimentalParam5, 1)
        ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1)
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0)
    }

    deinit { ZSTD_freeCCtx(context) }

    /// Room that any input of `count` bytes fits in.
    static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }

    /// The size of the frame, or nil when it would not fit in `target`.
    func encode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int? {
        let size = ZSTD_compress2(context, target.baseAddress, target.count, source.baseAddress, source.count)
        return ZSTD_isError(size) == 0 ? size : nil
    }
}

final class EntropyDecoder {
    private let context: OpaquePointer

    init() {
        guard let context = ZSTD_createDCtx() else { preconditionFailure("out of memory") }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Decodes `source`, which must be exactly one frame of exactly `target.count` bytes.
    /// - Returns: nil when all is well, else what is wrong.
    func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> String? {
        let frame = ZSTD_findFrameCompressedSize(source.baseAddress, source.count)
        if ZSTD_isError(frame) != 0 { return "no zstd frame (\(String(cString: ZSTD_getErrorName(frame))))" }
        guard frame == source.count else { return "\(source.count - frame) bytes after the zstd frame" }
        let size = ZSTD_decompressDCtx(context, target.baseAddress, target.count, source.baseAddress, source.count)
        if ZSTD_isError(size) != 0 { return String(cString: ZSTD_getErrorName(size)) }
        guard size == target.count else { return "\(size) bytes decoded, \(target.count) expected" }
        return nil
    }
}
