public import Architecture
public import Bytes

/// How a picture becomes a vision tower's input.
public struct ImagePreparation: Equatable, Sendable {
    /// How the picture is scaled.
    public enum Resampling: String, CaseIterable, Sendable {
        /// Pillow's bilinear filter, antialiased: what the published CoLLaVO's evaluation does (detectron2's `Resize`).
        case pillowBilinear = "pillow-bilinear"
        /// Pillow's bicubic filter, antialiased: CLIP's own processor.
        case pillowBicubic = "pillow-bicubic"
        /// PyTorch's bilinear interpolation without antialiasing: what the published CoLLaVO's `demo.py` does.
        case torchBilinear = "torch-bilinear"
    }

    /// Pixels a side of the result.
    public var size: Int
    /// How a picture of another shape is made square.
    public var fit: VisionConfiguration.Resize
    public var resampling: Resampling
    /// For each channel, of samples in 0 ... 1.
    public var mean: [Float]
    public var standardDeviation: [Float]

    public init(
        size: Int, fit: VisionConfiguration.Resize, resampling: Resampling,
        mean: [Float] = VisionConfiguration.clipMean, standardDeviation: [Float] = VisionConfiguration.clipStd
    ) {
        self.size = size
        self.fit = fit
        self.resampling = resampling
        self.mean = mean
        self.standardDeviation = standardDeviation
    }

    /// The published CoLLaVO's evaluation; its size is 490.
    public static func collavo(size: Int) -> ImagePreparation {
        ImagePreparation(size: size, fit: .squeeze, resampling: .pillowBilinear)
    }

    /// Hugging Face's `CLIPImageProcessor`; the size of ViT-L/14-336 is 336.
    public static func clip(size: Int) -> ImagePreparation {
        ImagePreparation(size: size, fit: .cropCentre, resampling: .pillowBicubic)
    }

    /// Hugging Face's `LlavaImageProcessor` with `do_pad`.
    public static func padded(size: Int) -> ImagePreparation {
        ImagePreparation(size: size, fit: .pad, resampling: .pillowBicubic)
    }

    /// What a model's configuration asks for: CoLLaVO's preparation for `squeeze`, CLIP's for `crop-centre`, LLaVA's for `pad`.
    public init(_ configuration: VisionConfiguration) {
        self.init(
            size: configuration.imageSize, fit: configuration.resize,
            resampling: configuration.resize == .squeeze ? .pillowBilinear : .pillowBicubic,
            mean: configuration.imageMean, standardDeviation: configuration.imageStd)
    }

    /// - Throws: `CrayonError` for settings that cannot be used.
    public func validate(in place: String) throws(CrayonError) {
        // A side of 16384 needs 3 GB for its values alone.
        guard (1...16384).contains(size) else {
            throw CrayonError(.usage, in: place, item: "image size", found: "\(size)", expected: "1 ... 16384")
        }
        guard mean.count == 3, standardDeviation.count == 3, (mean + standardDeviation).allSatisfy(\.isFinite),
            standardDeviation.allSatisfy({ $0 > 0 })
        else {
            throw CrayonError(
                .usage, in: place, item: "image normalisation",
                found: "mean \(mean), standard deviation \(standardDeviation)",
                expected: "three finite means and three positive deviations")
        }
    }

    /// The picture at the model's size, before normalisation.
    /// - Throws: `CrayonError` for a picture so long and thin that scaling it takes more than `RGBImage.mostPixels`.
    /// - Precondition: the settings are valid.
    public func resized(_ image: RGBImage) throws(CrayonError) -> RGBImage {
        switch fit {
        case .squeeze: return try image.resized(width: size, height: size, resampling: resampling)
        case .pad:
            return try padded(image).resized(width: size, height: size, resampling: resampling)
        case .cropCentre:
            let short = min(image.width, image.height)
            let long = max(image.width, image.height)
            // Hugging Face truncates the longer side.
            let newLong = Int((Double(size) * Double(long) / Double(short)).rounded(.towardZero))
            let isWide = image.width > image.height
            let all = try image.resized(
                width: isWide ? newLong : size, height: isWide ? size : newLong, resampling: resampling)
            return all.cropped(x: (all.width - size) / 2, y: (all.height - size) / 2, width: size, height: size)
        }
    }

    /// The picture in the middle of a square of the mean colour, truncated to whole numbers.
    private func padded(_ image: RGBImage) throws(CrayonError) -> RGBImage {
        let side = max(image.width, image.height)
        let (area, overflow) = side.multipliedReportingOverflow(by: side)
        guard !overflow, area <= RGBImage.mostPixels else {
            throw CrayonError(
                .unsupported, in: "picture", found: "\(image.width) x \(image.height) pixels to be padded to a square",
                expected: "a picture less long and thin", advice: "Cut the picture.")
        }
        // By the number that a file has, not by the float32 nearest to it.
        let color = mean.map { UInt8(max(0, min(255, (Double($0.description) ?? 0) * 255))) }
        return image.padded(to: side, color: color)
    }

    /// The vision tower's input.
    /// - Throws: as `resized`.
    /// - Precondition: the settings are valid.
    public func callAsFunction(_ image: RGBImage) throws(CrayonError) -> PixelValues { normalized(try resized(image)) }

    /// `(sample - 255 mean) / (255 deviation)` in float32, as CoLLaVO computes it; the usual
    /// `(sample / 255 - mean) / deviation` differs in the last bit.
    /// - Precondition: the settings are valid.
    public func normalized(_ image: RGBImage) -> PixelValues {
        let plane = image.width * image.height
        let values = [Float](unsafeUninitializedCapacity: 3 * plane) { target, count in
            image.pixels.withUnsafeBufferPointer { source in
                for channel in 0..<3 {
                    let shift = mean[channel] * 255
                    let divisor = standardDeviation[channel] * 255
                    for index in 0..<plane {
                        target[channel * plane + index] = (Float(source[index * 3 + channel]) - shift) / divisor
                    }
                }
            }
            count = 3 * plane
        }
        return PixelValues(width: image.width, height: image.height, values: values)
    }
}

/// A normalised picture.
public struct PixelValues: Equatable, Sendable {
    public let width: Int
    public let height: Int
    /// `[3, height, width]`
    public let values: [Float]

    /// - Precondition: `values` holds `3 * height * width` elements.
    public init(width: Int, height: Int, values: [Float]) {
        precondition(values.count == 3 * width * height)
        self.width = width
        self.height = height
        self.values = values
    }
}
