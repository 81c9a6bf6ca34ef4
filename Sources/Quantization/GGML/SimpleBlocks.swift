/// Codes of a block of 32: the low four bits of element j and of element j + 16 in byte j.
protocol BlockCodes {
    /// The number of codes, a power of two.
    static var levels: Int32 { get }
    static var byteCount: Int { get }
    static func read(_ source: UnsafeRawPointer, into codes: UnsafeMutablePointer<Int32>)
    static func write(_ codes: UnsafePointer<UInt8>, into target: UnsafeMutableRawPointer)
}

enum FourBitCodes: BlockCodes {
    static let levels: Int32 = 16
    static let byteCount = 16

    @inline(__always)
    static func read(_ source: UnsafeRawPointer, into codes: UnsafeMutablePointer<Int32>) {
        for j in 0..<16 {
            codes[j] = Int32(source.byte(j) & 15)
            codes[j + 16] = Int32(source.byte(j) >> 4)
        }
    }

    @inline(__always)
    static func write(_ codes: UnsafePointer<UInt8>, into target: UnsafeMutableRawPointer) {
        for j in 0..<16 { target.storeByte(codes[j] & 15 | codes[j + 16] << 4, at: j) }
    }
}

/// The fifth bits come first: 32 bits, that of element j in bit j.
enum FiveBitCodes: BlockCodes {
    static let levels: Int32 = 32
    static let byteCount = 20

    @inline(__always)
    static func read(_ source: UnsafeRawPointer, into codes: UnsafeMutablePointer<Int32>) {
        let high = UInt32(littleEndian: source.loadUnaligned(as: UInt32.self))
        FourBitCodes.read(source + 4, into: codes)
        for j in 0..<32 { codes[j] |= Int32(high >> UInt32(j) & 1) << 4 }
    }

    @inline(__always)
    static func write(_ codes: UnsafePointer<UInt8>, into target: UnsafeMutableRawPointer) {
        var high: UInt32 = 0
        for j in 0..<32 { high |= UInt32(codes[j] >> 4 & 1) << UInt32(j) }
        target.storeBytes(of: high.littleEndian, as: UInt32.self)
        FourBitCodes.write(codes, into: target + 4)
    }
}

/// Q4_0 and Q5_0: a scale d, then codes q; an element is (q - half the levels) d.
enum SignedBlock<Codes: BlockCodes>: GGMLCodec {
    static var blockElements: Int { 32 }
    static var blockBytes: Int { 2 + Codes.byteCount }
    static var halves: [Int] { [0] }

    static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
        let scale = block.half(0)
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: 32) { codes in
            let codes = codes.baseAddress!
            Codes.read(block + 2, into: codes)
            for j in 0..<32 { values[j] = Float(codes[j] - Codes.levels / 2) * scale }
        }
    }

    /// The element farthest from zero, the first of several, gets the lowest code, whatever its sign.
    static func encode(_ values: UnsafePointer<Float>, into block: UnsafeMutableRawPointer) {
        var largest: Float = 0
        var extreme: Float = 0
        for j in 0..<32 where largest < values[j].magnitude {
            largest = values[j].magnitude
            extreme = values[j]
        }
        let half = Codes.levels / 2
        let scale = extreme / Float(-half)
        let inverse = scale == 0 ? 0 : 1 / scale
        block.storeHalf(scale, at: 0)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { codes in
            for j in 0..<32 {
                let code = Int8(truncatingIfNeeded: (values[j] * inverse + (Float(half) + 0.5)).truncated)
                codes[j] = UInt8(truncatingIfNeeded: min(Codes.levels - 1, Int32(code)))
            }
            Codes.write(codes.baseAddress!, into: block + 2)
        }
    }
}

/// Q4_1 and Q5_1: a scale d and the least element m, then codes q; an element is q d + m.
enum OffsetBlock<Codes: BlockCodes>: GGMLCodec {
    static var blockElements: Int { 32 }
    static var blockBytes: Int { 4 + Codes.byteCount }
    static var halves: [Int] { [0, 2] }

    static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
        let scale = block.half(0)
        let least = block.half(2)
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: 32) { codes in
            let codes = codes.baseAddress!
            Codes.read(block + 4, into: codes)
            for j in 0..<32 { values[j] = Float(codes[j]) * scale + least }
        }
    }

    static func encode(_ values: UnsafePointer<Float>, into block: UnsafeMutableRawPointer) {
        var least = values[0]
        var most = values[0]
        for j in 1..<32 {
            if values[j] < least { least = values[j] }
            if values[j] > most { most = values[j] }
        }
        let scale = (most - least) / Float(Codes.levels - 1)
        let inverse = scale == 0 ? 0 : 1 / scale
        block.storeHalf(scale, at: 0)
        block.storeHalf(least, at: 2)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { codes in
            for j in 0..<32 {
                let code = Int8(truncatingIfNeeded: ((values[j] - least) * inverse + 0.5).truncated)
                codes[j] = UInt8(truncatingIfNeeded: min(Codes.levels - 1, Int32(code)))
            }
            Codes.write(codes.baseAddress!, into: block + 4)
        }
    }
}

/// Q8_0: a scale d, then 32 signed bytes q; an element is q d.
enum EightBitBlock: GGMLCodec {
    static let blockElements = 32
    static let blockBytes = 34
    static let halves = [0]

    static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
        let scale = block.half(0)
        for j in 0..<32 { values[j] = Float(block.load(fromByteOffset: 2 + j, as: Int8.self)) * scale }
    }

    /// Rounds halves away from zero, unlike the other formats.
    static func encode(_ values: UnsafePointer<Float>, into block: UnsafeMutableRawPointer) {
        var largest: Float = 0
        for j in 0..<32 { largest = max(largest, values[j].magnitude) }
        let scale = largest / 127
        let inverse = scale == 0 ? 0 : 1 / scale
        block.storeHalf(scale, at: 0)
        for j in 0..<32 {
            let value = values[j] * inverse
            // To even first; of ties that were rounded towards zero the difference tells.
            var code = value.nearest
            let difference = value - Float(code)
            if difference == 0.5, value > 0 { code += 1 }
            if difference == -0.5, value < 0 { code -= 1 }
            block.storeBytes(of: Int8(truncatingIfNeeded: code), toByteOffset: 2 + j, as: Int8.self)
        }
    }
}
