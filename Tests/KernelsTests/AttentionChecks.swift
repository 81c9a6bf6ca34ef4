import Foundation
import Kernels
import Testing

/// Attention against sums in double, for whichever variant is active.
enum AttentionChecks {
    static func run() {
        var generator = SeededGenerator(seed: 90)
        for shape in shapes {
            // Keys that were rotated anew are in float32 beside narrow values.
            for (keys, format) in formats {
                let sample = AttentionSample(shape, format, keys: keys, using: &generator)
                let exact = sample.exact()
                #expect(relativeError(sample.blocks(0..<shape.tokens), exact) < 1e-6, "\(shape) \(format)")
                #expect(relativeError(sample.parts(0..<shape.tokens), exact) < 1e-6, "\(shape) \(format)")
                independence(sample)
            }
        }
        edges()
    }

    /// What some of the queries give, they give alone: to the bit.
    private static func independence(_ sample: AttentionSample) {
        let shape = sample.shape
        let width = shape.heads * shape.size
        let (blocks, parts) = (sample.blocks(0..<shape.tokens), sample.parts(0..<shape.tokens))
        for range in [0..<1, shape.tokens / 3..<shape.tokens, shape.tokens - 1..<shape.tokens] {
            let own = range.lowerBound * width..<range.upperBound * width
            #expect(sample.blocks(range) == Array(blocks[own]), "\(shape) \(range)")
            #expect(sample.parts(range) == Array(parts[own]), "\(shape) \(range)")
        }
    }

    /// Scores that no float32 exponential holds, and what is not finite.
    private static func edges() {
        var generator = SeededGenerator(seed: 91)
        let shape = AttentionShape(tokens: 40, past: 300, heads: 2, size: 16, isCausal: true)
        var sample = AttentionSample(shape, .f32, using: &generator)
        sample.queries = sample.queries.map { $0 * 400 }
        let exact = sample.exact()
        // Scores of hundreds are off by what float32 has there, and probabilities by as much in proportion.
        #expect(relativeError(sample.blocks(0..<40), exact) < 3e-4)
        #expect(relativeError(sample.parts(0..<40), exact) < 3e-4)

        // The last key: no query sees it but the last one.
        sample = AttentionSample(shape, .f32, using: &generator)
        sample.keys[339 * 2 * 16 + 16] = .nan
        for result in [sample.blocks(0..<40), sample.parts(0..<40)] {
            #expect(!result[..<(39 * 32)].contains { $0.isNaN })
            #expect(result[(39 * 32)...].allSatisfy { $0.isNaN })
        }
    }

    private static let formats: [(keys: HeadRows.Format, values: HeadRows.Format)] = [
        (.f32, .f32), (.f16, .f16), (.int8, .int8), (.f32, .f16), (.f32, .int8),
    ]

    private static let shapes = [
        AttentionShape(tokens: 1, past: 0, heads: 1, size: 1, isCausal: true),
        AttentionShape(tokens: 1, past: 500, heads: 4, size: 128, isCausal: true),
        AttentionShape(tokens: 3, past: 254, heads: 3, size: 18, isCausal: true),
        AttentionShape(tokens: 4, past: 255, heads: 7, size: 80, isCausal: true),
        AttentionShape(tokens: 9, past: 120, heads: 1, size: 64, isCausal: true),
        AttentionShape(tokens: 23, past: 0, heads: 2, size: 33, isCausal: true),
        AttentionShape(tokens: 131, past: 7, heads: 2, size: 18, isCausal: true),
        AttentionShape(tokens: 140, past: 0, heads: 1, size: 16, isCausal: true, window: 1),
        AttentionShape(tokens: 70, past: 300, heads: 2, size: 24, isCausal: true, window: 7),
        AttentionShape(tokens: 70, past: 300, heads: 1, size: 40, isCausal: true, window: 130),
        AttentionShape(tokens: 77, past: 0, heads: 1, size: 64, isCausal: false),
        AttentionShape(tokens: 1, past: 256, heads: 2, size: 600, isCausal: false),
    ]

    private static func relativeError(_ value: [Float], _ exact: [Double]) -> Double {
        let difference = zip(value, exact).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
        return (difference / exact.reduce(0) { $0 + $1 * $1 }).squareRoot()
    }
}

struct AttentionShape {
    var tokens: Int
    var past: Int
    var heads: Int
    var size: Int
    var isCausal: Bool
    var window: Int?

    var positions: Int { past + tokens }
}

/// Random queries, and keys and values of two groups of which the second one is attended to.
struct AttentionSample {
    let shape: AttentionShape
    /// Of the values.
    let format: HeadRows.Format
    let keyFormat: HeadRows.Format
    /// `[tokens, heads * size + 5]`
    var queries: [Float]
    /// `[positions, 2 * size]`, as the format rounds them.
    var keys, values: [Float]

