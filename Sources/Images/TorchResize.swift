extension RGBImage {
    /// torchvision's `Resize(size, antialias=False)` of an 8-bit tensor: `F.interpolate(mode="bilinear",
    /// align_corners=False)` in float32, rounded to the nearest integer, ties to even. Where the picture shrinks
    /// most pixels are not looked at.
    ///
    /// - Precondition: the new sides are positive.
    func resizedLikeTorch(width newWidth: Int, height newHeight: Int) -> RGBImage {
        precondition(newWidth > 0 && newHeight > 0)
        guard newWidth != width || newHeight != height else { return self }
        let columns = LinearTaps.all(from: width, to: newWidth)
        let rows = LinearTaps.all(from: height, to: newHeight)
        let size = newWidth * newHeight * 3
        let result = [UInt8](unsafeUninitializedCapacity: size) { target, count in
            pixels.withUnsafeBufferPointer { source in
                var to = 0
                for row in rows {
                    for column in columns {
                        let topLeft = (row.low * width + column.low) * 3
                        let topRight = (row.low * width + column.high) * 3
                        let bottomLeft = (row.high * width + column.low) * 3
                        let bottomRight = (row.high * width + column.high) * 3
                        for channel in 0..<3 {
                            let top = between(
                                source[topLeft + channel], source[topRight + channel], column)
                            let bottom = between(
                                source[bottomLeft + channel], source[bottomRight + channel], column)
                            let value = (bottom * row.highWeight).addingProduct(top, row.lowWeight)
                            target[to] = UInt8(clamping: Int(value.rounded(.toNearestOrEven)))
                            to += 1
                        }
                    }
                }
            }
            count = size
        }
        return RGBImage(width: newWidth, height: newHeight, pixels: result)
    }
}

/// The products are fused in the order in which PyTorch's vectorised kernel does it. (Pictures whose sides, old and new,
/// add up to less than a few hundred go through another kernel there, which at times rounds a sample the other way.)
private func between(_ low: UInt8, _ high: UInt8, _ taps: LinearTaps) -> Float {
    (Float(high) * taps.highWeight).addingProduct(Float(low), taps.lowWeight)
}

/// The two samples that a position lies between.
private struct LinearTaps {
    var low: Int
    var high: Int
    var lowWeight: Float
    var highWeight: Float

    static func all(from inputSize: Int, to outputSize: Int) -> [LinearTaps] {
        let scale = Float(inputSize) / Float(outputSize)
        return (0..<outputSize).map { index in
            let position = max(scale * (Float(index) + 0.5) - 0.5, 0)
            let low = min(Int(position), inputSize - 1)
            let weight = min(max(position - Float(low), 0), 1)
            return LinearTaps(
                low: low, high: min(low + 1, inputSize - 1), lowWeight: 1 - weight, highWeight: weight)
        }
    }
}
