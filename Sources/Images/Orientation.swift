/// How a stored picture must be turned to stand upright: EXIF tag 0x0112, values 1 to 8.
enum Orientation: UInt16, Sendable {
    case upright = 1
    case mirrored
    case upsideDown
    case flipped
    case transposed
    /// The top is at the right: turn clockwise.
    case right
    case transversed
    case left

    var swapsSides: Bool { rawValue >= 5 }

    /// Reads the tag from a JPEG's APP1 segment or a PNG's eXIf chunk; anything odd counts as upright, as it
    /// does for Pillow and browsers.
    init(in bytes: UnsafeRawBufferPointer, format: ImageFormat) {
        let exif = format == .jpeg ? Self.jpegSegment(bytes) : Self.pngChunk(bytes)
        self = exif.flatMap(Self.tag).flatMap(Orientation.init(rawValue:)) ?? .upright
    }

    /// The TIFF block in a JPEG's first `Exif` segment.
    private static func jpegSegment(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var position = 2
        while position + 4 <= bytes.count, bytes[position] == 0xff {
            let marker = bytes[position + 1]
            if marker == 0xff {
                position += 1
                continue
            }  // fill byte
            let length = Int(bytes[position + 2]) << 8 | Int(bytes[position + 3])
            let end = position + 2 + length
            guard marker != 0xda, length >= 2, end <= bytes.count else { return nil }
            let body = UnsafeRawBufferPointer(rebasing: bytes[position + 4..<end])
            if marker == 0xe1, body.starts(with: [0x45, 0x78, 0x69, 0x66, 0, 0]) {
                return UnsafeRawBufferPointer(rebasing: body[6...])
            }
            position = end
        }
        return nil
    }

    private static func pngChunk(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var position = 8
        while position + 12 <= bytes.count {
            let length = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self)))
            guard length <= bytes.count - position - 12 else { return nil }
            let body = UnsafeRawBufferPointer(rebasing: bytes[position + 8..<position + 8 + length])
            if bytes[position + 4..<position + 8].elementsEqual([0x65, 0x58, 0x49, 0x66]) { return body }
            position += 12 + length
        }
        return nil
    }

    /// The value of the orientation tag in the first directory of a TIFF block.
    private static func tag(_ tiff: UnsafeRawBufferPointer) -> UInt16? {
        guard tiff.count >= 8 else { return nil }
        let isLittle = tiff.starts(with: [0x49, 0x49])
        guard isLittle || tiff.starts(with: [0x4d, 0x4d]) else { return nil }
        func short(_ offset: Int) -> UInt16 {
            let value = tiff.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
            return isLittle ? UInt16(littleEndian: value) : UInt16(bigEndian: value)
        }
        let start = Int(short(isLittle ? 6 : 4)) << 16 | Int(short(isLittle ? 4 : 6))
        guard start >= 8, start <= tiff.count - 2 else { return nil }
        for index in 0..<Int(short(start)) {
            let entry = start + 2 + index * 12
            guard entry + 12 <= tiff.count else { return nil }
            // Type 3 is SHORT; the value stands in the entry itself.
            if short(entry) == 0x0112 { return short(entry + 2) == 3 ? short(entry + 8) : nil }
        }
        return nil
    }
}

extension RGBImage {
    func turned(by orientation: Orientation) -> RGBImage {
        guard orientation != .upright else { return self }
        let newWidth = orientation.swapsSides ? height : width
        let newHeight = orientation.swapsSides ? width : height
        let turned = [UInt8](unsafeUninitializedCapacity: pixels.count) { target, count in
            pixels.withUnsafeBufferPointer { source in
                for y in 0..<newHeight {
                    for x in 0..<newWidth {
                        let (sourceX, sourceY) =
                            switch orientation {
                            case .upright: (x, y)
                            case .mirrored: (width - 1 - x, y)
                            case .upsideDown: (width - 1 - x, height - 1 - y)
                            case .flipped: (x, height - 1 - y)
                            case .transposed: (y, x)
                            case .right: (y, height - 1 - x)
                            case .transversed: (width - 1 - y, height - 1 - x)
                            case .left: (width - 1 - y, x)
                            }
                        let from = (sourceY * width + sourceX) * 3
                        let to = (y * newWidth + x) * 3
                        target[to] = source[from]
                        target[to + 1] = source[from + 1]
                        target[to + 2] = source[from + 2]
                    }
                }
            }
            count = pixels.count
        }
        return RGBImage(width: newWidth, height: newHeight, pixels: turned)
    }
}
