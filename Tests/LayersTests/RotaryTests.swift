import Architecture
import Layers
import Tensors
import Testing

@Suite struct RotaryTests {
    @Test func linearScalingDividesPositions() {
        let plain = RotaryEmbedding(RotaryConfiguration(maxPositions: 8), headSize: 6).table(length: 40)
        let scaled = RotaryEmbedding(
            RotaryConfiguration(maxPositions: 8, scaling: .linear(factor: 4)), headSize: 6
        ).table(length: 40)
        for position in 0..<10 {
            #expect(plain.cosines[position * 3..<position * 3 + 3] == scaled.cosines[position * 12..<position * 12 + 3])
            #expect(plain.sines[position * 3..<position * 3 + 3] == scaled.sines[position * 12..<position * 12 + 3])
        }
    }

    @Test func dynamicBase() {
        let rotary = RotaryEmbedding(
            RotaryConfiguration(base: 100, maxPositions: 16, scaling: .dynamic(factor: 2)), headSize: 4)
        #expect(rotary.base(length: 16) == 100)
        #expect(!rotary.changesBase(length: 16))
        // 100 * (2 * 24 / 16 - 1)^(4 / 2)
        #expect(abs(rotary.base(length: 24) - 400) < 1e-9)
        #expect(rotary.changesBase(length: 17))
        // The second frequency is 1 / sqrt(400) = 1 / 20; at position 10 the angle is 0.5.
        #expect(abs(rotary.table(length: 24).cosines[10 * 2 + 1] - 0.877_582_56) < 1e-6)
    }

    /// Wavelengths below 8 stay, those above 32 are four times as long, in between both are mixed.
    @Test func llama3ScalesByWavelength() {
        let scaling = Llama3Scaling(
            factor: 4, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 32)
        let configuration = RotaryConfiguration(maxPositions: 128, scaling: .llama3(parameters: scaling))
        let plain = RotaryConfiguration(maxPositions: 128).frequencies(base: 10000, headSize: 24)
        let scaled = configuration.frequencies(base: 10000, headSize: 24)
        let divisors = configuration.frequencyDivisors(headSize: 24) ?? []
        #expect(scaled[0] == 1 && divisors[0] == 1)
        // 10000^(1/12) is 2.15; its wavelength 13.54 keeps (32 / 13.54 - 1) / 3 = 0.4546 of its frequency.
        #expect(abs(scaled[1] / plain[1] - (0.4546 + (1 - 0.4546) / 4)) < 1e-4)
        #expect(scaled[3...] == plain[3...].map { $0 / 4 }[...] && divisors[3...].allSatisfy { $0 == 4 })
        for index in 0..<12 { #expect(abs(plain[index] / divisors[index] / scaled[index] - 1) < 1e-6) }
        // A position 4 times as far has the angle of a stretched frequency.
        let table = RotaryEmbedding(configuration, headSize: 24).table(length: 40)
        let unscaled = RotaryEmbedding(RotaryConfiguration(maxPositions: 128), headSize: 24).table(length: 40)
        #expect(abs(table.cosines[36 * 12 + 5] - unscaled.cosines[9 * 12 + 5]) < 1e-6)
        #expect(table.sines[36 * 12] == unscaled.sines[36 * 12])
    }

    @Test func halvesRotate() {
        let table = RotaryEmbedding(RotaryConfiguration(maxPositions: 8), headSize: 4).table(length: 2)
        // One position, two heads; position 1 has angles 1 and 0.01.
        let x = Matrix(rows: 1, columns: 8, values: [1, 0, 0, 0, 0, 1, 0, 2])
        Elementwise.rotate(x.view, by: table, from: 1)
        let (c0, s0, c1, s1) = (Float(0.540_302_3), Float(0.841_471), Float(0.999_95), Float(0.009_999_833))
        let expected: [Float] = [c0, 0, s0, 0, 0, c1 - 2 * s1, 0, s1 + 2 * c1]
        for (a, b) in zip(x.values, expected) { #expect(abs(a - b) < 1e-6) }
    }

    /// Narrow keys are off by one rounding on their way in and one on the way back.
    @Test(arguments: [(KVCacheFormat.f32, 1e-6), (.f16, 1e-3), (.int8, 0.01)])
    func cacheTurnsItsKeysBack(format: KVCacheFormat, tolerance: Double) {
        let rotary = RotaryEmbedding(
            RotaryConfiguration(maxPositions: 16, scaling: .dynamic(factor: 2)), headSize: 4)
        let cache = KVCache(layerCount: 2, groups: 2, headSize: 4, format: format)
        cache.reserve(10)
        let keys = randomMatrix(10, 8, seed: 1)
        for layer in 0..<2 {
            let rotated = Matrix(rows: 10, columns: 8, values: keys.values)
            Elementwise.rotate(rotated.view, by: rotary.table(length: 10), from: 0)
            cache.keys(layer).rows(0..<10).store(rotated.view)
        }
        cache.advance(by: 10)
        cache.reserve(1000)
        cache.storeUnrotatedKeys(rotary: rotary)
        cache.storeUnrotatedKeys(rotary: rotary)
        #expect(!cache.holdsRotatedKeys)
        for layer in 0..<2 {
            let stored = Matrix(rows: 10, columns: 8)
            cache.keys(layer).rows(0..<10).widen(into: stored.view)
            for (a, b) in zip(stored.values, keys.values) { #expect(Double((a - b).magnitude) < tolerance) }
        }
    }
}
