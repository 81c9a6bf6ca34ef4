import Bytes
import Foundation
import Kernels
import Quantization
import Tensors
import Testing

@Suite struct StoredWeights {
    /// Normal weights of standard deviation 0.02, by Box and Muller from a fixed sequence.
    static func normal(rows: Int, columns: Int, seed: UInt64 = 1) -> Tensor {
        var state = seed
        func uniform() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (Double(state >> 11) + 0.5) / Double(1 << 53)
        }
        let values = (0..<rows * columns).map { _ in
            Float(0.02 * (-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform()))
        }
        return Tensor(name: "w", shape: Shape([rows, columns]), values: values)
    }

    static func narrowed(_ tensor: Tensor, to type: ElementType) -> Tensor {
        let values = Fixture.floats(tensor)
        let bytes = [UInt8](unsafeUninitializedCapacity: values.count * type.byteCount) { buffer, count in
            FloatConversion.narrow(values, count: values.count, to: type, into: buffer.baseAddress!)
            count = values.count * type.byteCount
        }
        return Tensor(name: tensor.name, type: type, shape: tensor.shape, region: .init(copying: bytes))
    }

    static func weights(rows: Int, columns: Int) throws -> [StoredWeight] {
        let source = normal(rows: rows, columns: columns)
        return [
            .dense(source), .dense(narrowed(source, to: .f16)), .dense(narrowed(source, to: .bf16)),
            .nf4(try NF4Quantizer().quantize(source)),
            .nf4(try NF4Quantizer(blockSize: 32, doubleQuantization: false).quantize(source)),
            .int8(try Int8Quantizer().quantize(source)),
        ]
    }

    @Test(arguments: [(7, 192), (5, 77), (130, 64)]) func rowsAndProducts(rows: Int, columns: Int) throws {
        let x = (0..<columns).map { Float(($0 * 29) % 17 - 8) / 8 }
        for weight in try Self.weights(rows: rows, columns: columns) {
            #expect(weight.rows == rows && weight.columns == columns)
            var all = [Float](repeating: .nan, count: rows * columns)
            weight.dequantizeRows(0..<rows, into: &all)
            var some = [Float](repeating: .nan, count: 2 * columns)
            weight.dequantizeRows(2..<4, into: &some)
            #expect(some == Array(all[2 * columns..<4 * columns]))
            var y = [Float](repeating: .nan, count: rows)
            weight.multiply(x: x, into: &y)
            for row in 0..<rows {
                let terms = (0..<columns).map { Double(all[row * columns + $0]) * Double(x[$0]) }
                let magnitude = terms.reduce(0) { $0 + $1.magnitude }
                #expect((Double(y[row]) - terms.reduce(0, +)).magnitude <= 3e-7 * magnitude)
            }
            var part = [Float](repeating: .nan, count: 3)
            weight.multiply(rows: 1..<4, x: x, into: &part)
            #expect(part == Array(y[1..<4]))
        }
    }

    /// What a right implementation loses on normal weights, by block size (see Formats and the NF4 paper): a wrong
    /// code, threshold or nibble order shows here at once.
    @Test(arguments: [(32, 0.0873), (64, 0.0920), (128, 0.0956), (256, 0.0987), (4096, 0.1101)])
    func expectedError(blockSize: Int, relative: Double) throws {
        let source = Self.normal(rows: 1024, columns: 1024, seed: 5)
        let weight = StoredWeight.nf4(try NF4Quantizer(blockSize: blockSize).quantize(source))
        let statistics = try ErrorStatistics.compare(weight, with: source, place: "test")
        #expect((statistics.relativeError - relative).magnitude < 0.0005, "\(statistics.relativeError)")
        #expect(statistics.count == 1 << 20)
        #expect(statistics.cosine > 0.993 && statistics.cosine < 0.9965)
        #expect(try #require(statistics.worstBlock).relativeError < 0.3)
    }

    @Test func statistics() throws {
        let reference = Tensor(name: "w", shape: Shape([2, 64]), values: [Float](repeating: 2, count: 128))
        var values = [Float](repeating: 2, count: 128)
        values[70] = 5
        let weight = StoredWeight.dense(Tensor(name: "v", shape: Shape([2, 64]), values: values))
        let result = try ErrorStatistics.compare(weight, with: reference, place: "test")
        #expect((result.relativeError - (9.0 / (128 * 4)).squareRoot()).magnitude < 1e-12)
        #expect(result.largestError == 3)
        #expect(result.worstBlock?.firstElement == 64 && result.worstBlock?.relativeError == (9.0 / 256).squareRoot())
        let exact = try ErrorStatistics.compare(.dense(reference), with: reference, place: "test")
        #expect(exact.relativeError == 0 && (exact.cosine - 1).magnitude < 1e-12)
    }

    /// Results do not depend on the number of threads.
    @Test func threads() throws {
        let source = Self.normal(rows: 700, columns: 448)
        let x = (0..<448).map { Float($0 % 13) - 6 }
        let saved = Parallel.threadCount
        defer { Parallel.threadCount = saved }
        var codes: [[UInt8]] = []
        var products: [[Float]] = []
        var errors: [ErrorStatistics] = []
        for threads in [1, 2, 7] {
            Parallel.threadCount = threads
            let tensor = try NF4Quantizer().quantize(source)
            codes.append(tensor.components(named: "w").flatMap(\.region.array))
            var y = [Float](repeating: 0, count: 700)
            StoredWeight.nf4(tensor).multiply(x: x, into: &y)
            products.append(y)
            errors.append(try .compare(.nf4(tensor), with: source, place: "test"))
        }
        #expect(codes[0] == codes[1] && codes[0] == codes[2])
        #expect(products[0] == products[1] && products[0] == products[2])
        #expect(errors[0] == errors[1] && errors[0] == errors[2])
    }
}
