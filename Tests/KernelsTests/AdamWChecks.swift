import Foundation
import Kernels
import Testing

/// The update of AdamW bit for bit against its formula, for whichever variant is active.
enum AdamWChecks {
    static func run() {
        plain()
        coded()
        sums()
    }

    private static let (decay, beta1, beta2, root, epsilon, step) = (0.999, 0.9, 0.99, 0.3, 1e-8, -1e-3)
    private static let scale = 0.7

    private static func kernel(_ form: AdamWKernel.Form) -> AdamWKernel {
        AdamWKernel(
            form: form, gradientScale: scale, decay: decay, beta1: beta1, beta2: beta2, root: root, epsilon: epsilon,
            step: step)
    }

    /// One element, an operation at a time.
    private static func expected(
        _ form: AdamWKernel.Form, _ raw: Float, _ p: Float, _ m: Float, _ v: Float
    ) -> (p: Float, m: Float, v: Float) {
        let g = raw * Float(scale)
        let rest1 = Float(1 - beta1)
        let m = form == .torch ? m.addingProduct(rest1, g - m) : (m * Float(beta1)).addingProduct(g, rest1)
        let v = (v * Float(beta2)).addingProduct(g * Float(1 - beta2), g)
        let kept = p * Float(decay)
        if form == .small {
            let change = m / (v.squareRoot() + Float(epsilon * root))
            return (kept.addingProduct(change, Float(step * root)), m, v)
        }
        return (kept + (m * Float(step)) / (v.squareRoot() / Float(root) + Float(epsilon)), m, v)
    }

    private static func plain() {
        var generator = SeededGenerator(seed: 60)
        for form in [AdamWKernel.Form.torch, .blockwise, .small] {
            for count in [0, 1, 15, 16, 17, 64, 1000] {
                let gradient = generator.floats(count)
                var p = generator.floats(count)
                var m = generator.floats(count)
                var v = generator.floats(count, in: 0...1)
                // Denormals, and nothing at all.
                if count > 15 { (m[3], v[3], v[4]) = (0x1p-140, 0x1p-140, 0) }
                let all = (0..<count).map { expected(form, gradient[$0], p[$0], m[$0], v[$0]) }
                kernel(form).update(&p, gradient: gradient, m: &m, v: &v, count: count)
                #expect(p.map(\.bitPattern) == all.map(\.p.bitPattern))
                #expect(m.map(\.bitPattern) == all.map(\.m.bitPattern))
                #expect(v.map(\.bitPattern) == all.map(\.v.bitPattern))
            }
        }
    }

    /// A step from states of nothing: the codes are those of the moments, by either rule; whole or in parts.
    private static func coded() {
        var generator = SeededGenerator(seed: 61)
        let count = 700
        let blocks = 3
        let gradient = generator.floats(count)
        let start = generator.floats(count)
        for rule in Dynamic8Kernel.Rule.allCases {
            func run(_ parts: [Range<Int>]) -> (p: [Float], m: [UInt8], mScales: [Float], v: [UInt8], vScales: [Float])
            {
                var p = start
                var (m, v) = ([UInt8](repeating: 0, count: count), [UInt8](repeating: 0, count: count))
                var (a, b) = ([Float](repeating: 0, count: blocks), [Float](repeating: 0, count: blocks))
                p.withUnsafeMutableBufferPointer { p in
                    m.withUnsafeMutableBufferPointer { m in
                        v.withUnsafeMutableBufferPointer { v in
                            a.withUnsafeMutableBufferPointer { a in
                                b.withUnsafeMutableBufferPointer { b in
                                    guard let p = p.baseAddress, let m = m.baseAddress, let v = v.baseAddress,
                                        let a = a.baseAddress, let b = b.baseAddress
                                    else { return }
                                    for part in parts {
                                        let from = part.lowerBound
                                        gradient.withUnsafeBufferPointer { gradient in
                                            guard let gradient = gradient.baseAddress else { return }
                                            kernel(.blockwise).update(
                                                p + from, gradient: gradient + from,
                                                m: .init(codes: m, absmax: a).advanced(by: from),
                                                v: .init(codes: v, absmax: b).advanced(by: from), count: part.count,
                                                rule: rule)
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                return (p, m, a, v, b)
            }
            let whole = run([0..<count])
            let split = run([256..<700, 0..<256])
            #expect(whole == split)
            let all = (0..<count).map { expected(.blockwise, gradient[$0], start[$0], 0, 0) }
            #expect(whole.p == all.map(\.p))
            for index in 0..<count {
                let block = index / 256
                let run = all[block * 256..<min(block * 256 + 256, count)]
                #expect(whole.mScales[block] == run.map(\.m.magnitude).max())
                #expect(whole.vScales[block] == run.map(\.v).max())
                // No code is further away than half of the widest gap of its map.
                let m = Dynamic8Kernel.map[Int(whole.m[index])] * whole.mScales[block]
                let v = AdamWKernel.unsignedMap[Int(whole.v[index])] * whole.vScales[block]
                #expect((m - all[index].m).magnitude <= 0.0073 * whole.mScales[block])
                #expect((v - all[index].v).magnitude <= 0.0037 * whole.vScales[block])
            }
        }
    }

    private static func sums() {
        var generator = SeededGenerator(seed: 62)
        for count in [0, 1, 15, 16, 17, 1000] {
            let x = generator.floats(count)
            // Sixteen sums, then their sum, then what is left.
            var lanes = [Double](repeating: 0, count: 16)
            for index in 0..<(count / 16 * 16) { lanes[index % 16] += Double(x[index]) * Double(x[index]) }
            var total = lanes.reduce(0, +)
            for index in (count / 16 * 16)..<count { total += Double(x[index]) * Double(x[index]) }
            #expect(AdamWKernel.squareSum(x, count: count) == total)
        }
    }
}
