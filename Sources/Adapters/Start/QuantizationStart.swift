import Bytes
import Kernels
import LinearAlgebra
import Quantization
import Tensors

/// A weight as NF4 and a pair that together come nearer to it than NF4 alone.
struct QuantizationStart {
    let weight: NF4Tensor
    let pair: ExtractedPair
    /// |W - NF4(W)|, |W - (Q + B A)| and |W|.
    let plainError: Double
    let error: Double
    let norm: Double

    /// - Parameters:
    ///   - source: W, of a float type.
    ///   - type: the type that the 4-bit weight dequantizes to.
    /// - Throws: `CrayonError` for NaN and infinity.
    init(
        _ source: StoredWeight, name: String, type: ElementType, options: StartOptions, quantizer: NF4Quantizer,
        place: String
    ) throws(CrayonError) {
        let item = "tensor '\(name)'"
        let w = Matrix(rows: source.rows, columns: source.columns)
        Parallel.forEachRange(of: w.rows, size: 64) {
            source.dequantizeRows($0, into: w.pointer + $0.lowerBound * w.columns)
        }
        norm = try MatrixNorm.squared(w, place: place, item: item).squareRoot()
        let work = Work(w: w, shape: source.shape, type: type, name: name, quantizer: quantizer, place: place)
        let plain = try work.quantize(w)
        let rest = work.rest(plain)
        plainError = try MatrixNorm.squared(rest, place: place, item: item).squareRoot()

        func pair(of matrix: Matrix) throws(CrayonError) -> ExtractedPair {
            let settings = RandomizedSVDOptions(target: .count(options.rank), seed: options.seed)
            let svd = try SingularValueDecomposition.randomized(
                of: matrix, options: settings, place: place, item: item)
            return ExtractedPair(svd, of: matrix, kind: .linear, type: options.type, least: options.rank)
        }
        var quantized = plain
        var found: ExtractedPair
        switch options.method {
        case .loftq, .gaussian:
            found = try pair(of: rest)
            for _ in 1..<max(options.iterations, 1) {
                quantized = try work.quantize(work.without(found))
                found = try pair(of: work.rest(quantized))
            }
            error = found.error
        case .qpissa:
            found = try pair(of: w)
            for _ in 1..<max(options.iterations, 1) {
                quantized = try work.quantize(work.without(found))
                found = try pair(of: work.rest(quantized))
            }
            let residual = work.without(found)
            quantized = try work.quantize(residual)
            error = work.distance(residual, quantized)
        }
        self.pair = found
        weight = quantized
    }
}

/// The steps that the methods share, on one weight.
private struct Work {
    let w: Matrix
    let shape: Shape
    let type: ElementType
    let name: String
    let quantizer: NF4Quantizer
    let place: String

    /// NF4 of a matrix, as of a weight of the source's type.
    func quantize(_ matrix: Matrix) throws(CrayonError) -> NF4Tensor {
        let bytes = UnsafeRawBufferPointer(start: matrix.pointer, count: matrix.count * 4)
        let tensor = Tensor(name: name, type: .f32, shape: shape, region: ByteRegion(owner: matrix, buffer: bytes))
        let quantized = try quantizer.quantize(tensor, place: place)
        return try NF4Tensor(
            shape: shape, blockSize: quantized.blockSize, codes: quantized.codes, scales: quantized.scales,
            sourceType: type, name: name, place: place)
    }

    /// `W - Q`
    func rest(_ quantized: NF4Tensor) -> Matrix {
        let rest = Matrix(rows: w.rows, columns: w.columns)
        Parallel.forEachRange(of: w.count, size: 1 << 16) { range in
            let target = rest.pointer + range.lowerBound
            quantized.dequantize(elements: range, into: target)
            for index in 0..<range.count { target[index] = w.pointer[range.lowerBound + index] - target[index] }
        }
        return rest
    }

    /// `W - B A`
    func without(_ pair: ExtractedPair) -> Matrix {
        let (b, a) = (Matrix(pair.b), Matrix(pair.a))
        let rest = w.copy()
        Parallel.forEachRange(of: w.rows, size: 128) { rows in
            BLAS.gemm(
                m: rows.count, n: w.columns, k: pair.rank, alpha: -1, a: b.pointer + rows.lowerBound * pair.rank,
                lda: pair.rank, b: a.pointer, ldb: w.columns, beta: 1, c: rest.pointer + rows.lowerBound * w.columns,
                ldc: w.columns)
        }
        return rest
    }

    /// |matrix - Q|
    func distance(_ matrix: Matrix, _ quantized: NF4Tensor) -> Double {
        let size = 1 << 16
        var parts = [Double](repeating: 0, count: (matrix.count + size - 1) / size)
        parts.withUnsafeMutableBufferPointer { parts in
            nonisolated(unsafe) let parts = parts
            Parallel.forEachRange(of: matrix.count, size: size) { range in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count) { scratch in
                    guard let value = scratch.baseAddress else { return }
                    quantized.dequantize(elements: range, into: value)
                    parts[range.lowerBound / size] =
                        VectorMath.compare(
                            reference: matrix.pointer + range.lowerBound, value: value, count: range.count
                        ).squaredError
                }
            }
        }
        return parts.reduce(0, +).squareRoot()
    }
}

extension Matrix {
    /// A tensor's numbers in float32.
    convenience init(_ tensor: Tensor) {
        self.init(rows: tensor.shape.rows, columns: tensor.shape.columns)
        FloatConversion.widen(tensor, elements: 0..<count, into: pointer)
    }
}
