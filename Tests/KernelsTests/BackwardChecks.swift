import Foundation
import Kernels
import Testing

/// Backward passes of the vector functions against the formulas in double.
enum BackwardChecks {
    static func run() {
        softmax()
        activations()
        norms()
    }

    static func softmax() {
        var generator = SeededGenerator(seed: 30)
        for count in VectorChecks.lengths where count > 0 {
            let x = generator.floats(count, in: -20...20)
            let target = count / 2
            // Distances from the largest are rounded to float32, whatever follows.
            let most = x.max() ?? 0
            let total = x.reduce(0.0) { $0 + exp(Double($1 - most)) }
            let exact = x.map { exp(Double($0 - most)) / total }
            var p = x
            let loss = VectorMath.softmaxLoss(&p, count: count, target: target)
            let expected = log(total) - (Double(x[target]) - Double(most))
            #expect((loss - expected).magnitude <= 2e-7 * max(1, expected))
            for (value, exact) in zip(p, exact) { #expect(VectorChecks.close(value, exact, exact, 6e-7)) }

            let upstream = generator.floats(count)
            var dp = upstream
            VectorMath.softmaxBackward(p, scale: 0.25, gradient: &dp, count: count)
            let mean = zip(p, upstream).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            for index in 0..<count {
                let exact = 0.25 * Double(p[index]) * (Double(upstream[index]) - mean)
                #expect(VectorChecks.close(dp[index], exact, Double(p[index]), 4e-7))
            }
        }
    }

    static func activations() {
        var generator = SeededGenerator(seed: 31)
        for count in VectorChecks.lengths {
            let x = generator.floats(count, in: -12...12)
            let up = generator.floats(count)
            let dy = generator.floats(count)
            var (gateGradient, upGradient) = (x, up)
            VectorMath.siluMultiplyBackward(gradient: dy, gate: &gateGradient, up: &upGradient, count: count)
            var geluGradient = dy
            VectorMath.geluBackward(x, gradient: &geluGradient, count: count)
            for index in 0..<count {
                let (g, u, d) = (Double(x[index]), Double(up[index]), Double(dy[index]))
                let sigmoid = 1 / (1 + exp(-g))
                // 1 - sigmoid is rounded at 1, so the slope's error is relative to its terms.
                let terms = sigmoid * (1 + g.magnitude)
                #expect(
                    VectorChecks.close(
                        gateGradient[index], d * u * sigmoid * (1 + g * (1 - sigmoid)), (d * u).magnitude * terms, 4e-7)
                )
                #expect(VectorChecks.close(upGradient[index], d * g * sigmoid, (d * g * sigmoid).magnitude, 6e-7))
                let slope = 0.5 * (1 + erf(g / 2.0.squareRoot())) + g * exp(-g * g / 2) / (2 * Double.pi).squareRoot()
                #expect(VectorChecks.close(geluGradient[index], d * slope, d.magnitude, 4e-7))
            }
        }
    }

    static func norms() {
        var generator = SeededGenerator(seed: 32)
        for count in VectorChecks.lengths where count > 0 {
            let x = generator.floats(count, in: -3...5)
            let weight = generator.floats(count)
            let dy = generator.floats(count)
            let before = generator.floats(count)
            var dx = before
            VectorMath.rmsNormBackward(x, weight: weight, epsilon: 1e-5, count: count, gradient: dy, into: &dx)
            let square = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(count)
            let factor = 1 / (square + 1e-5).squareRoot()
            let product = (0..<count).reduce(0.0) { $0 + Double(weight[$1]) * Double(dy[$1]) * Double(x[$1]) }
            for index in 0..<count {
                let turn = Double(x[index]) * product / Double(count) * factor * factor
                let exact = Double(before[index]) + factor * (Double(weight[index]) * Double(dy[index]) - turn)
                let scale = 1 + factor * (1 + turn.magnitude + Double(x[index]).magnitude * factor * factor)
                #expect(VectorChecks.close(dx[index], exact, scale, 1e-6))
            }
        }
    }
}
