public import Bytes
import CPNG

/// A panoptic map drawn over its picture, to look at.
public enum PanopticOverlay {
    /// The picture with each segment in a colour of its own, half and half, and a line between segments.
    public static func draw(_ map: PanopticMap, over image: RGBImage) -> RGBImage {
        var result = image
        func id(_ x: Int, _ y: Int) -> UInt32 {
            map.ids[(y * map.height / image.height) * map.width + x * map.width / image.width]
        }
        for y in 0..<image.height {
            for x in 0..<image.width {
                let here = id(x, y)
                let isEdge = (x > 0 && id(x - 1, y) != here) || (y > 0 && id(x, y - 1) != here)
                guard isEdge || here != 0 else { continue }
                let colour = isEdge ? (255, 255, 255) : colour(of: here)
                let index = (y * image.width + x) * 3
                result.pixels[index] = UInt8((Int(result.pixels[index]) + colour.0) / 2)
                result.pixels[index + 1] = UInt8((Int(result.pixels[index + 1]) + colour.1) / 2)
                result.pixels[index + 2] = UInt8((Int(result.pixels[index + 2]) + colour.2) / 2)
            }
        }
        return result
    }

    /// The overlay as a PNG file's bytes.
    public static func png(_ map: PanopticMap, over image: RGBImage) throws(CrayonError) -> [UInt8] {
        try draw(map, over: image).png()
    }

    /// Colours of neighbouring ids lie far apart: the golden ratio walks over the hues.
    private static func colour(of id: UInt32) -> (Int, Int, Int) {
        let hue = (Double(id) * 0.618_033_988_749_895).truncatingRemainder(dividingBy: 1) * 6
        let rising = Int(255 * hue.truncatingRemainder(dividingBy: 1))
        switch Int(hue) {
        case 0: return (255, rising, 0)
        case 1: return (255 - rising, 255, 0)
        case 2: return (0, 255, rising)
        case 3: return (0, 255 - rising, 255)
        case 4: return (rising, 0, 255)
        default: return (255, 0, 255 - rising)
        }
    }
}

extension RGBImage {
    /// A PNG file's bytes.
    public func png() throws(CrayonError) -> [UInt8] {
        var bytes: UnsafeMutablePointer<UInt8>?
        var size = 0
        var reason = [CChar](repeating: 0, count: Int(CPNG_REASON_CAPACITY))
        guard cpng_write_rgb(pixels, UInt32(width), UInt32(height), &bytes, &size, &reason) else {
            let text = String(decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw CrayonError(.unsupported, in: "PNG", found: "a picture that libpng cannot write: \(text)")
        }
        defer { cpng_free(bytes) }
        return [UInt8](UnsafeBufferPointer(start: bytes, count: size))
    }
}
