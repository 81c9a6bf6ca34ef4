/// A block format: float32 to blocks and back, on the calling thread.
///
/// What is computed, and in which order, is GGML's reference without an importance matrix, so that blocks are the same to the
/// bit. No product is fused with a sum: GGML's quantizers are built for processors without that.
protocol GGMLCodec {
    /// Elements of a block.
    static var blockElements: Int { get }
    static var blockBytes: Int { get }
    /// Where a block's float16 lie.
    static var halves: [Int] { get }
    /// - Parameters:
    ///   - block: `blockBytes` bytes at any alignment.
    ///   - values: room for `blockElements`.
    static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>)
    /// - Parameter values: `blockElements` finite numbers.
    static func encode(_ values: UnsafePointer<Float>, into block: UnsafeMutableRawPointer)
}

extension GGMLCodec {
    static func decode(_ source: UnsafeRawPointer, blocks: Int, into target: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks { decode(source + block * blockBytes, into: target + block * blockElements) }
    }

    static func encode(_ source: UnsafePointer<Float>, blocks: Int, into target: UnsafeMutableRawPointer) {
        for block in 0..<blocks { encode(source + block * blockElements, into: target + block * blockBytes) }
    }
}

extension UnsafeRawPointer {
    /// The float16 at an offset, widened.
    @inline(__always)
    func half(_ offset: Int) -> Float {
        Float(Float16(bitPattern: UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))))
    }

    @inline(__always)
    func byte(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }
}

extension UnsafeMutableRawPointer {
    /// - Returns: what a reader sees: the value rounded to float16.
    @inline(__always) @discardableResult
    func storeHalf(_ value: Float, at offset: Int) -> Float {
        let half = Float16(value)
        storeBytes(of: half.bitPattern.littleEndian, toByteOffset: offset, as: UInt16.self)
        return Float(half)
    }

    @inline(__always)
    func storeByte(_ value: UInt8, at offset: Int) { storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }
}

extension Float {
    /// The fraction cut off; what does not fit is the least number, as x86 converts.
    @inline(__always)
    var truncated: Int32 { self > -2_147_483_648 && self < 2_147_483_648 ? Int32(self) : Int32.min }

    /// Rounded to nearest, ties to even, by a sum that leaves no fraction: right below 2^22 and GGML's own result above.
    @inline(__always)
    var nearest: Int32 { Int32(bitPattern: (self + 12_582_912).bitPattern & 0x007f_ffff) - 0x0040_0000 }
}
