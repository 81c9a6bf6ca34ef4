import Foundation
import Kernels
import Tensors
import Testing

/// Vector functions against the same formula in double, for whichever variant is active.
enum VectorChecks {
    static let lengths = [1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 100, 129, 1000, 4099]

    static func run() {
        products()
        exponentials()
        activations()
        norms()
        softmax()
        rotation()
    }

    static func close(_ value: Float, _ exact: Double, _ scale: Double, _ tolerance: Double = 2e-7) -> Bool {
        (Double(value) - exact).magnitude <= tolerance * scale
    }

    static func products() {
        var generator = SeededGenerator(seed: 20)
        for count in lengths {
            let x = generator.floats(count)
            let y = generator.floats(count)
            let terms = zip(x, y).map { Double($0) * Double($1) }
            let exact = terms.reduce(0, +)
            let scale = terms.reduce(0) { $0 + $1.magnitude }
            #expect(close(VectorMath.dot(x, y, count: count), exact, scale))
            for type in [ElementType.f16, .bf16] {
                let raw = ConversionChecks.narrow(x, to: type)
                let wide = ConversionChecks.widen(raw, as: type)
                let exact = zip(wide, y).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
                var result: Float = .nan
                RowProduct.multiply(raw, type: type, rows: 1, columns: count, x: y, into: &result)
                #expect(close(result, exact, scale * 1.01), "\(type), \(count)")
            }
            var sum = y
            VectorMath.axpy(0.37, x, into: &sum, count: count)
            for (index, value) in sum.enumerated() {
                #expect(close(value, Double(y[index]) + Double(Float(0.37)) * Double(x[index]), 1.5))
            }
        }
    }

    static func exponentials() {
        var generator = SeededGenerator(seed: 21)
        let x = generator.floats(20_001, in: -87...88.7) + generator.floats(3_000, in: -1...1)
        var y = [Float](repeating: 0, count: x.count)
        VectorMath.exp(x, into: &y, count: x.count)
        var worst = 0.0
        for (value, result) in zip(x, y) {
            let exact = Foundation.exp(Double(value))
            worst = max(worst, (Double(result) - exact).magnitude / exact)
        }
        #expect(worst < 1.5e-7, "exp is off by \(worst)")
        let edges: [Float] = [0, -0.0, .infinity, -.infinity, .nan, 89, 200, -104, -200, -103, -90]
        var results = [Float](repeating: 5, count: edges.count)
        VectorMath.exp(edges, into: &results, count: edges.count)
        #expect(results[0] == 1 && results[1] == 1 && results[2] == .infinity && results[3] == 0 && results[4].isNaN)
        #expect(results[5] == .infinity && results[6] == .infinity && results[7] == 0 && results[8] == 0)
        // Denormal results round to within one step.
        #expect((results[9] - Float(Foundation.exp(-103.0))).magnitude <= .leastNonzeroMagnitude)
        #expect((results[10] - Float(Foundation.exp(-90.0))).magnitude <= .leastNonzeroMagnitude)
    }

    static func activations() {
        var generator = SeededGenerator(seed: 22)
        for count in lengths {
            let x = generator.floats(count, in: -12...12)
            let up = generator.floats(count)
            var y = [Float](repeating: .nan, count: count)
            VectorMath.siluMultiply(gate: x, up: up, into: &y, count: count)
            var quick = x
            VectorMath.quickGELU(&quick, count: count)
            var exactGELU = x
            VectorMath.gelu(&exactGELU, count: count)
            for index in 0..<count {
                let value = Double(x[index])
                let silu = value / (1 + Foundation.exp(-value)) * Double(up[index])
                #expect(close(y[index], silu, silu.magnitude, 4e-7))
                let gate = value / (1 + Foundation.exp(-Double(Float(1.702) * x[index])))
                #expect(close(quick[index], gate, gate.magnitude, 4e-7))
                #expect(close(exactGELU[index], 0.5 * value * (1 + erf(value / 2.0.squareRoot())), value.magnitude))
            }
        }
    }

    static func norms() {
        var generator = SeededGenerator(seed: 23)
        for count in lengths {
            let x = generator.floats(count, in: -3...5)
            let weight = generator.floats(count)
            let bias = generator.floats(count)
            let mean = x.reduce(0.0) { $0 + Double($1) } / Double(count)
            let square = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(count)
            let variance = x.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(count)
            var rms = [Float](repeating: .nan, count: count)
            VectorMath.rmsNorm(x, weight: weight, epsilon: 1e-5, count: count, into: &rms)
            var layer = x
            VectorMath.layerNorm(x, weight: weight, bias: bias, epsilon: 1e-5, count: count, into: &layer)
            for index in 0..<count {
                let exact = Double(weight[index]) * Double(x[index]) / (square + 1e-5).squareRoot()
                #expect(close(rms[index], exact, exact.magnitude, 3e-7))
                let centred = (Double(x[index]) - mean) / (variance + 1e-5).squareRoot()
                let scale = (Double(x[index]).magnitude + mean.magnitude) / (variance + 1e-5).squareRoot() + 1
                #expect(close(layer[index], centred * Double(weight[index]) + Double(bias[index]), scale))
            }
        }
    }

    static func softmax() {
        var generator = SeededGenerator(seed: 24)
        for count in lengths {
            var x = generator.floats(count, in: -30...30)
            if count > 2 { x[1] = -.infinity }
            let largest = Double(x.max()!)
            let powers = x.map { Foundation.exp(Double($0) - largest) }
            let total = powers.reduce(0, +)
            // The input is rounded once when the largest is taken off: half a unit in 60.
            let allowance = 60 * 6e-8 + 3e-7
            VectorMath.softmax(&x, count: count)
            for (value, power) in zip(x, powers) { #expect(close(value, power / total, power / total, allowance)) }
        }
        var none = [Float](repeating: -.infinity, count: 21)
        VectorMath.softmax(&none, count: 21)
        #expect(none == [Float](repeating: 0, count: 21))
    }

    static func rotation() {
        var generator = SeededGenerator(seed: 25)
        for (heads, size) in [(1, 2), (3, 8), (2, 34), (5, 128)] {
            let half = size / 2
            let angles = generator.floats(half, in: -3...3)
            let cosines = angles.map { cosf($0) }
            let sines = angles.map { sinf($0) }
            let x = generator.floats(heads * size)
            var y = x
            VectorMath.rotateHalf(&y, heads: heads, headSize: size, cosines: cosines, sines: sines)
            for head in 0..<heads {
                for index in 0..<half {
                    let a = Double(x[head * size + index])
                    let b = Double(x[head * size + half + index])
                    let (c, s) = (Double(cosines[index]), Double(sines[index]))
                    #expect(close(y[head * size + index], a * c - b * s, 2))
                    #expect(close(y[head * size + half + index], b * c + a * s, 2))
                }
            }
        }
    }
}
