import Kernels
import Tensors
import Testing

/// Merges into 4 bits against their parts (dequantizing, adding, quantizing) to the last bit, and what is recorded of them
/// against sums in double, for whichever variant is active.
enum BlockChangeChecks {
    static func run() {
        for type in [ElementType.f32, .bf16, .f16] {
            for (block, count) in [(32, 7), (32, 96), (64, 64), (64, 4001), (256, 1000), (4096, 5000), (4096, 12_288)] {
                check(type, block: block, count: count)
            }
        }
        notFinite()
    }

    static func check(_ type: ElementType, block: Int, count: Int) {
        let x = QuantizationChecks.weights(count, seed: UInt64(block + count))
        let (codes, absmax) = QuantizationChecks.quantize(x, block: block)
        let base = HeldView(codes: codes, blockSize: block, absmax: absmax)
        defer { withExtendedLifetime(base) {} }
        var generator = SeededGenerator(seed: 50)
        let delta = generator.floats(count, in: -0.08...0.08)
        var before = [Float](repeating: 0, count: count)
        base.view.dequantize(elements: 0..<count, as: .f32, into: &before)
        var target = before
        if type != .f32 {
            var narrow = [UInt16](repeating: 0, count: count)
            base.view.dequantize(elements: 0..<count, as: type, into: &narrow)
            FloatConversion.widen(&narrow, type: type, count: count, into: &target)
        }
        for index in 0..<count { target[index] += delta[index] }
        let (expectedCodes, expectedScales) = QuantizationChecks.quantize(target, block: block)

        let blocks = expectedScales.count
        let changes = BlockChanges(capacity: blocks)
        var merged = [UInt8](repeating: 0, count: codes.count)
        var scales = [Float](repeating: 0, count: blocks)
        let bad = changes.requantize(
            base.view, elements: 0..<count, as: type, adding: delta, codes: &merged, absmax: &scales)
        #expect(bad == nil)
        #expect(merged == expectedCodes)
        #expect(scales == expectedScales)

        // Scales that are rounded afterwards, as double quantization does.
        let rounded = scales.map { $0 * 1.01 }
        let after = HeldView(codes: merged, blockSize: block, absmax: rounded)
        defer { withExtendedLifetime(after) {} }
        let totals = changes.totals(base.view, with: after.view, elements: 0..<count)
        compare(totals, before, after.view, delta)
        #expect(totals.scales == zip(absmax, rounded).count { $0.bitPattern != $1.bitPattern })
        let nibbles = { (bytes: [UInt8]) in bytes.flatMap { [$0 >> 4, $0 & 15] } }
        #expect(totals.codes == zip(nibbles(codes), nibbles(merged)).count { $0 != $1 })

        // Two tensors that are there already, and a run from the middle.
        let first = blocks / 2
        let tail = BlockChanges(capacity: blocks - first)
        let rest = first * block..<count
        let change = Array(delta[rest])
        tail.compare(base.view, with: after.view, elements: rest, delta: change, first: first)
        let part = tail.totals(base.view, with: after.view, elements: rest, first: first)
        #expect(part.sums == changes.totals(base.view, with: after.view, elements: rest).sums)
    }

    static func compare(_ totals: BlockChanges.Totals, _ before: [Float], _ merged: NF4View, _ delta: [Float]) {
        let count = before.count
        var after = [Float](repeating: 0, count: count)
        merged.dequantize(elements: 0..<count, as: .f32, into: &after)
        func exact(_ term: (Double, Double, Double) -> Double) -> Double {
            (0..<count).reduce(0) { $0 + term(Double(before[$1]), Double(delta[$1]), Double(after[$1])) }
        }
        let sums = totals.sums
        let pairs: [(Double, Double)] = [
            (sums.squaredBase, exact { base, _, _ in base * base }),
            (sums.squaredDelta, exact { _, delta, _ in delta * delta }),
            (sums.squaredChange, exact { ($2 - $0) * ($2 - $0) }),
            (sums.squaredError, exact { ($2 - $0 - $1) * ($2 - $0 - $1) }),
            (sums.squaredTarget, exact { base, delta, _ in (base + delta) * (base + delta) }),
        ]
        for (value, expected) in pairs { #expect((value - expected).magnitude <= 4e-6 * expected) }
        let product = exact { $1 * ($2 - $0) }
        #expect((sums.deltaChange - product).magnitude <= 4e-6 * exact { ($1 * ($2 - $0)).magnitude } + 1e-12)
        #expect(sums.largestChange == zip(after, before).map { ($0 - $1).magnitude }.max() ?? 0)
    }

    /// The first sum that is no number, wherever the number that is none comes from.
    static func notFinite() {
        let (codes, absmax) = QuantizationChecks.quantize(QuantizationChecks.weights(128, seed: 3), block: 64)
        for (value, scale, expected) in [
            (Float.nan, Float(1), 77), (.infinity, 1, 77), (0, .infinity, 64), (0, .nan, 64),
        ] {
            let base = HeldView(codes: codes, blockSize: 64, absmax: [absmax[0], absmax[1] * scale])
            defer { withExtendedLifetime(base) {} }
            var delta = [Float](repeating: 0.01, count: 128)
            delta[77] += value
            var merged = codes
            var scales = absmax
            for type in [ElementType.f32, .bf16, .f16] {
                let bad = BlockChanges(capacity: 2).requantize(
                    base.view, elements: 0..<128, as: type, adding: delta, codes: &merged, absmax: &scales)
                #expect(bad == expected)
            }
        }
    }
}
