public import Bytes
import CJPEG
import CPNG

/// The image formats that Crayon reads, recognised by a file's first bytes, never by its name.
public enum ImageFormat: Sendable {
    case jpeg
    case png

    public init?(sniffing bytes: UnsafeRawBufferPointer) {
        if bytes.starts(with: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) {
            self = .png
        } else if bytes.starts(with: [0xff, 0xd8, 0xff]) {
            self = .jpeg
        } else {
            return nil
        }
    }
}

extension RGBImage {
    /// More pixels than any camera's picture has; an image of this size takes 300 MB.
    public static let mostPixels = 100_000_000

    /// Reads a JPEG or PNG file, turned upright as its EXIF orientation asks.
    ///
    /// Samples are those of Pillow's `convert("RGB")`: alpha is dropped without compositing, grey is spread to three
    /// channels, palettes are looked up, CMYK JPEGs are taken as Adobe's inverted inks, no colour profile and no gamma is
    /// applied. Of 16-bit samples the high byte is kept, for grey too, where Pillow clips at 255 and so turns nearly the
    /// whole picture white.
    ///
    /// - Throws: `CrayonError` naming the file: neither format, broken, cut short, or more than `mostPixels`.
    public init(path: String) throws(CrayonError) {
        try self.init(MappedFile(path: path).whole, name: path)
    }

    /// Decodes a JPEG or PNG; `name` is what errors call it.
    public init(_ bytes: ByteRegion, name: String) throws(CrayonError) {
        guard let format = ImageFormat(sniffing: bytes.buffer) else {
            throw CrayonError(
                .unsupported, in: name, found: "neither a JPEG nor a PNG file",
                advice: "Convert the picture to one of these.")
        }
        let image =
            switch format {
            case .png: try Self.decodePNG(bytes.buffer, name: name)
            case .jpeg: try Self.decodeJPEG(bytes.buffer, name: name)
            }
        self = image.turned(by: Orientation(in: bytes.buffer, format: format))
    }

    static func decodePNG(_ bytes: UnsafeRawBufferPointer, name: String) throws(CrayonError) -> RGBImage {
        let info = try pngInfo(bytes, name: name)
        let width = Int(info.width)
        let height = Int(info.height)
        var reason = [CChar](repeating: 0, count: Int(CPNG_REASON_CAPACITY))
        var isDone = false
        let pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { target, count in
            isDone = cpng_read_rgb(bytes.baseAddress, bytes.count, target.baseAddress, &reason)
            count = isDone ? width * height * 3 : 0
        }
        guard isDone else { throw broken(name, reason, "PNG") }
        return RGBImage(width: width, height: height, pixels: pixels)
    }

    private static func decodeJPEG(_ bytes: UnsafeRawBufferPointer, name: String) throws(CrayonError) -> RGBImage {
        var info = cjpeg_info()
        var reason = [CChar](repeating: 0, count: Int(CJPEG_REASON_CAPACITY))
        guard cjpeg_read_info(bytes.baseAddress, bytes.count, &info, &reason) else {
            throw broken(name, reason, "JPEG")
        }
        let width = Int(info.width)
        let height = Int(info.height)
        // Huffman codes spend at least a bit on the first coefficient of each 8 x 8 block; twice that much is let through.
        let most = info.is_arithmetic ? Int.max : bytes.count * 1024 + 65536
        try checkSize(width: width, height: height, most: most, name: name)
        var isDone = false
        let pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { target, count in
            isDone = cjpeg_read_rgb(
                bytes.baseAddress, bytes.count, info.width, info.height, target.baseAddress, &reason)
            count = isDone ? width * height * 3 : 0
        }
        guard isDone else { throw broken(name, reason, "JPEG") }
        return RGBImage(width: width, height: height, pixels: pixels)
    }

    /// The header of a PNG whose size has been found sane.
    static func pngInfo(_ bytes: UnsafeRawBufferPointer, name: String) throws(CrayonError) -> cpng_info {
        var info = cpng_info()
        var reason = [CChar](repeating: 0, count: Int(CPNG_REASON_CAPACITY))
        guard cpng_read_info(bytes.baseAddress, bytes.count, &info, &reason) else { throw broken(name, reason, "PNG") }
        // Deflate makes at most 1032 bytes of one, and eight 1-bit pixels share a byte.
        try checkSize(
            width: Int(info.width), height: Int(info.height),
            most: bytes.count * 1032 * 8 / Int(max(info.bit_depth, 1)),
            name: name)
        return info
    }

    private static func checkSize(width: Int, height: Int, most: Int, name: String) throws(CrayonError) {
        guard width > 0, height > 0 else {
            throw CrayonError(.malformed, in: name, found: "an image of \(width) x \(height) pixels")
        }
        let (count, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, count <= mostPixels else {
            throw CrayonError(
                .unsupported, in: name, found: "\(width) x \(height) pixels", expected: "at most \(mostPixels) pixels",
                advice: "Scale the picture down.")
        }
        guard count <= most else {
            throw CrayonError(
                .malformed, in: name,
                found: "a header that claims \(width) x \(height) pixels, more than the file can hold",
                advice: "The file is cut short or forged.")
        }
    }

    private static func broken(_ name: String, _ reason: [CChar], _ format: String) -> CrayonError {
        let text = String(decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return CrayonError(
            .malformed, in: name, found: "\(format) that cannot be decoded: \(text)", expected: "a whole \(format) file"
        )
    }
}
