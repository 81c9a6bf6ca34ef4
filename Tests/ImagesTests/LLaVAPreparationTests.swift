import Architecture
import Bytes
import Foundation
import Images
import Testing

/// Pictures of odd sizes, cut and padded, beside what Scripts/reference/llava_processor.py recorded of transformers.
@Suite struct LLaVAPreparationTests {
    struct Case: Decodable {
        var width: Int
        var height: Int
        var size: Int
        var pads: Bool
        var mean: [Float]
        var std: [Float]
        /// Of the bytes before rescaling, `[size, size, 3]`.
        var resized: String
        var values: Data?
    }

    static func cases() throws -> [Case] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let data = try Data(contentsOf: root.appendingPathComponent("Fixtures/llava/pictures.json"))
        return try JSONDecoder().decode([String: [Case]].self, from: data)["cases"] ?? []
    }

    /// The picture that the script draws.
    static func picture(_ width: Int, _ height: Int) -> RGBImage {
        var pixels: [UInt8] = []
        pixels.reserveCapacity(3 * width * height)
        for y in 0..<height {
            for x in 0..<width {
                let edge = (x / 5 + y / 3) % 2 * 97
                for channel in 0..<3 {
                    let value = x * x * 3 + y * 7 * (channel + 1) + x * y * (channel + 2) + edge
                    pixels.append(UInt8(truncatingIfNeeded: value))
                }
            }
        }
        return RGBImage(width: width, height: height, pixels: pixels)
    }

    @Test func picturesAreTransformers() throws {
        let cases = try Self.cases()
        var (padded, compared, largest) = (0, 0, Float(0))
        for sample in cases {
            let preparation = ImagePreparation(
                size: sample.size, fit: sample.pads ? .pad : .cropCentre, resampling: .pillowBicubic, mean: sample.mean,
                standardDeviation: sample.std)
            let picture = Self.picture(sample.width, sample.height)
            let resized = try preparation.resized(picture)
            #expect(
                digest(resized.pixels) == sample.resized,
                "\(sample.width) x \(sample.height) to \(sample.size), \(sample.pads ? "padded" : "cut")")
            padded += sample.pads ? 1 : 0
            guard let expected = sample.values?.floats else { continue }
            let values = try preparation(picture).values
            #expect(values.count == expected.count)
            compared += 1
            largest = zip(values, expected).reduce(largest) { max($0, abs($1.0 - $1.1)) }
        }
        #expect(cases.count > 100 && padded > 50 && compared > 8)
        // Transformers scales by 1/255 first, which rounds once more; values reach 3.2.
        #expect(largest < 2e-6)
        if ProcessInfo.processInfo.environment["CRAYON_TEST_FIGURES"] != nil {
            print("figure llava pictures: \(cases.count) equal to the byte, pixel values within \(largest)")
        }
    }

    @Test func ribbonsAreRefused() {
        let ribbon = RGBImage(width: 1, height: 300_000, pixels: Array(repeating: 7, count: 900_000))
        #expect(throws: CrayonError.self) { try ImagePreparation.padded(size: 336)(ribbon) }
    }
}