    init(
        _ shape: AttentionShape, _ format: HeadRows.Format, keys keyFormat: HeadRows.Format? = nil,
        using generator: inout SeededGenerator
    ) {
        self.shape = shape
        self.format = format
        self.keyFormat = keyFormat ?? format
        queries = generator.floats(shape.tokens * (shape.heads * shape.size + 5))
        let count = shape.positions * 2 * shape.size
        (keys, values) = (generator.floats(count), generator.floats(count))
        if format == .f16 {
            keys = keys.map { Float(Float16($0)) }
            values = values.map { Float(Float16($0)) }
        }
    }

    private var queryStride: Int { shape.heads * shape.size + 5 }

    private func encoded(_ x: [Float]) -> (codes: [Int8], scales: [Float]) {
        var codes = [Int8](repeating: 0, count: x.count)
        var scales = [Float](repeating: 0, count: x.count / shape.size)
        Int8Rows.encode(x, runs: scales.count, columns: shape.size, codes: &codes, scales: &scales)
        return (codes, scales)
    }

    /// What the format holds.
    private func wide(_ x: [Float], _ format: HeadRows.Format) -> [Double] {
        guard format == .int8 else { return x.map(Double.init) }
        let (codes, scales) = encoded(x)
        return codes.indices.map { Double(codes[$0]) * Double(scales[$0 / shape.size]) }
    }

    private func withRows(_ x: [Float], _ format: HeadRows.Format, _ body: (HeadRows) -> Void) {
        let (size, stride) = (shape.size, 2 * shape.size)
        switch format {
        case .f32:
            x.withUnsafeBufferPointer {
                body(HeadRows(.f32, base: $0.baseAddress! + size, columns: size, stride: stride))
            }
        case .f16:
            x.map { Float16($0) }.withUnsafeBufferPointer {
                body(HeadRows(.f16, base: $0.baseAddress! + size, columns: size, stride: stride))
            }
        case .int8:
            let (codes, scales) = encoded(x)
            codes.withUnsafeBufferPointer { codes in
                scales.withUnsafeBufferPointer { scales in
                    body(
                        HeadRows(
                            .int8, base: codes.baseAddress! + size, columns: size, stride: stride,
                            scales: scales.baseAddress! + 1, scaleStride: 2))
                }
            }
        }
    }

    /// - Returns: `[tokens, heads * size]`
    private func run(_ tokens: Range<Int>, _ body: (AttentionKernel) -> Void) -> [Float] {
        let width = shape.heads * shape.size
        // What is overwritten may be anything.
        var output = [Float](repeating: .nan, count: tokens.count * (width + 3))
        output.withUnsafeMutableBufferPointer { output in
            queries.withUnsafeBufferPointer { queries in
                withRows(keys, keyFormat) { keys in
                    withRows(values, format) { values in
                        body(
                            AttentionKernel(
                                keys: keys, values: values, positions: shape.positions,
                                queries: queries.baseAddress! + tokens.lowerBound * queryStride, tokens: tokens.count,
                                heads: shape.heads, queryStride: queryStride,
                                position: shape.past + tokens.lowerBound, isCausal: shape.isCausal,
                                window: shape.window, output: output.baseAddress!, outputStride: width + 3))
                    }
                }
            }
        }
        return (0..<tokens.count).flatMap { output[$0 * (width + 3)..<$0 * (width + 3) + width] }
    }

    /// A block of keys at a time.
    func blocks(_ tokens: Range<Int>) -> [Float] {
        let count = AttentionKernel.scratchCount(tokens: tokens.count, heads: shape.heads, headSize: shape.size)
        var scratch = [Float](repeating: .nan, count: count)
        return run(tokens) { $0.attend(scratch: &scratch) }
    }

    /// In parts, the last one first.
    func parts(_ tokens: Range<Int>) -> [Float] {
        let count = AttentionKernel.partCount(tokens: tokens.count, heads: shape.heads, headSize: shape.size) + 3
        let parts = AttentionKernel.parts(positions: shape.positions)
        var results = [Float](repeating: .nan, count: parts * count)
        return run(tokens) { kernel in
            results.withUnsafeMutableBufferPointer { results in
                for part in (0..<parts).reversed() {
                    kernel.attend(part: part, into: results.baseAddress! + part * count)
                }
                kernel.merge(results.baseAddress!, stride: count)
            }
        }
    }

    /// The same in double, `[tokens, heads * size]`.
    func exact() -> [Double] {
        let (keys, values) = (wide(keys, keyFormat), wide(values, format))
        let size = shape.size
        var output: [Double] = []
        for token in 0..<shape.tokens {
            let end = shape.isCausal ? shape.past + token + 1 : shape.positions
            let first = shape.isCausal ? max(0, end - (shape.window ?? end)) : 0
            for head in 0..<shape.heads {
                let scores = (first..<end).map { position in
                    (0..<size).reduce(0.0) {
                        $0 + Double(queries[token * queryStride + head * size + $1])
                            * keys[(2 * position + 1) * size + $1]
                    } / Double(size).squareRoot()
                }
                let largest = scores.max() ?? 0
                let weights = scores.map { exp($0 - largest) }
                let total = weights.reduce(0, +)
                for column in 0..<size {
                    output.append(
                        (first..<end).reduce(0.0) { $0 + weights[$1 - first] * values[(2 * $1 + 1) * size + column] }
                            / total)
                }
            }
        }
        return output
    }
}
