import Architecture
import Bytes
import Images
import Testing

@Suite struct PanopticTests {
    private func map(_ name: String) throws -> PanopticMap {
        try PanopticMap(path: ImageFixture.path("\(name).png"), segments: ImageFixture.path("\(name).json"))
    }

    @Test func rowsAndSentencesAreThePublishedRules() throws {
        let cases = try ImageFixture.load().panoptic
        #expect(cases.count >= 24)
        for sample in cases {
            var mapping = CrayonMapping()
            mapping.sampling = try #require(CrayonConfiguration.GridSampling(rawValue: sample.sampling))
            let maps = mapping(try map(sample.map), side: sample.side)
            #expect(maps.semantic == sample.semantic, "\(sample.map) \(sample.side) \(sample.sampling)")
            #expect(maps.numbering == sample.numbering, "\(sample.map) \(sample.side) \(sample.sampling)")
            #expect(maps.sentence == sample.sentence, "\(sample.map) \(sample.side) \(sample.sampling)")
        }
    }

    @Test func oddMapsAreReported() throws {
        let warnings = CrayonMapping()(try map("panoptic-odd"), side: 35).warnings
        #expect(warnings.contains { $0.contains("category 124") })
        #expect(warnings.contains { $0.contains("ids of the panoptic map have no segment") && $0.contains("70") })
        #expect(warnings.contains { $0.contains("segment 90 has no pixel") })
        #expect(warnings.contains { $0.contains("25 segments are person") })
        #expect(CrayonMapping()(try map("panoptic-scene"), side: 35).warnings == [])
        let small = CrayonMapping()(try map("panoptic-odd"), side: 2)
        #expect(small.warnings.contains { $0.contains("too small for the grid") })
    }

    @Test func boxesOfTheWholeMap() throws {
        let maps = CrayonMapping(boxes: .map)(try map("panoptic-scene"), side: 35)
        let horse = try #require(maps.objects.first { $0.name == "horse" && $0.number == 2 })
        // Rows 15 to 39 of 50 and columns 5 to 19 of 70.
        #expect(horse.text == "(#2 horse) [0.07, 0.30, 0.29, 0.80]")
    }

    /// A model's own categories, and fewer numbers.
    @Test func otherCategories() throws {
        let configuration = CrayonConfiguration(
            width: 8, semanticRows: 3, numberingRows: 2, entry: .additive,
            categories: [
                PanopticCategory(id: 19, name: "pony", isThing: true),
                PanopticCategory(id: 1, name: "rider", isThing: true),
            ])
        let maps = CrayonMapping(configuration)(try map("panoptic-scene"), side: 12)
        #expect(Set(maps.semantic) == [0, 1, 2])
        #expect(Set(maps.numbering) == [0, 1])
        #expect(maps.objects.map(\.name).sorted() == ["pony", "pony", "rider"])
    }

    @Test func wholeFilesAndBareLists() throws {
        let segments = #"[{"id": 7, "category_id": 5, "iscrowd": 0}, {"id": 3, "category_id": 6, "iscrowd": true}]"#
        let whole = """
            {"images": [{"id": 1, "file_name": "one.jpg"}, {"id": 2, "file_name": "two.jpg"}],
             "categories": [{"id": 5, "name": "horse"}, {"id": 6, "name": "person"}],
             "annotations": [{"image_id": 1, "file_name": "one.png", "segments_info": []},
                             {"image_id": 2, "file_name": "two.png", "segments_info": \(segments)}]}
            """
        func read(_ json: String, map: String, picture: String? = nil) throws -> [PanopticSegment] {
            try PanopticSegment.read(json: json, name: "a.json", map: map, picture: picture)
        }
        #expect(try read(whole, map: "maps/two.png").map(\.categoryName) == ["horse", "person"])
        #expect(try read(whole, map: "renamed.png", picture: "/photos/two.jpg").map(\.id) == [7, 3])
        #expect(try read(whole, map: "one.png").isEmpty)
        #expect(throws: CrayonError.self) { try read(whole, map: "renamed.png") }
        let bare = try read(segments, map: "any.png")
        #expect(bare.map(\.isCrowd) == [false, true])
        #expect(bare.map(\.categoryName) == [nil, nil])

        // The file's names decide: here 5 is a horse, not COCO's airplane.
        let ids: [UInt32] = [7, 7, 3, 3]
        let named = PanopticMap(width: 2, height: 2, ids: ids, segments: try read(whole, map: "two.png"))
        #expect(CrayonMapping()(named, side: 2).semantic == [18, 18, 1, 1])
        let plain = PanopticMap(width: 2, height: 2, ids: ids, segments: bare)
        #expect(CrayonMapping()(plain, side: 2).semantic == [5, 5, 6, 6])
    }

