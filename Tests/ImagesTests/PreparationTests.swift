import Architecture
import Bytes
import Images
import Testing

@Suite struct PreparationTests {
    @Test func resizesAreThePeersToTheLastBit() throws {
        let fixture = try ImageFixture.load().resizes
        let source = try RGBImage(path: ImageFixture.path(fixture.source))
        var tried: Set<ImagePreparation.Resampling> = []
        for sample in fixture.cases {
            for (name, expected) in sample.digests {
                let resampling = try #require(ImagePreparation.Resampling(rawValue: name))
                tried.insert(resampling)
                let image = try source.resized(width: sample.width, height: sample.height, resampling: resampling)
                #expect(image.width == sample.width && image.height == sample.height)
                #expect(digest(image.pixels) == expected, "\(resampling) to \(sample.width) x \(sample.height)")
            }
        }
        #expect(tried.count == ImagePreparation.Resampling.allCases.count)
    }

    @Test func valuesAreThePeers() throws {
        for sample in try ImageFixture.load().preparations {
            let source = try RGBImage(path: ImageFixture.path(sample.file))
            let collavo = try ImagePreparation.collavo(size: sample.size)(source)
            #expect(collavo.width == sample.size && collavo.height == sample.size)
            #expect(collavo.values == sample.collavo.floats, "\(sample.file)")
            let clip = try ImagePreparation.clip(size: sample.size)(source)
            let expected = sample.clip.floats
            #expect(clip.values.count == expected.count)
            // Transformers scales by 1/255 first, which rounds once more; values reach 2.6.
            for (value, reference) in zip(clip.values, expected) { #expect(abs(value - reference) < 2e-6) }
        }
    }

    @Test func configurationsChoose() throws {
        var vision = VisionConfiguration(
            width: 8, layerCount: 1, headCount: 1, intermediateSize: 8, patchSize: 7, imageSize: 14, positionRows: 5)
        #expect(ImagePreparation(vision) == .collavo(size: 14))
        vision.resize = .cropCentre
        #expect(ImagePreparation(vision) == .clip(size: 14))
        vision.resize = .pad
        #expect(ImagePreparation(vision) == .padded(size: 14))
        vision.imageStd = [0, 1, 1]
        #expect(throws: CrayonError.self) { try ImagePreparation(vision).validate(in: "config.json") }
        vision.imageStd = [1, 1]
        #expect(throws: CrayonError.self) { try ImagePreparation(vision).validate(in: "config.json") }
        #expect(throws: CrayonError.self) { try ImagePreparation.clip(size: 0).validate(in: "config.json") }
    }

    /// A ribbon would take gigabytes on the way to a square.
    @Test func ribbonsAreRefused() throws {
        let ribbon = RGBImage(width: 1, height: 300_000, pixels: Array(repeating: 7, count: 900_000))
        #expect(throws: CrayonError.self) { try ImagePreparation.collavo(size: 490)(ribbon) }
        #expect(throws: CrayonError.self) { try ImagePreparation.clip(size: 336)(ribbon) }
    }
}

@Suite struct BicubicGridTests {
    @Test func gridsAreTorchs() throws {
        for sample in try ImageFixture.load().grids {
            for (antialias, expected) in [(false, sample.plain.floats), (true, sample.antialias.floats)] {
                let result = BicubicGrid.resize(
                    sample.source.floats, sourceRows: sample.rows, sourceColumns: sample.columns, rows: sample.newRows,
                    columns: sample.newColumns, dim: sample.dim, antialias: antialias)
                #expect(result.count == expected.count)
                for (value, reference) in zip(result, expected) {
                    #expect(abs(value - reference) < 1e-6, "\(sample.rows) to \(sample.newRows), \(antialias)")
                }
            }
        }
    }

    @Test func tablesKeepTheirLeadingRows() throws {
        let sample = try #require(try ImageFixture.load().grids.first)
        let lead: [Float] = [5, -6]
        let table = BicubicGrid.resizePositionTable(lead + sample.source.floats, sourceSide: 24, side: 35, dim: 2)
        #expect(table.count == (1 + 35 * 35) * 2)
        #expect(Array(table[..<2]) == lead)
        let grid = BicubicGrid.resize(
            sample.source.floats, sourceRows: 24, sourceColumns: 24, rows: 35, columns: 35, dim: 2)
        #expect(Array(table[2...]) == grid)
    }
}
