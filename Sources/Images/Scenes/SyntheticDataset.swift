import Architecture
public import Bytes
import Foundation
import JSON

/// A folder of synthetic scenes in COCO's panoptic format: `panoptic.json`, and for each scene `N.png` and `N_panoptic.png`;
/// and conversations about them in LLaVA's form, `conversations.json`.
public struct SyntheticDataset: Sendable {
    public var count: Int
    public var seed: UInt64
    /// Scenes to measure with instead of scenes to train on; the two share no layout.
    public var isHeldOut: Bool

    public init(count: Int, seed: UInt64 = 0, isHeldOut: Bool = false) {
        self.count = count
        self.seed = seed
        self.isHeldOut = isHeldOut
    }

    /// Writes the folder; `panoptic.json` comes last, so that a folder that has it is whole.
    /// - Throws: `CrayonError` for a folder that is there already and has one, or that cannot be written.
    public func write(to folder: String, progress: (Int, Int) -> Void = { _, _ in }) throws(CrayonError) {
        let index = "\(folder)/panoptic.json"
        guard !FileManager.default.fileExists(atPath: index) else {
            throw CrayonError(
                .usage, in: index, found: "a dataset", expected: "a folder without one",
                advice: "Remove it, or name another folder.")
        }
        try Folder.make(folder)
        var images: [JSONValue] = []
        var annotations: [JSONValue] = []
        var conversations: [JSONValue] = []
        var number: UInt64 = 0
        while images.count < count {
            let scene = SyntheticScene(seed: seed &* 0x1_0000_0001 &+ number)
            number += 1
            guard scene.isHeldOut == isHeldOut else { continue }
            let name = String(repeating: "0", count: max(0, 6 - "\(images.count)".count)) + "\(images.count)"
            try AtomicFile.write(scene.image.png(), to: "\(folder)/\(name).png")
            try AtomicFile.write(scene.map.idImage.png(), to: "\(folder)/\(name)_panoptic.png")
            images.append(
                .object(
                    JSONObject([
                        "id": .int(images.count), "file_name": .string("\(name).png"), "width": .int(scene.image.width),
                        "height": .int(scene.image.height),
                    ])))
            annotations.append(
                .object(
                    JSONObject([
                        "image_id": .int(annotations.count), "file_name": .string("\(name)_panoptic.png"),
                        "segments_info": .array(scene.map.segments.map { Self.json($0, in: scene.map) }),
                    ])))
            conversations.append(Self.json(SceneConversation(scene, seed: number), name: name))
            progress(images.count, count)
        }
        let categories = SyntheticScene.categories.map { category in
            JSONValue.object(
                JSONObject([
                    "id": .int(category.id), "name": .string(category.name), "isthing": .int(category.isThing ? 1 : 0),
                ]))
        }
        let whole = JSONValue.object(
            JSONObject([
                "images": .array(images), "annotations": .array(annotations), "categories": .array(categories),
            ]))
        let talk = JSONValue.array(conversations).text(style: .compact)
        try AtomicFile.write(Array(talk.utf8), to: "\(folder)/conversations.json")
        try AtomicFile.write(Array(whole.text(style: .compact).utf8), to: index)
    }

    private static func json(_ conversation: SceneConversation, name: String) -> JSONValue {
        var turns: [JSONValue] = []
        for (index, exchange) in conversation.exchanges.enumerated() {
            let question = (index == 0 ? "<image>\n" : "") + exchange.question
            turns.append(.object(JSONObject(["from": "human", "value": .string(question)])))
            turns.append(.object(JSONObject(["from": "gpt", "value": .string(exchange.answer)])))
        }
        return .object(
            JSONObject([
                "id": .string(name), "image": .string("\(name).png"), "conversations": .array(turns),
            ]))
    }

    private static func json(_ segment: PanopticSegment, in map: PanopticMap) -> JSONValue {
        let (left, top, right, bottom, area) = map.extent(of: segment.id)
        return .object(
            JSONObject([
                "id": .int(Int(segment.id)), "category_id": .int(segment.categoryID), "iscrowd": .int(0),
                "area": .int(area),
                "bbox": .array([left, top, right - left, bottom - top].map(JSONValue.int)),
            ]))
    }
}

extension PanopticMap {
    /// The box around a segment's pixels, and how many they are.
    func extent(of segment: UInt32) -> (left: Int, top: Int, right: Int, bottom: Int, area: Int) {
        var (left, top, right, bottom, area) = (width, height, 0, 0, 0)
        for (pixel, id) in ids.enumerated() where id == segment {
            (left, right) = (min(left, pixel % width), max(right, pixel % width + 1))
            (top, bottom) = (min(top, pixel / width), max(bottom, pixel / width + 1))
            area += 1
        }
        return (left, top, right, bottom, area)
    }

    /// The map as COCO stores it: R + 256 G + 65536 B is the id.
    public var idImage: RGBImage {
        RGBImage(
            width: width, height: height,
            pixels: ids.flatMap { [UInt8($0 & 255), UInt8($0 >> 8 & 255), UInt8($0 >> 16 & 255)] })
    }
}