    @Test(arguments: [
        "", "{", "null", "3", "{}", #"{"segments_info": 3}"#, #"[{"id": 1}]"#, #"[{"category_id": 1}]"#,
        #"[{"id": 0, "category_id": 1}]"#, #"[{"id": -4, "category_id": 1}]"#, #"[{"id": 16777216, "category_id": 1}]"#,
        #"[{"id": 1, "category_id": 1}, {"id": 1, "category_id": 1}]"#, #"[{"id": 1, "category_id": "horse"}]"#,
        #"[{"id": 1.5, "category_id": 1}]"#, #"[3]"#, #"[{"id": 1, "category_id": 1, "iscrowd": "no"}]"#,
        #"{"annotations": []}"#, #"{"annotations": [{"image_id": 1}]}"#, #"{"annotations": 1}"#,
    ])
    func brokenSegments(json: String) {
        let error = #expect(throws: CrayonError.self) {
            try PanopticSegment.read(json: json, name: "a.json", map: "a.png")
        }
        #expect(error?.place == "a.json")
    }

    /// In a grey map the sample is the id; what is no PNG or has 16-bit colours is refused.
    @Test func otherPictures() throws {
        func read(_ name: String) throws -> PanopticMap {
            try PanopticMap(png: ByteRegion(copying: ImageFixture.bytes(name)), name: name, segments: [])
        }
        for name in ["grey1.png", "grey2.png", "grey4.png", "grey8.png", "grey16.png"] {
            let depth = try #require(UInt32(name.dropFirst(4).dropLast(4)))
            let ids = try read(name).ids
            #expect(ids.allSatisfy { $0 < 1 << depth })
            // Random samples fill their range.
            #expect(try #require(ids.max()) >= (1 << depth) / 16 * 15)
            // Of the same samples the picture has the high bits, spread.
            let image = try RGBImage(path: ImageFixture.path(name))
            for (index, id) in ids.enumerated() {
                let scaled = depth == 16 ? id >> 8 : id * 255 / (1 << depth - 1)
                #expect(UInt32(image.pixels[index * 3]) == scaled)
            }
        }
        let palette = try read("palette8.png")
        let image = try RGBImage(path: ImageFixture.path("palette8.png"))
        #expect(palette.ids[5] & 255 == UInt32(image.pixels[15]))
        #expect(throws: CrayonError.self) { try read("ycc444.jpg") }
        #expect(throws: CrayonError.self) { try read("rgb16.png") }
    }

    @Test func aspects() throws {
        let map = PanopticMap(width: 64, height: 48, ids: Array(repeating: 0, count: 64 * 48), segments: [])
        #expect(map.mismatch(width: 640, height: 480) == nil)
        #expect(map.mismatch(width: 639, height: 480) == nil)
        #expect(map.mismatch(width: 480, height: 640) != nil)
    }

    @Test func cocoCategories() {
        let categories = PanopticCategory.cocoPanoptic
        #expect(categories.count == 133)
        #expect(categories.filter(\.isThing).count == 80)
        #expect(zip(categories, categories.dropFirst()).allSatisfy { $0.id < $1.id })
        #expect(Set(categories.map(\.promptName)).count == 133)
        #expect(categories.last?.promptName == "rug")
        #expect(categories.first { $0.name == "wall-other-merged" }?.promptName == "wall")
        #expect(categories.first { $0.name == "toothbrush" }?.id == 90)
    }

    @Test func overlays() throws {
        let image = RGBImage(width: 8, height: 4, pixels: Array(repeating: 100, count: 96))
        let map = PanopticMap(width: 4, height: 2, ids: [0, 0, 1, 1, 0, 0, 1, 1], segments: [])
        let drawn = PanopticOverlay.draw(map, over: image)
        #expect(Array(drawn.pixels[..<3]) == [100, 100, 100])
        #expect(Array(drawn.pixels[12..<15]) == [177, 177, 177])
        #expect(Array(drawn.pixels[15..<18]) != [100, 100, 100])
        #expect(try RGBImage(ByteRegion(copying: PanopticOverlay.png(map, over: image)), name: "overlay") == drawn)
    }
}
