/// Pillow's 8-bit resampling (`Image.resize`), to the last bit: a filter stretched over the source where the
/// picture shrinks (antialiasing), its weights rounded to 22 fractional bits, two passes with a rounding to 8 bits in
/// between.
///
/// Each row is resampled first and then each column; since Pillow 13 the other way round where the height loses more than
/// twice the pixels that the width loses. Older releases, the published model's among them, differ there by a rounding.
enum PillowFilter: Sendable {
    case bilinear
    /// Keys' cubic with a = -0.5.
    case bicubic

    /// Half the filter's width at scale 1.
    var support: Double { self == .bilinear ? 1 : 2 }

    func callAsFunction(_ position: Double) -> Double {
        let x = abs(position)
        switch self {
        case .bilinear: return x < 1 ? 1 - x : 0
        case .bicubic:
            let a = -0.5
            if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
            if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
            return 0
        }
    }
}

extension RGBImage {
    /// - Precondition: the new sides are positive.
    func resizedLikePillow(width newWidth: Int, height newHeight: Int, filter: PillowFilter) -> RGBImage {
        precondition(newWidth > 0 && newHeight > 0)
        let losesHeight = newHeight < height && height - newHeight > 2 * (width - newWidth)
        return losesHeight
            ? resampledColumns(newHeight, filter).resampledRows(newWidth, filter)
            : resampledRows(newWidth, filter).resampledColumns(newHeight, filter)
    }

    private func resampledRows(_ newWidth: Int, _ filter: PillowFilter) -> RGBImage {
        guard newWidth != width else { return self }
        let weights = FixedPointWeights(from: width, to: newWidth, filter: filter)
        let size = newWidth * height * 3
        let result = [UInt8](unsafeUninitializedCapacity: size) { target, count in
            pixels.withUnsafeBufferPointer { source in
                for y in 0..<height {
                    let row = y * width * 3
                    for x in 0..<newWidth {
                        let (first, taps) = weights.taps(x)
                        var (red, green, blue) = (
                            FixedPointWeights.half, FixedPointWeights.half, FixedPointWeights.half
                        )
                        var index = row + first * 3
                        for weight in taps {
                            red &+= Int32(source[index]) &* weight
                            green &+= Int32(source[index + 1]) &* weight
                            blue &+= Int32(source[index + 2]) &* weight
                            index += 3
                        }
                        let to = (y * newWidth + x) * 3
                        target[to] = FixedPointWeights.sample(red)
                        target[to + 1] = FixedPointWeights.sample(green)
                        target[to + 2] = FixedPointWeights.sample(blue)
                    }
                }
            }
            count = size
        }
        return RGBImage(width: newWidth, height: height, pixels: result)
    }

    private func resampledColumns(_ newHeight: Int, _ filter: PillowFilter) -> RGBImage {
        guard newHeight != height else { return self }
        let weights = FixedPointWeights(from: height, to: newHeight, filter: filter)
        let rowSize = width * 3
        let size = rowSize * newHeight
        let result = [UInt8](unsafeUninitializedCapacity: size) { target, count in
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: rowSize) { sums in
                pixels.withUnsafeBufferPointer { source in
                    for y in 0..<newHeight {
                        let (first, taps) = weights.taps(y)
                        sums.update(repeating: FixedPointWeights.half)
                        var from = first * rowSize
                        for weight in taps {
                            for x in 0..<rowSize { sums[x] &+= Int32(source[from + x]) &* weight }
                            from += rowSize
                        }
                        for x in 0..<rowSize { target[y * rowSize + x] = FixedPointWeights.sample(sums[x]) }
                    }
                }
            }
            count = size
        }
        return RGBImage(width: width, height: newHeight, pixels: result)
    }
}

/// The weights of one pass, each position's run of source samples with integer weights.
private struct FixedPointWeights {
    static let precision: Int32 = 22
    static let half: Int32 = 1 << (precision - 1)

    private let first: [Int]
    /// Where each position's weights begin in `weights`; one more at the end.
    private let starts: [Int]
    private let weights: [Int32]

    init(from inputSize: Int, to outputSize: Int, filter: PillowFilter) {
        let scale = Double(inputSize) / Double(outputSize)
        let stretch = max(scale, 1)
        let support = filter.support * stretch
        var first: [Int] = []
        var starts = [0]
        var weights: [Int32] = []
        var run: [Double] = []
        for position in 0..<outputSize {
            let centre = (Double(position) + 0.5) * scale
            let low = max(Int(centre - support + 0.5), 0)
            let high = min(Int(centre + support + 0.5), inputSize)
            run.removeAll(keepingCapacity: true)
            var total = 0.0
            for index in low..<max(high, low) {
                let weight = filter((Double(index) - centre + 0.5) * (1 / stretch))
                run.append(weight)
                total += weight
            }
            for weight in run {
                let scaled = (total == 0 ? weight : weight / total) * Double(1 << Self.precision)
                weights.append(Int32(scaled + (scaled < 0 ? -0.5 : 0.5)))
            }
            first.append(low)
            starts.append(weights.count)
        }
        self.first = first
        self.starts = starts
        self.weights = weights
    }

    func taps(_ position: Int) -> (first: Int, weights: ArraySlice<Int32>) {
        (first[position], weights[starts[position]..<starts[position + 1]])
    }

    static func sample(_ sum: Int32) -> UInt8 { UInt8(clamping: sum >> precision) }
}
