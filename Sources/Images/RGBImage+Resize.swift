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
}
