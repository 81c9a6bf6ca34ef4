public import Bytes

extension RGBImage {
    /// The picture at another size.
    ///
    /// - Throws: `CrayonError` for a picture so long and thin that scaling it takes more than `mostPixels` on the way.
    /// - Precondition: the new sides are positive.
    public func resized(
        width newWidth: Int, height newHeight: Int, resampling: ImagePreparation.Resampling
    ) throws(CrayonError) -> RGBImage {
        // The first of two passes leaves the height as it is.
        let (area, overflow) = newWidth.multipliedReportingOverflow(by: max(height, newHeight))
        guard !overflow, area <= RGBImage.mostPixels else {
            throw CrayonError(
                .unsupported, in: "picture",
                found: "\(width) x \(height) pixels to be scaled to \(newWidth) x \(newHeight)",
                expected: "a picture less long and thin", advice: "Cut the picture.")
        }
        return switch resampling {
        case .pillowBilinear: resizedLikePillow(width: newWidth, height: newHeight, filter: .bilinear)
        case .pillowBicubic: resizedLikePillow(width: newWidth, height: newHeight, filter: .bicubic)
        case .torchBilinear: resizedLikeTorch(width: newWidth, height: newHeight)
        }
    }

    /// - Precondition: the cut lies inside the picture.
    func cropped(x: Int, y: Int, width newWidth: Int, height newHeight: Int) -> RGBImage {
        precondition(x >= 0 && y >= 0 && newWidth <= width - x && newHeight <= height - y)
        var cut: [UInt8] = []
        cut.reserveCapacity(newWidth * newHeight * 3)
        for row in y..<y + newHeight {
            let start = (row * width + x) * 3
            cut += pixels[start..<start + newWidth * 3]
        }
        return RGBImage(width: newWidth, height: newHeight, pixels: cut)
    }
    /// The picture in the middle of a square, where an odd rest goes below and to the right.
    /// - Parameter color: three samples.
    /// - Precondition: the square is no smaller than the picture.
    func padded(to side: Int, color: [UInt8]) -> RGBImage {
        precondition(color.count == 3 && side >= max(width, height))
        guard side > width || side > height else { return self }
        let (left, top) = ((side - width) / 2, (side - height) / 2)
        func bar(_ count: Int) -> [UInt8] { (0..<count).flatMap { _ in color } }
        let (before, behind) = (bar(left), bar(side - width - left))
        var square: [UInt8] = []
        square.reserveCapacity(side * side * 3)
        square += bar(top * side)
        for row in 0..<height {
            square += before
            square += pixels[row * width * 3..<(row + 1) * width * 3]
            square += behind
        }
        square += bar((side - height - top) * side)
        return RGBImage(width: side, height: side, pixels: square)
    }
}
