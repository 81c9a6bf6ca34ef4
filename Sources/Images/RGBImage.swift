/// A picture of 8-bit RGB samples.
public struct RGBImage: Equatable, Sendable {
    public let width: Int
    public let height: Int
    /// `[height, width, 3]`
    public internal(set) var pixels: [UInt8]

    /// - Precondition: `pixels` holds `width * height * 3` bytes.
    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(width > 0 && height > 0 && pixels.count == width * height * 3)
        self.width = width
        self.height = height
        self.pixels = pixels
    }
}
