import Bytes
import Images
import Testing

@Suite struct DecodingTests {
    /// Every kind of PNG and JPEG, and every orientation.
    @Test func pixelsArePillows() throws {
        let pictures = try ImageFixture.load().pictures
        #expect(pictures.count > 40)
        for (name, expected) in pictures.sorted(by: { $0.key < $1.key }) {
            let image = try RGBImage(path: ImageFixture.path(name))
            #expect(digest(image.pixels) == expected, "\(name)")
        }
    }

    /// The format is told by the content, whatever the name.
    @Test func sniffing() throws {
        for name in ["rgb8.png", "ycc444.jpg"] {
            let image = try RGBImage(ByteRegion(copying: ImageFixture.bytes(name)), name: "picture.gif")
            #expect(image.width == (name == "rgb8.png" ? 19 : 45))
            #expect(image.height == (name == "rgb8.png" ? 13 : 31))
        }
        for bytes in [[], Array("GIF89a".utf8), [0xff, 0xd8], [0x89, 0x50, 0x4e]] as [[UInt8]] {
            let error = #expect(throws: CrayonError.self) { try RGBImage(ByteRegion(copying: bytes), name: "a.png") }
            #expect(error?.place == "a.png")
        }
        #expect(throws: CrayonError.self) { try RGBImage(path: "/nonexistent/photo.jpg") }
    }

    @Test(arguments: [
        "rgb8.png", "palette4-interlaced.png", "grey16.png", "ycc420.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg",
    ])
    func cutShort(name: String) throws {
        let whole = try ImageFixture.bytes(name)
        // A JPEG without its last two bytes lacks its end marker only.
        for count in 0..<whole.count - 16 {
            let part = ByteRegion(copying: whole[..<count])
            let error = #expect(throws: CrayonError.self, "\(count) bytes") { try RGBImage(part, name: name) }
            #expect(error?.place == name)
        }
    }

    /// Broken files throw or decode to something; they never trap, and never take the process with them.
    @Test(arguments: [
        "rgb8.png", "rgba16-interlaced.png", "palette8-transparent.png", "grey1.png", "orientation6.png", "ycc420.jpg",
        "progressive.jpg", "restarts.jpg", "cmyk.jpg", "orientation5.jpg",
    ])
    func flippedBytes(name: String) throws {
        let whole = try ImageFixture.bytes(name)
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<400 {
            var broken = whole
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                broken[Int.random(in: 0..<broken.count, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            do {
                let image = try RGBImage(ByteRegion(copying: broken), name: name)
                #expect(image.pixels.count == image.width * image.height * 3)
            } catch { #expect(error.place == name) }
        }
    }

    /// Sizes that a header claims are checked before anything is allocated.
    @Test func forgedSizes() throws {
        var jpeg = try ImageFixture.bytes("ycc444.jpg")
        let frame = try #require(jpeg.firstRange(of: [0xff, 0xc0])).lowerBound
        jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xff, 0xdc, 0xff, 0xdc])
        let tooMany = #expect(throws: CrayonError.self) { try RGBImage(ByteRegion(copying: jpeg), name: "a.jpg") }
        #expect(tooMany?.code == .unsupported)
        jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0x20, 0, 0x20, 0])
        let unbacked = #expect(throws: CrayonError.self) { try RGBImage(ByteRegion(copying: jpeg), name: "a.jpg") }
        #expect(unbacked?.found.contains("claims") == true)

        for (side, expected) in [(UInt32(65535), CrayonError.Code.unsupported), (8000, .malformed), (0, .malformed)] {
            var png = try ImageFixture.bytes("rgb8.png")
            let bytes = withUnsafeBytes(of: side.bigEndian) { Array($0) }
            png.replaceSubrange(16..<24, with: bytes + bytes)
            png.replaceSubrange(29..<33, with: crc(png[12..<29]))
            let error = #expect(throws: CrayonError.self) { try RGBImage(ByteRegion(copying: png), name: "a.png") }
            #expect(error?.code == expected, "\(side)")
        }
    }

    /// A chunk that claims to be of gigabytes costs nothing, and one that is not needed may hold anything.
    @Test func forgedChunks() throws {
        let png = try ImageFixture.bytes("rgb8.png")
        let behindHeader = 33
        let claims = Array(png[..<behindHeader]) + [0x70, 0xff, 0xff, 0xff] + Array("eXIf".utf8) + png[behindHeader...]
        let error = #expect(throws: CrayonError.self) { try RGBImage(ByteRegion(copying: claims), name: "a.png") }
        #expect(error?.code == .malformed)
        let body = Array("iCCP".utf8) + [UInt8](repeating: 0xff, count: 9)
        let odd = Array(png[..<behindHeader]) + [0, 0, 0, 9] + body + crc(body[...]) + png[behindHeader...]
        #expect(
            try RGBImage(ByteRegion(copying: odd), name: "a.png") == RGBImage(ByteRegion(copying: png), name: "a.png"))
    }

    /// PNG's checksum of a chunk's kind and body.
    private func crc(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var register = UInt32.max
        for byte in bytes {
            register ^= UInt32(byte)
            for _ in 0..<8 { register = register >> 1 ^ (register & 1 == 1 ? 0xedb8_8320 : 0) }
        }
        return withUnsafeBytes(of: (~register).bigEndian) { Array($0) }
    }

    @Test func writtenPicturesReadBack() throws {
        var generator = SystemRandomNumberGenerator()
        for (width, height) in [(1, 1), (3, 5), (64, 33), (257, 2)] {
            let pixels = (0..<width * height * 3).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let image = RGBImage(width: width, height: height, pixels: pixels)
            #expect(try RGBImage(ByteRegion(copying: image.png()), name: "written") == image)
        }
    }
}
