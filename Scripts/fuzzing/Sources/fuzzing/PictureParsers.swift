import CrayonKit
import Foundation

/// A JPEG or a PNG.
struct Picture: Parser {
    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        let picture = try RGBImage(ByteRegion(copying: bytes), name: "input")
        precondition(picture.pixels.count == picture.width * picture.height * 3)
    }
}

struct PanopticPicture: Parser {
    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        let map = try PanopticMap(png: ByteRegion(copying: bytes), name: "input", segments: [])
        precondition(map.ids.count == map.width * map.height)
    }
}

/// The segments of a map that is there.
struct Segments: Parser {
    private let file: InputFile
    private let map: String

    init(_ file: InputFile, folder: String) throws {
        self.file = file
        map = "\(folder)/000.png"
        try FileManager.default.copyItem(
            atPath: Repository.path("Scripts/sample/scenes/000_panoptic.png"), toPath: map)
    }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        file.write(bytes)
        _ = try PanopticMap(path: map, segments: file.path)
    }
}
