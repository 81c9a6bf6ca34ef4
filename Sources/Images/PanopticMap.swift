public import Bytes
import CPNG

/// Which segment each pixel of a picture belongs to: COCO's panoptic format.
public struct PanopticMap: Equatable, Sendable {
    public let width: Int
    public let height: Int
    /// `[height, width]`; 0 where there is no segment.
    public let ids: [UInt32]
    /// What the ids stand for, in ascending order of id.
    public let segments: [PanopticSegment]

    /// - Precondition: `ids` holds `width * height` values.
    public init(width: Int, height: Int, ids: [UInt32], segments: [PanopticSegment]) {
        precondition(width > 0 && height > 0 && ids.count == width * height)
        self.width = width
        self.height = height
        self.ids = ids
        self.segments = segments.sorted { $0.id < $1.id }
    }

    /// Reads a map (PNG) and its segments (JSON, see `PanopticSegment.read`).
    ///
    /// A colour PNG holds R + 256 G + 65536 B; a palette one the same after look-up; in a grey one of up to 16 bits the
    /// sample itself is the id.
    ///
    /// - Parameter picture: the photo's path, by whose name a file of many annotations may tell which one is meant.
    public init(path: String, segments: String, picture: String? = nil) throws(CrayonError) {
        let found = try PanopticSegment.read(path: segments, map: path, picture: picture)
        try self.init(png: MappedFile(path: path).whole, name: path, segments: found)
    }

    public init(png: ByteRegion, name: String, segments: [PanopticSegment]) throws(CrayonError) {
        guard ImageFormat(sniffing: png.buffer) == .png else {
            throw CrayonError(
                .malformed, in: name, found: "no PNG file", expected: "a COCO panoptic map, which is a PNG",
                advice: "A JPEG cannot hold one: its losses change ids.")
        }
        let info = try RGBImage.pngInfo(png.buffer, name: name)
        if info.is_grey {
            try self.init(greyPNG: png, info: info, name: name, segments: segments)
            return
        }
        guard info.bit_depth <= 8 else {
            throw CrayonError(
                .unsupported, in: name, found: "a colour PNG of \(info.bit_depth) bits", expected: "8 bits a channel")
        }
        let image = try RGBImage.decodePNG(png.buffer, name: name)
        let ids = (0..<image.width * image.height).map { index in
            let red = UInt32(image.pixels[index * 3])
            let green = UInt32(image.pixels[index * 3 + 1])
            let blue = UInt32(image.pixels[index * 3 + 2])
            return red | green << 8 | blue << 16
        }
        self.init(width: image.width, height: image.height, ids: ids, segments: segments)
    }

    private init(
        greyPNG png: ByteRegion, info: cpng_info, name: String, segments: [PanopticSegment]
    ) throws(CrayonError) {
        let count = Int(info.width) * Int(info.height)
        var samples = [UInt16](repeating: 0, count: count)
        var reason = [CChar](repeating: 0, count: Int(CPNG_REASON_CAPACITY))
        guard cpng_read_grey_samples(png.buffer.baseAddress, png.count, &samples, &reason) else {
            let text = String(decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw CrayonError(
                .malformed, in: name, found: "PNG that cannot be decoded: \(text)", expected: "a whole PNG file")
        }
        self.init(width: Int(info.width), height: Int(info.height), ids: samples.map(UInt32.init), segments: segments)
    }

    /// Why the map does not seem to belong to a picture of these sides, or nil where the aspect is the same
    /// within a pixel.
    public func mismatch(width pictureWidth: Int, height pictureHeight: Int) -> String? {
        Self.mismatch(of: (width, height), with: (pictureWidth, pictureHeight))
    }

    /// The same from the sides alone.
    public static func mismatch(
        of map: (width: Int, height: Int), with picture: (width: Int, height: Int)
    ) -> String? {
        let (width, height) = map
        let (pictureWidth, pictureHeight) = picture
        let difference = abs(Double(width) * Double(pictureHeight) - Double(height) * Double(pictureWidth))
        guard difference > Double(max(pictureWidth, pictureHeight, width, height)) else { return nil }
        return "the panoptic map has \(width) x \(height) pixels, the picture \(pictureWidth) x \(pictureHeight): "
            + "another shape, so the map is stretched over it"
    }
}
